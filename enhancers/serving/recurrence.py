"""The recurrences of GRUs on a processor, compiled by Numba.

A frame of one clip needs every weight once, and a wide layer's lie in no near cache: their bytes are its time. Weights
are shipped in 16 bits and are read as such, so that half as many bytes give the same sums. A narrow layer over many
sequences is a product of small matrices at each step.
"""

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from clean_corpus.pipeline.core.compiled import compiled
from clean_corpus.pipeline.core.kernels import WIDE, product_of, tanh

FEATURES = llvmlite.binding.get_host_cpu_features()
GROUP = 8 if WIDE == 16 else 6  # sequences whose sums stay in registers
REGISTERS = 8  # of sums at once
TILE = REGISTERS * WIDE

_HALF = np.float32(0.5)


def can_run(weights: NDArray[np.float32]) -> bool:
    """Return whether weights are numbers of 16 bits, and the processor reads such."""
    return bool(FEATURES.get("f16c")) and np.array_equal(weights.astype(np.float16), weights)


def tiled(weights: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Lay out recurrent weights tile by tile, the last one filled up: (3 H, H) -> (tiles, H, TILE), bits of 16."""
    rows, inner = weights.shape
    padded = np.zeros((-(-rows // TILE) * TILE, inner), np.float16)
    padded[:rows] = weights
    return np.ascontiguousarray(padded.reshape(-1, TILE, inner).swapaxes(1, 2)).view(np.uint16)


def padded(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lay out recurrent weights by inputs, zeros filling up the last registers: (3 H, H) -> (1, H, 3 H or more)."""
    rows, inner = weights.shape
    whole = np.zeros((1, inner, -(-rows // (2 * WIDE)) * 2 * WIDE), np.float32)
    whole[0, :, :rows] = weights.T
    return whole


@intrinsic
def _multiply(typing, weights, tile, hidden, row, sums):
    """Set sums[row, TILE * tile : TILE * (tile + 1)] to the product of a tile of weights and hidden[row].

    LLVM's vectoriser would keep no sums in registers.
    """
    signature = types.void(weights, tile, hidden, row, sums)

    def build(context, builder, signature, arguments):
        weights, tile, hidden, row, sums = arguments
        weights, hidden, sums = (
            context.make_array(signature.args[n])(context, builder, array)
            for n, array in ((0, weights), (2, hidden), (4, sums))
        )
        number = context.get_value_type(types.intp)
        halves, floats = (ir.VectorType(kind, WIDE) for kind in (ir.HalfType(), ir.FloatType()))
        fused = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(floats, [floats] * 3), f"llvm.fmuladd.v{WIDE}f32"
        )
        _, inner, _ = cgutils.unpack_tuple(builder, weights.shape, 3)
        begin = builder.gep(weights.data, [builder.mul(builder.mul(tile, inner), number(TILE))])
        heard = builder.gep(hidden.data, [builder.mul(row, inner)])
        width = cgutils.unpack_tuple(builder, sums.shape, 2)[1]
        to = builder.gep(sums.data, [builder.add(builder.mul(row, width), builder.mul(tile, number(TILE)))])
        totals = [cgutils.alloca_once_value(builder, ir.Constant(floats, [0.0] * WIDE)) for _ in range(REGISTERS)]
        with cgutils.for_range(builder, inner) as loop:
            value = builder.load(builder.gep(heard, [loop.index]))
            lane = builder.insert_element(ir.Constant(floats, ir.Undefined), value, ir.IntType(32)(0))
            every = builder.shuffle_vector(lane, lane, ir.Constant(ir.VectorType(ir.IntType(32), WIDE), None))
            line = builder.gep(begin, [builder.mul(loop.index, number(TILE))])
            for r, total in enumerate(totals):
                bits = builder.bitcast(builder.gep(line, [number(r * WIDE)]), halves.as_pointer())
                weight = builder.fpext(builder.load(bits, align=2), floats)
                builder.store(builder.call(fused, [every, weight, builder.load(total)]), total)
        for r, total in enumerate(totals):
            place = builder.bitcast(builder.gep(to, [number(r * WIDE)]), floats.as_pointer())
            builder.store(builder.load(total), place, align=4)
        return context.get_dummy_value()

    return signature, build


_by_two = product_of(2, GROUP)
_ROWS = "float32[:,::1]"


@numba.njit(fastmath=True, error_model="numpy")  # a check of divisors would leave no vectors
def _update(given, found, bias, h):
    """Set a hidden state (H,) to the next one; shapes: given and found (3 H,), bias (H,)."""
    size = h.shape[0]
    reset_in, update_in, new_in = given[:size], given[size : 2 * size], given[2 * size :]
    reset_of, update_of, new_of = found[:size], found[size : 2 * size], found[2 * size :]
    for i in range(size):
        reset = _HALF + _HALF * tanh(_HALF * (reset_in[i] + reset_of[i]))
        update = _HALF + _HALF * tanh(_HALF * (update_in[i] + update_of[i]))
        new = tanh(new_in[i] + reset * (new_of[i] + bias[i]))
        h[i] = new + update * (h[i] - new)


@compiled("void(float32[:,:,::1], uint16[:,:,::1], float32[::1], float32[:,::1], float32[:,:,::1])", nogil=True)
def run(gates, weights, bias, hidden, y):
    """Run a GRU over frames.

    Shapes: gates (T, B, 3 H), reset, update and new: products of inputs, with all biases but the new gate's recurrent
    one, which is bias (H,); weights `tiled`; hidden (B, H), updated; y (T, B, H) written.
    """
    sums = np.empty((hidden.shape[0], weights.shape[0] * TILE), np.float32)
    for t in range(gates.shape[0]):
        for tile in range(weights.shape[0]):
            for row in range(hidden.shape[0]):
                _multiply(weights, tile, hidden, row, sums)
        for row in range(hidden.shape[0]):
            _update(gates[t, row], sums[row], bias, hidden[row])
            y[t, row] = hidden[row]


@compiled(f"void({_ROWS}, float32[:,:,::1], float32[::1], {_ROWS}, int64, int64, int64, int64[::1])", nogil=True)
def run_many(gates, weights, bias, y, way, count, apart, steps):
    """Run a GRU over sequences that lie between each other, from hidden states of 0.

    Step t of sequence n is row n * apart + steps[t]. Of the gates, (N, ways * 3 H) as in `run`, and of y (N, ways * H)
    this GRU has the part `way`. Shapes: weights (1, H, 3 H or more), `padded`, bias (H,), steps (T,); there are `count`
    sequences.
    """
    size, width = bias.shape[0], weights.shape[2]
    n_rows = -(-count // GROUP) * GROUP
    hidden, sums = np.zeros((1, n_rows, size), np.float32), np.empty((1, n_rows, width), np.float32)
    for t in range(steps.shape[0]):
        for o in range(0, width, 2 * WIDE):
            for n in range(0, n_rows, GROUP):
                _by_two(hidden, weights, sums, 0, n, o)
        for n in range(count):
            row = n * apart + steps[t]
            _update(gates[row, 3 * way * size : 3 * (way + 1) * size], sums[0, n], bias, hidden[0, n])
            y[row, way * size : (way + 1) * size] = hidden[0, n]
