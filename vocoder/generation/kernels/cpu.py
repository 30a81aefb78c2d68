"""WaveNet's sample loop for CPUs, compiled by Numba: a batch of utterances side by side.

The last dimension of arrays is the utterance. A product works on tiles of TILE rows and LANES utterances, whose sums
stay in registers while all inputs are added. The batch is a multiple of LANES, or 1, for which products are dot
products.
"""

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from clean_corpus.pipeline.core.compiled import compiled
from clean_corpus.pipeline.core.kernels import tanh

LANES = 16
PAST = 512  # samples that are kept for a look one period back, a power of two
TILE = 8 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 4  # rows whose sums fit into the registers

MU_LAW, GAUSSIAN, LOGISTICS = range(3)
LOG_SCALE_MIN = -9.0  # of distributions.py, repeated because Numba's cache follows this file alone

_ONE, _HALF, _ROOT_HALF = (np.float32(x) for x in (1.0, 0.5, np.sqrt(0.5)))


@intrinsic
def _add_tile(typing, weights, at, x, y, row, column):
    """Add to y[row : row + TILE, column : column + LANES] the product of a tile of weights and x's columns.

    The tile begins at `at`. LLVM's vectoriser would read and write y at every input, hence the instructions.
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
            address = builder.gep(base, [builder.add(builder.mul(row, lanes), column)])
            return builder.bitcast(address, vector.as_pointer())

        outputs = [vector_at(y.data, builder.add(row, number(r)), column) for r in range(TILE)]
        sums = [cgutils.alloca_once_value(builder, builder.load(output, align=4)) for output in outputs]
        with cgutils.for_range(builder, inner) as loop:
            read = builder.load(vector_at(x.data, loop.index, column), align=4)
            first = builder.add(at, builder.mul(loop.index, number(TILE)))
            for r, total in enumerate(sums):
                weight = builder.load(builder.gep(weights.data, [builder.add(first, number(r))]))
                lane = builder.insert_element(ir.Constant(vector, ir.Undefined), weight, ir.IntType(32)(0))
                every = builder.shuffle_vector(lane, lane, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))
                builder.store(builder.call(fused, [every, read, builder.load(total)]), total)
        for output, total in zip(outputs, sums, strict=True):
            builder.store(builder.load(total), output, align=4)
        return context.get_dummy_value()

    return signature, build


@numba.njit(fastmath=True)
def _add_product(weights, x, y):
    """Add to y (M, B) the product of weights (M, K), `tiled`, and x (K, B)."""
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
    """Lay out matrices tile by tile, filling the last tile with rows of zeros.

    Shapes: (..., M, K) -> (..., M / tile rounded up, K, tile), C-contiguous.
    """
    *before, rows, inner = weights.shape
    padded = np.zeros((*before, -(-rows // tile) * tile, inner), np.float32)
    padded[..., :rows, :] = weights
    return np.ascontiguousarray(padded.reshape(*before, padded.shape[-2] // tile, tile, inner).swapaxes(-1, -2))


@numba.njit(fastmath=True, error_model="numpy")  # a check of divisors would leave no vectors
def _gate(gates, y):
    """Set y (G / 2, B) to tanh of the first G / 2 rows of gates times the logistic function of the next ones."""
    out, flat = y.reshape(y.size), gates.reshape(gates.size)
    first, second = flat[: out.size], flat[out.size : 2 * out.size]
    for k in range(out.size):
        out[k] = tanh(first[k]) * (_HALF + _HALF * tanh(_HALF * second[k]))


@numba.njit
def _draw_class(logits, j, noise, temperature):
    """Return the class in which the share `noise` of the cumulated softmax of column j, at a temperature, ends."""
    top = logits[0, j]
    for i in range(1, logits.shape[0]):
        top = max(top, logits[i, j])
    total = np.float32(0)
    for i in range(logits.shape[0]):
        total += np.exp((logits[i, j] - top) / temperature)
    wanted, odds = noise * total, np.float32(0)
    for i in range(logits.shape[0]):
        odds += np.exp((logits[i, j] - top) / temperature)
        if odds >= wanted:
            return i
    return logits.shape[0] - 1


@numba.njit
def _draw(kind, parameters, j, noise, temperature, levels):
    """Draw a sample of utterance j; return it with its class, 0 for distributions without classes."""
    if kind == MU_LAW:
        chosen = _draw_class(parameters, j, noise[0], temperature)
        return levels[chosen], chosen
    if kind == GAUSSIAN:
        mean, log_scale = parameters[0, j], parameters[1, j]
        drawn = noise[0] * np.sqrt(temperature)
    else:
        components = parameters.shape[0] // 3
        chosen = _draw_class(parameters[:components], j, noise[0], temperature)
        mean, log_scale = parameters[components + chosen, j], parameters[2 * components + chosen, j]
        drawn = noise[1] * temperature
    sample = mean + np.exp(max(log_scale, np.float32(LOG_SCALE_MIN))) * drawn
    return min(max(sample, -_ONE), _ONE), 0


@numba.njit
def _draw_all(kind, parameters, noise, temperature, levels, sample, chosen, drawn):
    """Draw the next sample of each utterance into sample, chosen and drawn, (B,) each."""
    for j in range(sample.shape[0]):
        sample[j], chosen[j] = _draw(kind, parameters, j, noise[j], temperature[j], levels)
        drawn[j] = sample[j]


@numba.njit
def _embed(kind, table, input_bias, sample, chosen, x):
    """Set x (R, B) to the input of the first layer for the last sample of each utterance."""
    for i in range(input_bias.shape[0]):
        for j in range(sample.shape[0]):
            value = table[chosen[j], i] if kind == MU_LAW else table[0, i] * sample[j]
            x[i, j] = value + input_bias[i]


@numba.njit
def _fill(bias, y):
    """Set the first rows of y (M, B) to the bias, of as many values as rows."""
    for i in range(bias.shape[0]):
        y[i, :] = bias[i]


@numba.njit
def _project(bias, conditioner, conditioning, gates):
    """Set gates (G, B) to what a layer adds for the conditioning, (C, B)."""
    _fill(bias, gates)
    _add_product(conditioner, conditioning, gates)


@numba.njit
def _rectify(rows, y):
    """Set negative values in the first rows of y (M, B) to zero."""
    for i in range(rows):
        for j in range(y.shape[1]):
            y[i, j] = max(y[i, j], np.float32(0))


@numba.njit
def _add_taps(dilated, dilation, rings, start, n_made, x, gates):
    """Add a layer's dilated convolution of x (R, B) and its past to gates (G, B), and store x in the layer's ring."""
    n_taps = dilated.shape[0]
    past = (n_taps - 1) * dilation
    place = n_made % past
    for tap in range(n_taps - 1):
        _add_product(dilated[tap], rings[start + (place + tap * dilation) % past], gates)
    _add_product(dilated[n_taps - 1], x, gates)
    rings[start + place] = x[: rings.shape[1]]


@numba.njit
def _add_outputs(residual, residual_bias, skip, y, x, skips):
    """Replace x (R, B) by a layer's output, and add to skips (S, B), both products of the gated y (G / 2, B)."""
    for i in range(residual_bias.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] = _ROOT_HALF * x[i, j] + residual_bias[i]
    _add_product(residual, y, x)
    _add_product(skip, y, skips)


