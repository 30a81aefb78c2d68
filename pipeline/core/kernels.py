"""Parts of functions that Numba compiles: products of small matrices, and tanh as vector instructions."""

from collections.abc import Callable

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

WIDE = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8  # numbers in a register

# x P(x^2) / Q(x^2) equals tanh(x) within 4e-7 for |x| <= 8: least squares of the relative error, reweighted until flat
_P0, _P1, _P2, _P3, _P4 = (
    np.float32(x) for x in (0.9999999935688922, 0.13444500436659826, 3.571600958847441e-3, 2.189471106923832e-5,
                            1.523048784005941e-8)
)  # fmt: skip
_Q1, _Q2, _Q3, _Q4 = (
    np.float32(x) for x in (0.46777827756467577, 0.02616445405607987, 3.411296849608387e-4, 8.522474853950283e-7)
)
_LIMIT, _ONE = np.float32(8), np.float32(1)


@numba.njit(inline="always")
def tanh(x):
    """Return tanh(x) within 4e-7, by arithmetic that compiles to vector instructions."""
    x = min(max(x, -_LIMIT), _LIMIT)
    s = x * x
    numerator = (((_P4 * s + _P3) * s + _P2) * s + _P1) * s + _P0
    denominator = (((_Q4 * s + _Q3) * s + _Q2) * s + _Q1) * s + _ONE
    return x * numerator / denominator


def product_of(n_registers: int, group: int) -> Callable:
    """Return what sets products[p, n : n + group, o : o + n_registers * WIDE] to the sums over C, for compiled code.

    Shapes of its arguments: points (P, N, C), weights (P, C, O), products (P, N, O), float32, and p, n and o.
    Sums stay in registers, which LLVM's vectoriser would not do, and are in the order of C whatever the processor.
    """

    def product(typing, points, weights, products, p, n, o):
        signature = types.void(points, weights, products, p, n, o)

        def build(context, builder, signature, arguments):
            *arrays, p, n, o = arguments
            points, weights, products = (
                context.make_array(t)(context, builder, v) for t, v in zip(signature.args[:3], arrays, strict=True)
            )
            _, _, channels = cgutils.unpack_tuple(builder, points.shape, 3)
            strides = [cgutils.unpack_tuple(builder, a.strides, 3) for a in (points, weights, products)]
            vector, number = ir.VectorType(ir.FloatType(), WIDE), context.get_value_type(types.intp)
            kind = ir.FunctionType(vector, [vector] * 3)
            fused = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{WIDE}f32")

            def address(array, steps, *at):
                offset = number(0)
                for step, index in zip(steps, at, strict=True):
                    offset = builder.add(offset, builder.mul(step, index))
                raw = builder.bitcast(array.data, ir.IntType(8).as_pointer())
                return builder.bitcast(builder.gep(raw, [offset]), ir.FloatType().as_pointer())

            def registers(at):
                return [
                    builder.bitcast(builder.gep(at, [number(r * WIDE)]), vector.as_pointer())
                    for r in range(n_registers)
                ]

            rows = [builder.add(n, number(i)) for i in range(group)]
            starts = [address(points, strides[0], p, row, number(0)) for row in rows]
            zeros = ir.Constant(vector, [0.0] * WIDE)
            sums = [[cgutils.alloca_once_value(builder, zeros) for _ in range(n_registers)] for _ in rows]
            with cgutils.for_range(builder, channels) as loop:
                own = [builder.load(r, align=4) for r in registers(address(weights, strides[1], p, loop.index, o))]
                for start, totals in zip(starts, sums, strict=True):
                    value = builder.load(builder.gep(start, [loop.index]))
                    lane = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
                    every = builder.shuffle_vector(lane, lane, ir.Constant(ir.VectorType(ir.IntType(32), WIDE), None))
                    for weight, total in zip(own, totals, strict=True):
                        builder.store(builder.call(fused, [every, weight, builder.load(total)]), total)
            for row, totals in zip(rows, sums, strict=True):
                for to, total in zip(registers(address(products, strides[2], p, row, o)), totals, strict=True):
                    builder.store(builder.load(total), to, align=4)
            return context.get_dummy_value()

        return signature, build

    return intrinsic(product)
