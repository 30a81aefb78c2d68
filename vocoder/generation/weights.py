"""A network's weights as the plain arrays that the compiled sample loops read."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from clean_corpus.vocoder.distributions import Gaussian, MuLaw, mu_law_decode
from clean_corpus.vocoder.generation.kernels import cpu
from clean_corpus.vocoder.source import TAPS
from clean_corpus.vocoder.wavenet import WaveNet


class SourceInputs(NamedTuple):
    """What a source says of the samples to come: embedded phases (N, E, B), voicing and period in samples (N, B)."""

    phases: Tensor
    voiced: Tensor
    period: Tensor


@dataclass(frozen=True)
class Weights:
    """Arrays of all layers stacked, with the scales of residual and skip multiplied in.

    Shapes: those of `kernels.cpu.run`, before `tiled`.
    """

    kind: int
    conditioning_hop: int
    layers_per_stack: int
    levels: np.ndarray
    table: np.ndarray
    input_bias: np.ndarray
    dilations: np.ndarray
    dilated: np.ndarray
    dilated_bias: np.ndarray
    conditioner: np.ndarray
    residual: np.ndarray
    residual_bias: np.ndarray
    skip: np.ndarray
    skip_bias: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    output: np.ndarray
    output_bias: np.ndarray
    source_past: np.ndarray
    source_output: np.ndarray
    source_bias: np.ndarray

    @classmethod
    def of(cls, network: WaveNet) -> "Weights":
        """Copy the weights of a network."""
        blocks, dist = list(network.blocks), network.distribution
        share = math.sqrt(1 / len(blocks))
        is_mu_law = isinstance(dist, MuLaw)
        kind = cpu.MU_LAW if is_mu_law else cpu.GAUSSIAN if isinstance(dist, Gaussian) else cpu.LOGISTICS
        levels = mu_law_decode(torch.arange(dist.levels), levels=dist.levels) if is_mu_law else torch.zeros(1)
        return cls(
            kind=kind,
            conditioning_hop=network.conditioning_hop,
            layers_per_stack=network.layers_per_stack,
            levels=_array(levels),
            table=_array(network.input.weight[:, :, 0].t()),
            input_bias=_array(network.input.bias),
            dilations=np.array(network.dilations, np.int64),
            dilated=_array(torch.stack([b.dilated.weight.permute(2, 0, 1) for b in blocks])),
            dilated_bias=_array(torch.stack([b.dilated.bias for b in blocks])),
            conditioner=_array(torch.stack([b.conditioning.weight[:, :, 0] for b in blocks])),
            residual=_array(torch.stack([b.residual.weight[:, :, 0] for b in blocks]) * math.sqrt(0.5)),
            residual_bias=_array(torch.stack([b.residual.bias for b in blocks]) * math.sqrt(0.5)),
            skip=_array(torch.stack([b.skip.weight[:, :, 0] for b in blocks]) * share),
            skip_bias=_array(torch.stack([b.skip.bias for b in blocks]).sum(0) * share),
            hidden=_array(network.hidden.weight[:, :, 0]),
            hidden_bias=_array(network.hidden.bias),
            output=_array(network.output.weight[:, :, 0]),
            output_bias=_array(network.output.bias),
            source_past=_array(network.source.past.weight if network.source else torch.empty(0, TAPS)),
            source_output=_array(network.source.output.weight if network.source else torch.empty(0, 0)),
            source_bias=_array(network.source.output.bias if network.source else torch.empty(0)),
        )


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().float().cpu().numpy())


def history_starts(weights: Weights) -> tuple[np.ndarray, int]:
    """Return the row at which each layer's ring of past inputs begins, int64 (layers,), and the number of rows."""
    pasts = (weights.dilated.shape[1] - 1) * weights.dilations
    return np.concatenate(([0], np.cumsum(pasts)[:-1])).astype(np.int64), int(pasts.sum())
