"""Convolutions of 3 by 3 by a fifth of their multiplications, compiled by Numba.

Maps are channels last, whole tiles of rows and columns, with a border of zeros: (6 J + 2, 6 K + 2, C).

Source: Lavin & Gray 2016 (arXiv:1509.09308), section 4.1, as F(6x6, 3x3) at the points 0, 1, -1, 2, -2, 1/2, -1/2 and
infinity: tiles of 6 by 6 outputs depend on 8 by 8 inputs, and become 64 products of matrices, one for each point of the
transformed tiles.
Sums are in the order that is written here whatever the processor: Numba has no leave to change it. It compiles when the
module is imported, once for a machine.
"""

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from clean_corpus.pipeline.core.compiled import compiled
from clean_corpus.pipeline.core.kernels import WIDE, product_of

Array = NDArray[np.float32]

OUT, IN = 6, 8  # rows and columns of a tile: its outputs, and the inputs that they depend on
POINTS = IN * IN
GROUP = 9 if WIDE == 16 else 6  # tiles whose sums stay in registers

_G = np.array(
    [[1, 0, 0], [-2 / 9, -2 / 9, -2 / 9], [-2 / 9, 2 / 9, -2 / 9], [1 / 90, 1 / 45, 2 / 45], [1 / 90, -1 / 45, 2 / 45],
     [32 / 45, 16 / 45, 8 / 45], [32 / 45, -16 / 45, 8 / 45], [0, 0, 1]]
)  # fmt: skip


