"""WaveNet's sample loop for GPUs, one Triton kernel: a launch makes many samples of all utterances.

A program computes all layers of LANES utterances. Utterances do not depend on each other, so programs never wait for
one another. A program keeps its state in global memory, and a barrier separates one sample from the next. The arrays
are those of `kernels.cpu.run`.
"""

import triton
import triton.language as tl

LANES = 16  # utterances of one program, the fewest columns that a matrix product accepts

MU_LAW, GAUSSIAN, LOGISTICS = (tl.constexpr(i) for i in range(3))
LOG_SCALE_MIN = tl.constexpr(-9.0)  # of distributions.py
ROOT_HALF = tl.constexpr(0.7071067811865476)
PAST, PERIOD_TAPS = tl.constexpr(512), tl.constexpr(7)  # of kernels/cpu.py and source.py
COMPRESSED = tl.constexpr(0.36067376022224085)  # 2 / log(256)


@triton.jit
def _matrix(start, rows, columns, n_rows, n_columns):
    """Load rows and columns of a row-major matrix, zeros beyond its sizes."""
    inside = (rows[:, None] < n_rows) & (columns[None, :] < n_columns)
    return tl.load(start + rows[:, None] * n_columns + columns[None, :], mask=inside, other=0.0)


@triton.jit
def _column(start, rows, n_rows):
    """Load rows of a vector as a column, zeros beyond its size."""
    return tl.load(start + rows, mask=rows < n_rows, other=0.0)[:, None]


@triton.jit
def _product(a, b):
    """Return the matrix product in full float32, not in TF32."""
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def _tanh(x):
    """Return tanh(x), which Triton's language lacks."""
    return 1.0 - 2.0 / (tl.exp(2.0 * x) + 1.0)


@triton.jit
def _draw_class(logits, rows, n_rows, noise, temperature):
    """Return the row in which the share `noise` of each column's cumulated softmax, at a temperature, ends."""
    valid = rows[:, None] < n_rows
    logits = tl.where(valid, logits, float("-inf"))
    odds = tl.where(valid, tl.exp((logits - tl.max(logits, 0)[None, :]) / temperature[None, :]), 0.0)
    wanted = noise * tl.sum(odds, 0)
    passed = (tl.cumsum(odds, 0) < wanted[None, :]) & valid
    return tl.minimum(tl.sum(passed.to(tl.int32), 0), n_rows - 1)


@triton.jit
def _row(values, rows, wanted):
    """Return the value in the wanted row of each column."""
    return tl.sum(tl.where(rows[:, None] == wanted[None, :], values, 0.0), 0)


@triton.jit
def _embed(table, input_bias, last, last_class, r, KIND: tl.constexpr, R: tl.constexpr):
    """Return the input of the first layer for the last sample of each utterance, (RP, BLOCK)."""
    if KIND == MU_LAW:
        x = tl.load(table + last_class[None, :] * R + r[:, None], mask=r[:, None] < R, other=0.0)
    else:
        x = _column(table, r, R) * last[None, :]
    return x + _column(input_bias, r, R)


@triton.jit
def _projected(first, cond, dilated_bias, conditioner, h, c, H: tl.constexpr, C: tl.constexpr):
    """Return what half of a layer's gates, at row `first` of all layers' gates, add for the conditioning."""
    return _column(dilated_bias + first, h, H) + _product(_matrix(conditioner + first * C, h, c, H, C), cond)


