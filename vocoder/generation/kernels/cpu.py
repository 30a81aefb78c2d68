"""WaveNet's sample loop, compiled: all layers of one sample in one call, a batch of utterances side by side.

Arrays hold utterances in their last dimension. A product works on tiles of TILE rows and LANES utterances, whose sums
stay in registers while all inputs are added. The batch is a multiple of LANES, or 1, which has dot products instead.
"""

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 16
TILE = 8 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 4  # rows whose sums fit the registers

MU_LAW, GAUSSIAN, LOGISTICS = range(3)
LOG_SCALE_MIN = -9.0  # as in distributions.py

# x P(x^2) / Q(x^2) is tanh(x) within 4e-7 for |x| <= 8: least squares of the relative error, reweighted until flat
_P0, _P1, _P2, _P3, _P4 = (
    np.float32(x) for x in (0.9999999935688922, 0.13444500436659826, 3.571600958847441e-3, 2.189471106923832e-5,
                            1.523048784005941e-8)
)  # fmt: skip
_Q1, _Q2, _Q3, _Q4 = (
    np.float32(x) for x in (0.46777827756467577, 0.02616445405607987, 3.411296849608387e-4, 8.522474853950283e-7)
)
_LIMIT, _ONE, _HALF, _ROOT_HALF = (np.float32(x) for x in (8.0, 1.0, 0.5, np.sqrt(0.5)))


@numba.njit(inline="always")
def _tanh(x):
    x = min(max(x, -_LIMIT), _LIMIT)
    s = x * x
    over = (((_P4 * s + _P3) * s + _P2) * s + _P1) * s + _P0
    under = (((_Q4 * s + _Q3) * s + _Q2) * s + _Q1) * s + _ONE
    return x * over / under


@intrinsic
def _add_tile(typing, weights, at, x, y, row, column):
    """y[row : row + TILE, column : column + LANES] += the tile of weights that begins at `at`, times x's columns.

    Written in LLVM's terms because its vectoriser reads and writes y at every input.
    """
    signature = types.void(weights, types.intp, x, y, types.intp, types.intp)

    def build(context, builder, signature, arguments):
        weights, at, x, y, row, column = arguments
        x, y = (context.make_array(t)(context, builder, v) for t, v in zip(signature.args[2:4], (x, y), strict=True))
        weights = context.make_array(signature.args[0])(context, builder, weights)
        index, vector = types.intp, ir.VectorType(ir.FloatType(), LANES)
        number = context.get_value_type(index)
        inner = cgutils.unpack_tuple(builder, weights.shape, 3)[1]
        lanes = cgutils.unpack_tuple(builder, x.shape, 2)[1]
        kind = ir.FunctionType(vector, [vector] * 3)
        fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{LANES}f32")

        def vector_at(base, row, column):
            place = builder.gep(base, [builder.add(builder.mul(row, lanes), column)])
            return builder.bitcast(place, vector.as_pointer())

        outputs = [vector_at(y.data, builder.add(row, number(r)), column) for r in range(TILE)]
        sums = [cgutils.alloca_once_value(builder, builder.load(place, align=4)) for place in outputs]
        with cgutils.for_range(builder, inner) as loop:
            read = builder.load(vector_at(x.data, loop.index, column), align=4)
            first = builder.add(at, builder.mul(loop.index, number(TILE)))
            for r, total in enumerate(sums):
                weight = builder.load(builder.gep(weights.data, [builder.add(first, number(r))]))
                lane = builder.insert_element(ir.Constant(vector, ir.Undefined), weight, ir.IntType(32)(0))
                every = builder.shuffle_vector(lane, lane, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))
                builder.store(builder.call(fused, [every, read, builder.load(total)]), total)
        for place, total in zip(outputs, sums, strict=True):
            builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    return signature, build


@numba.njit(fastmath=True)
def _add_product(weights, x, y):
    """y (M, B) += the product of weights, tiled as by `tiled`, and x (K, B)."""
    tiles, inner, tile = weights.shape
    batch = x.shape[1]
    if batch == 1:
        flat = weights.reshape(tiles, inner * tile)
        for i in range(tiles):
            total = np.float32(0)
            for k in range(inner):
                total += flat[i, k] * x[k, 0]
            y[i, 0] += total
        return
    for i in range(tiles):
        for j in range(0, batch, LANES):
            _add_tile(weights, i * inner * TILE, x, y, i * TILE, j)


