"""Dual-path blocks for one signal on a processor: recurrences where the frames and bins lie, without copies of them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.models.dual_path import DualPath

Order = NDArray[np.int64]


class FastDualPath(nn.Module):
    """What a `DualPath` computes, within 1e-5; signals side by side go through the block itself.

    Shapes: x (1, T, F, C), order (1, T) -> (1, T, F, C).
    """

    def __init__(self, block: DualPath) -> None:
        super().__init__()
        self.block = block
        self._across = _Pair((block.across, ""), (block.across, "_reverse"))
        self._along = _Pair((block.forth, ""), (block.back, ""))

    def forward(self, x: Tensor, order: Tensor) -> Tensor:
        if len(x) != 1 or torch.compiler.is_compiling():
            return self.block(x, order)
        block, (n_frames, n_bins) = self.block, x.shape[1:3]
        rows, bins, frames = x.reshape(n_frames * n_bins, -1), np.arange(n_bins), np.arange(n_frames)
        across = self._across(block.across_norm(rows), n_frames, n_bins, 1, (bins, bins[::-1].copy()))
        rows = rows + block.across_out(across)
        along = self._along(block.along_norm(rows), n_bins, 1, n_bins, (frames, order[0].numpy()))
        return (rows + block.along_out(along)).view_as(x)


class _Pair:
    """Two GRUs over the same sequences in two orders.

    Rows x (N, C) are the steps of sequences that begin `apart` rows from each other, with `step` rows from step to
    step -> (N, 2 H), both results of a row.
    """

    def __init__(self, *ways: tuple[nn.GRU, str]) -> None:
        from clean_corpus.enhancers.serving import recurrence  # its Numba loads for a second

        self._run = recurrence.run_many
        found = [
            [getattr(gru, f"{kind}_l0{way}").detach() for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            for gru, way in ways
        ]
        self._size = ways[0][0].hidden_size
        self._inputs = torch.cat([inputs for inputs, *_ in found])
        biases = [b + torch.cat((c[: 2 * self._size], torch.zeros(self._size))) for *_, b, c in found]
        self._bias = torch.cat(biases)
        self._recurrent = [recurrence.padded(recurrent.numpy()) for _, recurrent, *_ in found]
        self._new = [np.ascontiguousarray(c[2 * self._size :].numpy()) for *_, c in found]

    def __call__(self, x: Tensor, count: int, apart: int, step: int, orders: tuple[Order, Order]) -> Tensor:
        gates = functional.linear(x, self._inputs, self._bias)
        y = gates.new_empty(len(x), 2 * self._size)
        for way, (weights, new, order) in enumerate(zip(self._recurrent, self._new, orders, strict=True)):
            self._run(gates.numpy(), weights, new, y.numpy(), way, count, apart, step * order)
        return y


def use_fast_dual_paths(network: nn.Module) -> None:
    """Replace the dual-path blocks of a network in place, for inference on a processor."""
    for module in list(network.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is DualPath:
                setattr(module, name, FastDualPath(layer))
