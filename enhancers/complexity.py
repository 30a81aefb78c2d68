"""Counts of a network's parameters and multiply-adds, by the rule that reproduces the papers' figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn


def parameters(network: nn.Module) -> int:
    """Count the trainable parameters, without the parts that only training needs (`network.training_only`)."""
    only_training = sum(parameters(network.get_submodule(part)) for part in getattr(network, "training_only", ()))
    return sum(p.numel() for p in network.parameters() if p.requires_grad) - only_training


def fused_multiply_adds(network: nn.Module, *inputs: Tensor, frames: int) -> int:
    """Count the fused multiply-adds per frame of all layers that one call runs through.

    A convolution costs F_out (C_in K + 1) C_out per output frame, F_out also for transposed ones; linear and
    recurrent layers cost their parameters at each use; normalisation and activations are free.

    Source: paper [001], table 5, as read in SYSTEMS.md section 1; for attention also the two products of T x T.
    Departs: transposed convolutions count output bins, which gives DCCRN-E 40.0 M; by input bins it would be the
    24.8 M of SYSTEMS.md section 5.1.
    Shapes: inputs hold `frames` frames of one signal. Network and inputs may be on the meta device.
    """
    total = 0

    def count(module: nn.Module, args: tuple[Tensor, ...], result: Tensor | tuple[Tensor, ...]) -> None:
        nonlocal total
        uses = args[0].shape[0]  # complex layers run two signals through one layer
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            total += uses * frames * result.shape[-1] * _per_place(module)
        elif isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            total += uses * result.shape[-1] * _per_place(module)
        elif isinstance(module, nn.Linear | nn.RNNBase):
            total += args[0].shape[:-1].numel() * parameters(module)
        elif isinstance(module, nn.MultiheadAttention):
            total += uses * frames * (parameters(module) + 2 * frames * module.embed_dim)

    hooks = [m.register_forward_hook(count) for m in network.modules()]
    try:
        with _shapes_of_recurrences(network):
            network(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return total // frames


def _per_place(conv: nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d) -> int:
    """Return the multiply-adds of a convolution for one output frame and bin."""
    kernel = 1
    for size in conv.kernel_size:
        kernel *= size
    return (conv.in_channels // conv.groups * kernel + (conv.bias is not None)) * conv.out_channels


@contextmanager
def _shapes_of_recurrences(network: nn.Module) -> Iterator[None]:
    """Have recurrent layers on the meta device give shapes alone in the block: they would be unrolled step by step."""
    layers = [m for m in network.modules() if isinstance(m, nn.RNNBase) and m.weight_hh_l0.is_meta]
    for layer in layers:
        layer.forward = partial(_recurrence_shape, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward


def _recurrence_shape(
    layer: nn.RNNBase, x: Tensor, state: object = None
) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
    """Return empty tensors of the shapes that a recurrent layer gives for batches; `state` changes none of them."""
    directions = 2 if layer.bidirectional else 1
    hidden = x.new_empty(layer.num_layers * directions, x.shape[0 if layer.batch_first else 1], layer.hidden_size)
    output = x.new_empty(*x.shape[:-1], directions * layer.hidden_size)
    return output, (hidden, hidden) if isinstance(layer, nn.LSTM) else hidden