@numba.njit
def _look_back(spoken, period, voiced, n_made, taps):
    """Set taps (TAPS, B) to the kept samples around the one a period ago, faded by how voiced the sample is."""
    for k in range(taps.shape[0]):
        for j in range(taps.shape[1]):
            taps[k, j] = spoken[(n_made - period[j] + k - taps.shape[0] // 2) % PAST, j] * voiced[j]


@numba.njit
def _keep(sample, kept):
    """Set kept (B,) to the companded samples, as source.compressed has them."""
    for j in range(sample.shape[0]):
        size = np.log1p(np.float32(255) * abs(sample[j])) * np.float32(2 / np.log(256))
        kept[j] = size if sample[j] > 0 else -size


@compiled(nogil=True, fastmath=False)
def run(
    kind, conditioning_hop, layers_per_stack, levels, table, input_bias, dilations, dilated, dilated_bias, conditioner,
    residual, residual_bias, skip, skip_bias, hidden, hidden_bias, output, output_bias, source_past, source_output,
    source_bias, conditioning, projected, phases, voiced, period, temperature, noise, spoken, rings, starts, n_made,
    sample, chosen, samples, logits,
):  # fmt: skip
    """Write the next samples of a batch.

    Shapes, all float32 and C-contiguous if not noted: levels (classes,); table (classes or 1, R); dilations (L,) int64;
    dilated (L, K, G, R), tap K - 1 the newest; conditioner (L, G, C); residual (L, R, G / 2), scaled; skip (L, S, G /
    2), scaled, skip_bias (S,) summed over the layers; hidden (S, S); output (O, S), these matrices `tiled`, by TILE for
    a batch and by 1 for a single utterance; conditioning (M, C, B), one for the samples of each conditioning_hop that
    the N samples lie in, or its product with the conditioner plus dilated_bias, projected (M, L, G, B), the other one
    empty; with a source source_past (E, TAPS) and source_output (stacks R, E), `tiled`, source_bias (stacks R,), phases
    (N, E, B), voiced (N, B), period (N, B) int64 and spoken (PAST, B), updated, else phases (0, 0, B); temperature of
    draws (M, B); noise (N, B, W); rings (sum of the layers' pasts, R, B), starts (L,) int64 of each layer's; n_made
    samples made before; sample (B,) and chosen (B,) int64 the last one and its class, updated; samples (N, B) written;
    logits (N, O, B) written, or (0, O, B).
    """
    n_gates, n_skip, n_out, tile = len(dilated_bias[0]), len(skip_bias), len(output_bias), dilated.shape[4]
    batch, n_residual, has_source = sample.shape[0], len(input_bias), phases.shape[0] > 0
    # tiled products write whole tiles
    x = np.zeros((residual.shape[1] * tile, batch), np.float32)
    gates = np.zeros((dilated.shape[2] * tile, batch), np.float32)
    held = np.zeros((dilated.shape[0] if conditioning_hop > 1 else 0, len(gates), batch), np.float32)
    before = n_made % conditioning_hop
    y = np.empty((n_gates // 2, batch), np.float32)
    skips = np.zeros((skip.shape[1] * tile, batch), np.float32)
    deep = np.zeros_like(skips)
    parameters = np.zeros((output.shape[0] * tile, batch), np.float32)
    taps = np.zeros((source_past.shape[1], batch), np.float32)
    embedded = np.zeros((source_past.shape[0] * tile, batch), np.float32)
    added = np.zeros((source_output.shape[0] * tile, batch), np.float32)
    for n in range(samples.shape[0]):
        at, is_new = (before + n) // conditioning_hop, n == 0 or n_made % conditioning_hop == 0
        _embed(kind, table, input_bias, sample, chosen, x)
        _fill(skip_bias, skips)
        if has_source:
            _look_back(spoken, period[n], voiced[n], n_made, taps)
            embedded[: phases.shape[1]] = phases[n]
            _add_product(source_past, taps, embedded)
            _rectify(len(embedded), embedded)
            _fill(source_bias, added)
            _add_product(source_output, embedded, added)
        for layer in range(dilated.shape[0]):
            if has_source and layer % layers_per_stack == 0:
                first = layer // layers_per_stack * n_residual
                x[:n_residual] += added[first : first + n_residual]
            if projected.shape[0]:
                gates[:n_gates] = projected[at, layer]
            elif conditioning_hop == 1:
                _project(dilated_bias[layer], conditioner[layer], conditioning[at], gates)
            else:
                if is_new:
                    _project(dilated_bias[layer], conditioner[layer], conditioning[at], held[layer])
                gates[:] = held[layer]
            _add_taps(dilated[layer], dilations[layer], rings, starts[layer], n_made, x, gates)
            _gate(gates, y)
            _add_outputs(residual[layer], residual_bias[layer], skip[layer], y, x, skips)
        _rectify(n_skip, skips)
        _fill(hidden_bias, deep)
        _add_product(hidden, skips, deep)
        _rectify(n_skip, deep)
        _fill(output_bias, parameters)
        _add_product(output, deep, parameters)
        if logits.shape[0]:
            logits[n] = parameters[:n_out]
        _draw_all(kind, parameters[:n_out], noise[n], temperature[at], levels, sample, chosen, samples[n])
        if has_source:
            _keep(sample, spoken[n_made % PAST])
        n_made += 1