@triton.jit
def _hold(
    cond, dilated_bias, conditioner, held, n_layers, lane, batch, h, c, H: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """Store what every layer's gates add for the conditioning of the samples to come, (L, 2 H, batch)."""
    for half in range(2 * n_layers):
        place = held + (half * H + h[:, None]) * batch + lane[None, :]
        tl.store(place, _projected(half * H, cond, dilated_bias, conditioner, h, c, H, C), mask=h[:, None] < H)


@triton.jit
def _gated(
    x, cond, dilated, dilated_bias, conditioner, held, rings, start, dilation, n_made, layer, lane, batch, r, h, c,
    HOP: tl.constexpr, TAPS: tl.constexpr, R: tl.constexpr, H: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Return a layer's gated dilated convolution of x and its past, (HP, BLOCK), and store x in the layer's ring."""
    past = (TAPS - 1) * dilation
    place = n_made % past
    gates = layer * 2 * H
    if HOP == 1:
        signal = _projected(gates, cond, dilated_bias, conditioner, h, c, H, C)
        gate = _projected(gates + H, cond, dilated_bias, conditioner, h, c, H, C)
    else:
        rows = held + (gates + h[:, None]) * batch + lane[None, :]
        signal = tl.load(rows, mask=h[:, None] < H, other=0.0)
        gate = tl.load(rows + H * batch, mask=h[:, None] < H, other=0.0)
    for tap in tl.static_range(TAPS):
        weights = dilated + (layer * TAPS + tap) * 2 * H * R
        tapped = x
        if tap < TAPS - 1:
            back = (start + (place + tap * dilation) % past) * R
            tapped = tl.load(rings + (back + r[:, None]) * batch + lane[None, :], mask=r[:, None] < R, other=0.0)
        signal += _product(_matrix(weights, h, r, H, R), tapped)
        gate += _product(_matrix(weights + H * R, h, r, H, R), tapped)
    tl.debug_barrier()  # all threads have read the row that is overwritten now
    tl.store(rings + ((start + place) * R + r[:, None]) * batch + lane[None, :], x, mask=r[:, None] < R)
    return _tanh(signal) / (1.0 + tl.exp(-gate))


@triton.jit
def _draw(parameters, noise, temperature, levels, last_class, lane, o, KIND: tl.constexpr, Q: tl.constexpr):
    """Draw a sample of each utterance from its parameters (QP, BLOCK); return samples and classes, (BLOCK,) each."""
    if KIND == MU_LAW:
        last_class = _draw_class(parameters, o, Q, tl.load(noise), temperature).to(tl.int64)
        last = tl.load(levels + last_class)
    else:
        if KIND == GAUSSIAN:
            mean, log_scale = _row(parameters, o, lane * 0), _row(parameters, o, lane * 0 + 1)
            shift = tl.load(noise) * tl.sqrt(temperature)
        else:
            component = _draw_class(parameters, o, Q // 3, tl.load(noise), temperature)
            mean = _row(parameters, o, Q // 3 + component)
            log_scale = _row(parameters, o, 2 * (Q // 3) + component)
            shift = tl.load(noise + 1) * temperature
        last = mean + tl.exp(tl.maximum(log_scale, LOG_SCALE_MIN)) * shift
        last = tl.minimum(tl.maximum(last, -1.0), 1.0)
    return last, last_class


@triton.jit
def _looked_back(
    source_past, phases, voiced, period, spoken, n_made, lane, batch, e, E: tl.constexpr
):  # fmt: skip
    """Return a source's embedding of the phases of a sample and of the samples a period ago, (EP, BLOCK)."""
    embedded = tl.load(phases + e[:, None] * batch + lane[None, :], mask=e[:, None] < E, other=0.0)
    for k in tl.static_range(PERIOD_TAPS):
        row = (n_made - period + k - PERIOD_TAPS // 2 + PAST) % PAST  # not negative, whose remainder would be
        tap = tl.load(spoken + row * batch + lane) * voiced
        embedded += tl.load(source_past + e * PERIOD_TAPS + k, mask=e < E, other=0.0)[:, None] * tap[None, :]
    return tl.maximum(embedded, 0.0)


@triton.jit
def run(
    levels, table, input_bias, dilations, dilated, dilated_bias, conditioner, residual, residual_bias, skip, skip_bias,
    hidden, hidden_bias, output, output_bias, source_past, source_output, source_bias, conditioning, temperature,
    phases, voiced, period, noise, spoken, rings, held, starts, sample, chosen, samples, logits, n_samples, n_layers,
    n_made, batch,
    KIND: tl.constexpr, HOP: tl.constexpr, STACK: tl.constexpr, KEEP: tl.constexpr, TAPS: tl.constexpr,
    DRAWS: tl.constexpr, BLOCK: tl.constexpr,
    R: tl.constexpr, H: tl.constexpr, S: tl.constexpr, C: tl.constexpr, Q: tl.constexpr, E: tl.constexpr,
    RP: tl.constexpr, HP: tl.constexpr, SP: tl.constexpr, CP: tl.constexpr, QP: tl.constexpr,
    EP: tl.constexpr,
):  # fmt: skip
    """Write the next samples of BLOCK utterances a program.

    R, H, S, C, Q and E are the sizes of residual, half gate, skip, conditioning and output channels and of a source's
    embedding, RP to EP the next powers of two. The batch is a multiple of BLOCK. A conditioning vector stands for HOP
    samples; with several, what the layers add for it is held in `held`. STACK is the layers of a stack, each of whose
    inputs gets a part of the source added, or 0 without one.
    """
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    r, h, s, o, c = (tl.arange(0, RP), tl.arange(0, HP), tl.arange(0, SP), tl.arange(0, QP), tl.arange(0, CP))
    e = tl.arange(0, EP)
    last = tl.load(sample + lane)
    last_class = tl.load(chosen + lane)
    for n in range(n_samples):
        x = _embed(table, input_bias, last, last_class, r, KIND, R)
        vector = (n_made % HOP + n) // HOP
        cond = tl.load(conditioning + (vector * C + c[:, None]) * batch + lane[None, :], mask=c[:, None] < C, other=0.0)
        if HOP > 1:
            if (n == 0) | ((n_made + n) % HOP == 0):
                _hold(cond, dilated_bias, conditioner, held, n_layers, lane, batch, h, c, H, C)
            tl.debug_barrier()  # all threads see what is held
        if STACK:
            embedded = _looked_back(
                source_past, phases + n * E * batch, tl.load(voiced + n * batch + lane),
                tl.load(period + n * batch + lane), spoken, n_made + n, lane, batch, e, E,
            )  # fmt: skip
        skips = _column(skip_bias, s, S) + tl.zeros((SP, BLOCK), tl.float32)
        for layer in range(n_layers):
            if STACK:  # noqa: SIM102 - decided when the kernel is compiled
                if layer % STACK == 0:
                    first = layer // STACK * R
                    weights = _matrix(source_output + first * E, r, e, R, E)
                    x += _product(weights, embedded) + _column(source_bias + first, r, R)
            dilation, start = tl.load(dilations + layer), tl.load(starts + layer)
            y = _gated(
                x, cond, dilated, dilated_bias, conditioner, held, rings, start, dilation, n_made + n, layer, lane,
                batch, r, h, c, HOP, TAPS, R, H, C,
            )  # fmt: skip
            x = x * ROOT_HALF + _column(residual_bias + layer * R, r, R)
            x += _product(_matrix(residual + layer * R * H, r, h, R, H), y)
            skips += _product(_matrix(skip + layer * S * H, s, h, S, H), y)
        deep = _column(hidden_bias, s, S) + _product(_matrix(hidden, s, s, S, S), tl.maximum(skips, 0.0))
        parameters = _column(output_bias, o, Q) + _product(_matrix(output, o, s, Q, S), tl.maximum(deep, 0.0))
        if KEEP:
            kept = logits + (n * Q + o[:, None]) * batch + lane[None, :]
            tl.store(kept, parameters, mask=o[:, None] < Q)
        drawn, cooled = noise + (n * batch + lane) * DRAWS, tl.load(temperature + vector * batch + lane)
        last, last_class = _draw(parameters, drawn, cooled, levels, last_class, lane, o, KIND, Q)
        tl.store(samples + n * batch + lane, last)
        if STACK:
            kept = tl.log(1.0 + 255.0 * tl.abs(last)) * COMPRESSED
            tl.store(spoken + (n_made + n) % PAST * batch + lane, tl.where(last > 0, kept, -kept))
        tl.debug_barrier()  # all threads of the next sample see what was stored
    tl.store(sample + lane, last)
    tl.store(chosen + lane, last_class)