def empty_map(rows: int, columns: int, channels: int) -> Array:
    """Return a map of zeros for so many rows and columns."""
    return np.zeros((-(-rows // OUT) * OUT + 2, -(-columns // OUT) * OUT + 2, channels), np.float32)


def transformed(weights: Array) -> Array:
    """Return the weights of a convolution at the points of a tile: (O, C, 3, 3) -> (POINTS, C, O).

    Raises: ValueError if it is not of 3 by 3, or has a number of outputs that fills no registers.
    """
    if weights.shape[2:] != (3, 3) or (weights.shape[0] % 32 and weights.shape[0] % 48):
        raise ValueError(f"weights {weights.shape}: expected (O, C, 3, 3), O a multiple of 32 or 48")
    points = np.einsum("ai,ocij,bj->abco", _G, weights.astype(np.float64), _G)
    return np.ascontiguousarray(points.reshape(POINTS, *points.shape[2:]), np.float32)


@numba.njit
def _scratch(n_tiles, weights):
    _, channels, outputs = weights.shape
    padded = -(-n_tiles // GROUP) * GROUP
    return np.zeros((POINTS, padded, channels), np.float32), np.empty((POINTS, padded, outputs), np.float32)


@numba.njit
def _image_row(x, weights, bias, y, columns):
    """Write a row of the first layer's map; shapes: x (3, W + 4), weights (3, 3, C), bias (C,), y (W + 2, C)."""
    for f in range(columns):
        for c in range(len(bias)):
            total = bias[c]
            for i in range(3):
                for j in range(3):
                    total += x[i, f + 1 + j] * weights[i, j, c]
            y[f + 1, c] = max(total, np.float32(0))


@numba.njit
def _to_points(x, points):
    """Transform a row of tiles; shapes: x (IN, 6 K + 2, C), points (POINTS, at least K, C)."""
    _, width, channels = x.shape
    point = points.shape[1] * channels
    columns = np.empty((IN, IN, channels), np.float32)
    for k in range((width - 2) // OUT):
        for j in range(IN):
            for c in range(0, channels, WIDE):
                _transform(x, (OUT * k + j) * channels + c, width * channels, columns, j * channels + c, IN * channels)
        for i in range(IN):
            for c in range(0, channels, WIDE):
                to = IN * i * point + k * channels + c
                _transform(columns, i * IN * channels + c, channels, points, to, point)


@numba.njit
def _from_points(products, bias, y, row, rows, columns):
    """Transform back, add the bias and rectify; shapes: products (POINTS, at least K, O)."""
    outputs = len(bias)
    point = products.shape[1] * outputs
    lines, tile = np.empty((OUT, IN, outputs), np.float32), np.empty((OUT, outputs), np.float32)
    for k in range((y.shape[1] - 2) // OUT):
        for j in range(IN):
            for o in range(0, outputs, WIDE):
                at = j * point + k * outputs + o
                _transform_back(products, at, IN * point, lines, j * outputs + o, IN * outputs)
        for i in range(min(OUT, rows - row)):
            for o in range(0, outputs, WIDE):
                _transform_back(lines, i * IN * outputs + o, outputs, tile, o, outputs)
            for f in range(min(OUT, columns - OUT * k)):
                to = y[row + i + 1, OUT * k + f + 1]
                for o in range(outputs):
                    to[o] = max(tile[f, o] + bias[o], np.float32(0))


_by_two, _by_three = product_of(2, GROUP), product_of(3, GROUP)


@numba.njit
def _multiply(points, weights, products):
    """Multiply at each point; shapes: points (POINTS, N, C), N a multiple of GROUP, weights (POINTS, C, O)."""
    outputs = weights.shape[2]
    by_three = WIDE == 16 and outputs % (3 * WIDE) == 0
    for p in range(POINTS):
        for o in range(0, outputs, (3 if by_three else 2) * WIDE):
            for n in range(0, points.shape[1], GROUP):
                if by_three:
                    _by_three(points, weights, products, p, n, o)
                else:
                    _by_two(points, weights, products, p, n, o)


def _each_register(typing, x, at, step, y, to, stride, arithmetic):
    """Read IN registers of x, `step` numbers apart, and write what becomes of them into y, `stride` apart.

    Written as instructions, since LLVM's vectoriser gives up before so many places that might overlap.
    """
    signature = types.void(x, at, step, y, to, stride)

    def build(context, builder, signature, arguments):
        x, at, step, y, to, stride = arguments
        read, write = (context.make_array(signature.args[n])(context, builder, a).data for n, a in ((0, x), (3, y)))
        vector, number = ir.VectorType(ir.FloatType(), WIDE), context.get_value_type(types.intp)

        def place(base, start, stride, n):
            offset = builder.add(start, builder.mul(stride, number(n)))
            return builder.bitcast(builder.gep(base, [offset]), vector.as_pointer())

        def times(factor, value):
            if factor == 1:
                return value
            return builder.fmul(ir.Constant(vector, [float(factor)] * WIDE), value)

        found = [builder.load(place(read, at, step, n), align=4) for n in range(IN)]
        for n, value in enumerate(arithmetic(builder.fadd, builder.fsub, times, *found)):
            builder.store(value, place(write, to, stride, n), align=4)
        return context.get_dummy_value()

    return signature, build


@intrinsic
def _transform(typing, x, at, step, y, to, stride):
    """Set eight registers to the transformed inputs of eight."""

    def arithmetic(add, sub, times, x0, x1, x2, x3, x4, x5, x6, x7):
        def total(factors, values):
            one, two, three = (times(factor, value) for factor, value in zip(factors, values, strict=True))
            return add(add(one, two), three)

        even, odd = (x2, x4, x6), (x1, x3, x5)
        pairs = [  # of the points 1, 2 and 1/2, and their negatives
            (total(of_even, even), total(of_odd, odd))
            for of_even, of_odd in (
                ((1, -17 / 4, 1), (1, -17 / 4, 1)), ((1 / 4, -5 / 4, 1), (1 / 2, -5 / 2, 2)),
                ((4, -5, 1), (2, -5 / 2, 1 / 2)),
            )
        ]  # fmt: skip
        ends = (add(sub(a, b), times(21 / 4, sub(c, d))) for a, b, c, d in ((x0, x6, x4, x2), (x7, x1, x3, x5)))
        return next(ends), *(part(*pair) for pair in pairs for part in (add, sub)), next(ends)

    return _each_register(typing, x, at, step, y, to, stride, arithmetic)


@intrinsic
def _transform_back(typing, x, at, step, y, to, stride):
    """Set six registers to the outputs that eight points make."""

    def arithmetic(add, sub, times, m0, m1, m2, m3, m4, m5, m6, m7):
        (a, b, c), (d, e, f) = ([part(*pair) for pair in ((m1, m2), (m3, m4), (m5, m6))] for part in (add, sub))

        def total(one, two, half, power):
            return add(add(one, times(2**power, two)), times(2**-power, half))

        return (
            add(m0, total(a, b, c, 0)), total(d, e, f, 1), total(a, b, c, 2), total(d, e, f, 3), total(a, b, c, 4),
            add(total(d, e, f, 5), m7),
        )  # fmt: skip

    return _each_register(typing, x, at, step, y, to, stride, arithmetic)


_MAP, _IMAGE, _LINE = "float32[:,:,::1]", "float32[:,::1]", "float32[::1]"


@compiled(f"void({_IMAGE}, {_MAP}, {_LINE}, {_MAP}, {_LINE}, {_MAP}, int64, int64)", nogil=True)
def convolve_image(x, first, first_bias, weights, bias, y, rows, columns):
    """Run two layers, each a convolution, its bias and a rectifier; the first one's map is never whole.

    Shapes: image x (6 J + 4, 6 K + 4) with two lines of zeros around it, first (3, 3, C) and first_bias (C,), weights
    (POINTS, C, O), bias (O,), map y with O channels, of which `rows` and `columns` are written.
    """
    n_tiles, channels = (y.shape[1] - 2) // OUT, len(first_bias)
    points, products = _scratch(n_tiles, weights)
    y[rows + 1 :] = 0
    part = np.zeros((IN, y.shape[1], channels), np.float32)
    for row in range(0, rows, OUT):
        for i in range(IN):
            if 0 < row + i <= rows:
                _image_row(x[row + i : row + i + 3], first, first_bias, part[i], columns)
            else:
                part[i] = 0
        _to_points(part, points)
        _multiply(points, weights, products)
        _from_points(products, bias, y, row, rows, columns)


@compiled(f"void({_MAP}, {_MAP}, {_LINE}, {_MAP}, int64, int64)", nogil=True)
def convolve(x, weights, bias, y, rows, columns):
    """Run a layer: convolution, bias and rectifier.

    Shapes: map x with C channels, weights (POINTS, C, O), bias (O,), map y with O channels, of which `rows` and
    `columns` are written.
    """
    points, products = _scratch((y.shape[1] - 2) // OUT, weights)
    y[rows + 1 :] = 0
    for row in range(0, rows, OUT):
        _to_points(x[row : row + IN], points)
        _multiply(points, weights, products)
        _from_points(products, bias, y, row, rows, columns)
