"""WaveNet's sample loop as one Triton kernel: a launch makes many samples, each program all layers of LANES utterances.

Utterances do not depend on each other, so programs never wait for one another; what a program remembers lies in global
memory, and a barrier parts a sample from the next. The arrays are those of `kernels.cpu.run`.
"""

import triton
import triton.language as tl

LANES = 16  # utterances of one program: the least that a matrix product takes

MU_LAW, GAUSSIAN, LOGISTICS = (tl.constexpr(i) for i in range(3))
LOG_SCALE_MIN = tl.constexpr(-9.0)  # as in distributions.py
ROOT_HALF = tl.constexpr(0.7071067811865476)


@triton.jit
def _matrix(start, rows, columns, n_rows, n_columns):
    """Rows and columns of a row-major matrix, zeros beyond its sizes."""
    inside = (rows[:, None] < n_rows) & (columns[None, :] < n_columns)
    return tl.load(start + rows[:, None] * n_columns + columns[None, :], mask=inside, other=0.0)


@triton.jit
def _column(start, rows, n_rows):
    return tl.load(start + rows, mask=rows < n_rows, other=0.0)[:, None]


@triton.jit
def _product(a, b):
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def _tanh(x):
    return 1.0 - 2.0 / (tl.exp(2.0 * x) + 1.0)


@triton.jit
def _draw_class(logits, rows, n_rows, noise):
    """Index of the row in which the share `noise` of each column's softmax ends."""
    valid = rows[:, None] < n_rows
    logits = tl.where(valid, logits, float("-inf"))
    odds = tl.where(valid, tl.exp(logits - tl.max(logits, 0)[None, :]), 0.0)
    wanted = noise * tl.sum(odds, 0)
    passed = (tl.cumsum(odds, 0) < wanted[None, :]) & valid
    return tl.minimum(tl.sum(passed.to(tl.int32), 0), n_rows - 1)


@triton.jit
def _row(values, rows, wanted):
    """The value in a row of each column."""
    return tl.sum(tl.where(rows[:, None] == wanted[None, :], values, 0.0), 0)


@triton.jit
def run(
    levels, table, input_bias, dilations, dilated, dilated_bias, conditioner, residual, residual_bias, skip, skip_bias,
    hidden, hidden_bias, output, output_bias, conditioning, noise, rings, starts, sample, chosen, samples, logits,
    n_samples, n_layers, at, batch,
    KIND: tl.constexpr, KEEP: tl.constexpr, TAPS: tl.constexpr, DRAWS: tl.constexpr, BLOCK: tl.constexpr,
    R: tl.constexpr, H: tl.constexpr, S: tl.constexpr, C: tl.constexpr, Q: tl.constexpr,
    RP: tl.constexpr, HP: tl.constexpr, SP: tl.constexpr, CP: tl.constexpr, QP: tl.constexpr,
):  # fmt: skip
    """The next samples of BLOCK utterances a program; sizes of residual, half gate, skip, conditioning and output
    channels, each with the next power of two. The batch is a multiple of BLOCK."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    r, h, s, o, c = (tl.arange(0, RP), tl.arange(0, HP), tl.arange(0, SP), tl.arange(0, QP), tl.arange(0, CP))
    last = tl.load(sample + lane)
    last_class = tl.load(chosen + lane)
    for n in range(n_samples):
        if KIND == MU_LAW:
            x = tl.load(table + last_class[None, :] * R + r[:, None], mask=r[:, None] < R, other=0.0)
        else:
            x = _column(table, r, R) * last[None, :]
        x += _column(input_bias, r, R)
        heard = tl.load(conditioning + (n * C + c[:, None]) * batch + lane[None, :], mask=c[:, None] < C, other=0.0)
        skips = _column(skip_bias, s, S) + tl.zeros((SP, BLOCK), tl.float32)
        for layer in range(n_layers):
            dilation, start = tl.load(dilations + layer), tl.load(starts + layer)
            past = (TAPS - 1) * dilation
            place = (at + n) % past
            gates = layer * 2 * H
            signal = _column(dilated_bias + gates, h, H) + _product(_matrix(conditioner + gates * C, h, c, H, C), heard)
            gate = _column(dilated_bias + gates + H, h, H) + _product(
                _matrix(conditioner + (gates + H) * C, h, c, H, C), heard
            )
            for tap in tl.static_range(TAPS):
                weights = dilated + (layer * TAPS + tap) * 2 * H * R
                tapped = x
                if tap < TAPS - 1:
                    back = (start + (place + tap * dilation) % past) * R
                    tapped = tl.load(
                        rings + (back + r[:, None]) * batch + lane[None, :], mask=r[:, None] < R, other=0.0
                    )
                signal += _product(_matrix(weights, h, r, H, R), tapped)
                gate += _product(_matrix(weights + H * R, h, r, H, R), tapped)
            tl.debug_barrier()  # all have read what is overwritten now
            tl.store(rings + ((start + place) * R + r[:, None]) * batch + lane[None, :], x, mask=r[:, None] < R)
            y = _tanh(signal) / (1.0 + tl.exp(-gate))
            x = x * ROOT_HALF + _column(residual_bias + layer * R, r, R)
            x += _product(_matrix(residual + layer * R * H, r, h, R, H), y)
            skips += _product(_matrix(skip + layer * S * H, s, h, S, H), y)
        deep = _column(hidden_bias, s, S) + _product(_matrix(hidden, s, s, S, S), tl.maximum(skips, 0.0))
        parameters = _column(output_bias, o, Q) + _product(_matrix(output, o, s, Q, S), tl.maximum(deep, 0.0))
        if KEEP:
            kept = logits + (n * Q + o[:, None]) * batch + lane[None, :]
            tl.store(kept, parameters, mask=o[:, None] < Q)
        drawn = noise + (n * batch + lane) * DRAWS
        if KIND == MU_LAW:
            last_class = _draw_class(parameters, o, Q, tl.load(drawn)).to(tl.int64)
            last = tl.load(levels + last_class)
        else:
            if KIND == GAUSSIAN:
                mean, log_scale, shift = (
                    _row(parameters, o, lane * 0),
                    _row(parameters, o, lane * 0 + 1),
                    tl.load(drawn),
                )
            else:
                component = _draw_class(parameters, o, Q // 3, tl.load(drawn))
                mean = _row(parameters, o, Q // 3 + component)
                log_scale = _row(parameters, o, 2 * (Q // 3) + component)
                shift = tl.load(drawn + 1)
            last = mean + tl.exp(tl.maximum(log_scale, LOG_SCALE_MIN)) * shift
            last = tl.minimum(tl.maximum(last, -1.0), 1.0)
        tl.store(samples + n * batch + lane, last)
        tl.debug_barrier()  # what was stored is seen by all threads of the next sample
    tl.store(sample + lane, last)
    tl.store(chosen + lane, last_class)