def tiled(weights: np.ndarray, tile: int) -> np.ndarray:
    """(..., M, K) -> (..., M / tile rounded up, K, tile), C-contiguous, the rows that M lacks being zero."""
    *before, rows, inner = weights.shape
    padded = np.zeros((*before, -(-rows // tile) * tile, inner), np.float32)
    padded[..., :rows, :] = weights
    return np.ascontiguousarray(padded.reshape(*before, -1, tile, inner).swapaxes(-1, -2))


@numba.njit(fastmath=True)
def _gate(gates, y):
    """y (G / 2, B) = tanh of the first half of gates (G, B) times the logistic function of the second."""
    half, batch = y.shape
    for i in range(half):
        for j in range(batch):
            y[i, j] = _tanh(gates[i, j]) * (_HALF + _HALF * _tanh(_HALF * gates[half + i, j]))


@numba.njit
def _draw_class(logits, j, noise):
    """Index of the class in which the share `noise` of the softmax of column j ends."""
    top = logits[0, j]
    for i in range(1, logits.shape[0]):
        top = max(top, logits[i, j])
    total = np.float32(0)
    for i in range(logits.shape[0]):
        total += np.exp(logits[i, j] - top)
    wanted, odds = noise * total, np.float32(0)
    for i in range(logits.shape[0]):
        odds += np.exp(logits[i, j] - top)
        if odds >= wanted:
            return i
    return logits.shape[0] - 1


@numba.njit
def _draw(kind, parameters, j, noise, levels):
    """A sample of utterance j, and its class where there are classes."""
    if kind == MU_LAW:
        chosen = _draw_class(parameters, j, noise[0])
        return levels[chosen], chosen
    if kind == GAUSSIAN:
        mean, log_scale = parameters[0, j], parameters[1, j]
        drawn = noise[0]
    else:
        components = parameters.shape[0] // 3
        chosen = _draw_class(parameters[:components], j, noise[0])
        mean, log_scale = parameters[components + chosen, j], parameters[2 * components + chosen, j]
        drawn = noise[1]
    sample = mean + np.exp(max(log_scale, np.float32(LOG_SCALE_MIN))) * drawn
    return min(max(sample, -_ONE), _ONE), 0


@numba.njit(nogil=True, fastmath=False, cache=True)
def run(
    kind, levels, table, input_bias, dilations, dilated, dilated_bias, conditioner, residual, residual_bias, skip,
    skip_bias, hidden, hidden_bias, output, output_bias, conditioning, projected, noise, rings, starts, at, sample,
    chosen, samples, logits,
):  # fmt: skip
    """The next samples of a batch.

    Shapes, all float32 and C-contiguous unless said: levels (classes,); table (classes or 1, R); dilations (L,) int64;
    dilated (L, K, G, R), tap K - 1 the newest; conditioner (L, G, C); residual (L, R, G / 2), scaled; skip
    (L, S, G / 2), scaled, skip_bias (S,) summed over the layers; hidden (S, S); output (O, S), these matrices `tiled`,
    by TILE for a batch and by 1 for an utterance alone; conditioning (N, C, B),
    or what the conditioner makes of it with dilated_bias, projected (N, L, G, B), which is destroyed, the other being
    empty; noise (N, B, W); rings (sum of the layers' pasts, R, B), starts (L,) int64 of each layer's; `at` samples that
    were made before; sample (B,) and chosen (B,) int64 the last one and its class, updated; samples (N, B) written;
    logits (N, O, B) written, or (0, O, B).
    """
    n_layers, n_taps, tile = dilated.shape[0], dilated.shape[1], dilated.shape[4]
    n_gates, n_residual, n_skip, n_out = len(dilated_bias[0]), len(input_bias), len(skip_bias), len(output_bias)
    batch = sample.shape[0]
    # as many rows as tiles have
    x = np.zeros((residual.shape[1] * tile, batch), np.float32)
    gates = np.zeros((dilated.shape[2] * tile, batch), np.float32)
    y = np.empty((n_gates // 2, batch), np.float32)
    skips = np.zeros((skip.shape[1] * tile, batch), np.float32)
    deep = np.zeros_like(skips)
    parameters = np.zeros((output.shape[0] * tile, batch), np.float32)
    for n in range(samples.shape[0]):
        for i in range(n_residual):
            for j in range(batch):
                value = table[chosen[j], i] if kind == MU_LAW else table[0, i] * sample[j]
                x[i, j] = value + input_bias[i]
        for i in range(n_skip):
            skips[i, :] = skip_bias[i]
        for layer in range(n_layers):
            if projected.shape[0]:
                gates = projected[n, layer]
            else:
                for i in range(n_gates):
                    gates[i, :] = dilated_bias[layer, i]
                _add_product(conditioner[layer], conditioning[n], gates)
            past = (n_taps - 1) * dilations[layer]
            place = at % past
            for tap in range(n_taps - 1):
                back = starts[layer] + (place + tap * dilations[layer]) % past
                _add_product(dilated[layer, tap], rings[back], gates)
            _add_product(dilated[layer, n_taps - 1], x, gates)
            rings[starts[layer] + place] = x[:n_residual]
            _gate(gates, y)
            for i in range(n_residual):
                for j in range(batch):
                    x[i, j] = _ROOT_HALF * x[i, j] + residual_bias[layer, i]
            _add_product(residual[layer], y, x)
            _add_product(skip[layer], y, skips)
        for i in range(n_skip):
            for j in range(batch):
                skips[i, j] = max(skips[i, j], np.float32(0))
            deep[i, :] = hidden_bias[i]
        _add_product(hidden, skips, deep)
        for i in range(n_skip):
            for j in range(batch):
                deep[i, j] = max(deep[i, j], np.float32(0))
        for i in range(n_out):
            parameters[i, :] = output_bias[i]
        _add_product(output, deep, parameters)
        if logits.shape[0]:
            logits[n] = parameters[:n_out]
        for j in range(batch):
            sample[j], chosen[j] = _draw(kind, parameters[:n_out], j, noise[n, j], levels)
            samples[n, j] = sample[j]
        at += 1
