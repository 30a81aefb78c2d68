"""WaveNet's sample loop, compiled: all layers of one sample in one call, a batch of utterances side by side.

Arrays hold utterances in their last dimension, so that every product is a sum of scaled rows, which the compiler turns
into wide instructions; each pass over a row adds eight products, and two rows share what they read. The batch is a
multiple of LANES, or 1, which has dot products instead.
"""

import numba
import numpy as np

LANES = 16
UNROLLED = 8  # inputs that one pass over a row adds

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


@numba.njit(fastmath=True)
def _add_product(weights, x, y):
    """y (M, B) += weights (M, K) @ x (K, B)."""
    rows, inner = weights.shape
    batch = x.shape[1]
    if batch == 1:
        for i in range(rows):
            total = np.float32(0)
            for k in range(inner):
                total += weights[i, k] * x[k, 0]
            y[i, 0] += total
        return
    whole = inner - inner % UNROLLED
    for i in range(0, rows - 1, 2):
        for k in range(0, whole, UNROLLED):
            a0, a1, a2, a3 = weights[i, k], weights[i, k + 1], weights[i, k + 2], weights[i, k + 3]
            a4, a5, a6, a7 = weights[i, k + 4], weights[i, k + 5], weights[i, k + 6], weights[i, k + 7]
            b0, b1, b2, b3 = weights[i + 1, k], weights[i + 1, k + 1], weights[i + 1, k + 2], weights[i + 1, k + 3]
            b4, b5, b6, b7 = weights[i + 1, k + 4], weights[i + 1, k + 5], weights[i + 1, k + 6], weights[i + 1, k + 7]
            for j in range(batch):
                x0, x1, x2, x3 = x[k, j], x[k + 1, j], x[k + 2, j], x[k + 3, j]
                x4, x5, x6, x7 = x[k + 4, j], x[k + 5, j], x[k + 6, j], x[k + 7, j]
                y[i, j] += (a0 * x0 + a1 * x1) + (a2 * x2 + a3 * x3) + (a4 * x4 + a5 * x5) + (a6 * x6 + a7 * x7)
                y[i + 1, j] += (b0 * x0 + b1 * x1) + (b2 * x2 + b3 * x3) + (b4 * x4 + b5 * x5) + (b6 * x6 + b7 * x7)
        for k in range(whole, inner):
            a0, b0 = weights[i, k], weights[i + 1, k]
            for j in range(batch):
                y[i, j] += a0 * x[k, j]
                y[i + 1, j] += b0 * x[k, j]
    if rows % 2:
        for k in range(inner):
            a0 = weights[rows - 1, k]
            for j in range(batch):
                y[rows - 1, j] += a0 * x[k, j]


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
    (L, S, G / 2), scaled, skip_bias (S,) summed over the layers; hidden (S, S); output (O, S); conditioning (N, C, B),
    or what the conditioner makes of it with dilated_bias, projected (N, L, G, B), which is destroyed, the other being
    empty; noise (N, B, W); rings (sum of the layers' pasts, R, B), starts (L,) int64 of each layer's; `at` samples that
    were made before; sample (B,) and chosen (B,) int64 the last one and its class, updated; samples (N, B) written;
    logits (N, O, B) written, or (0, O, B).
    """
    n_layers, n_taps, n_gates, n_residual = dilated.shape
    batch = sample.shape[0]
    x = np.empty((n_residual, batch), np.float32)
    gates = np.empty((n_gates, batch), np.float32)
    y = np.empty((n_gates // 2, batch), np.float32)
    skips = np.empty((skip.shape[1], batch), np.float32)
    deep = np.empty_like(skips)
    parameters = np.empty((output.shape[0], batch), np.float32)
    for n in range(samples.shape[0]):
        for i in range(n_residual):
            for j in range(batch):
                value = table[chosen[j], i] if kind == MU_LAW else table[0, i] * sample[j]
                x[i, j] = value + input_bias[i]
        for i in range(skips.shape[0]):
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
            rings[starts[layer] + place] = x
            _gate(gates, y)
            for i in range(n_residual):
                for j in range(batch):
                    x[i, j] = _ROOT_HALF * x[i, j] + residual_bias[layer, i]
            _add_product(residual[layer], y, x)
            _add_product(skip[layer], y, skips)
        for i in range(skips.shape[0]):
            for j in range(batch):
                skips[i, j] = max(skips[i, j], np.float32(0))
            deep[i, :] = hidden_bias[i]
        _add_product(hidden, skips, deep)
        for i in range(deep.shape[0]):
            for j in range(batch):
                deep[i, j] = max(deep[i, j], np.float32(0))
        for i in range(parameters.shape[0]):
            parameters[i, :] = output_bias[i]
        _add_product(output, deep, parameters)
        if logits.shape[0]:
            logits[n] = parameters
        for j in range(batch):
            sample[j], chosen[j] = _draw(kind, parameters, j, noise[n, j], levels)
            samples[n, j] = sample[j]
        at += 1
