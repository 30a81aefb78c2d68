"""Log-mel frames to speech, sample by sample: many utterances side by side, threads over groups of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from clean_corpus.vocoder.distributions import Gaussian, MuLaw, mu_law_decode
from clean_corpus.vocoder.generation.kernels import cpu
from clean_corpus.vocoder.wavenet import WaveNet

if TYPE_CHECKING:
    from clean_corpus.vocoder.generation.gpu_loop import GpuLoop

BATCH, GPU_BATCH = 32, 1024  # utterances side by side, unless asked otherwise
CONTEXT = 8  # frames on each side of a block whose conditioning is computed; more than it depends on
BLOCK = 50  # frames
PROJECTED = 500  # samples of one utterance whose conditioning goes through all layers' weights at a time


def generate(
    network: WaveNet,
    log_mels: Sequence[Tensor],
    seeds: Sequence[int],
    *,
    speakers: Sequence[int] | None = None,
    batch_size: int | None = None,
    threads: int = 1,
    advance: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """Speech for each utterance.

    What an utterance becomes depends on its frames, its seed and nothing else: not on its neighbours, nor on threads. A
    call with one utterance rounds differently, so that once in many seconds it may draw another sample.
    `advance` is called with the number of samples made since the last call.
    Shapes: each log_mel (n_mels, T) -> (T * hop_length,) float32, full scale +-1.
    Raises: ValueError if seeds or speakers are not as many as utterances, or frames are not as the network's.
    """
    for what, given in (("seeds", seeds), ("speakers", speakers)):
        if given is not None and len(given) != len(log_mels):
            raise ValueError(f"{len(log_mels)} utterances, but {len(given)} {what}")
    weights = Weights.of(network)
    order = sorted(range(len(log_mels)), key=lambda i: -log_mels[i].shape[-1])  # as long ones side by side as may be
    on_gpu = network.mel_mean.is_cuda
    threads = 1 if on_gpu else max(1, threads)
    size = max(1, min(batch_size or (GPU_BATCH if on_gpu else BATCH), -(-len(order) // threads)))
    groups = [order[i : i + size] for i in range(0, len(order), size)]

    def one(group: list[int]) -> list[np.ndarray]:
        chosen = None if speakers is None else [speakers[i] for i in group]
        mels, own_seeds = [log_mels[i] for i in group], [seeds[i] for i in group]
        return _group(network, weights, mels, own_seeds, chosen, len(log_mels) == 1, advance)

    results: list[np.ndarray] = [np.empty(0, np.float32)] * len(order)
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for group, waves in zip(groups, pool.map(one, groups), strict=True):
            for i, wave in zip(group, waves, strict=True):
                results[i] = wave
    return results


@dataclass(frozen=True)
class Weights:
    """A network's weights as the compiled loop wants them; see `kernels.cpu.run`."""

    kind: int
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

    @classmethod
    def of(cls, network: WaveNet) -> "Weights":
        blocks, dist = list(network.blocks), network.distribution
        share = math.sqrt(1 / len(blocks))
        is_mu_law = isinstance(dist, MuLaw)
        kind = cpu.MU_LAW if is_mu_law else cpu.GAUSSIAN if isinstance(dist, Gaussian) else cpu.LOGISTICS
        levels = mu_law_decode(torch.arange(dist.levels), levels=dist.levels) if is_mu_law else torch.zeros(1)
        return cls(
            kind=kind,
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
        )


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().float().cpu().numpy())


class Loop:
    """What a batch of utterances remembers from one stretch of samples to the next.

    An utterance alone is computed in another order of sums than one in a batch, with up to LANES times less work.
    """

    def __init__(self, weights: Weights, batch: int, *, alone: bool = False) -> None:
        self.weights, self.batch = weights, batch
        self._lanes = 1 if alone else -(-batch // cpu.LANES) * cpu.LANES
        arrays = {field.name: getattr(weights, field.name) for field in fields(weights)}
        matrices = ("dilated", "conditioner", "residual", "skip", "hidden", "output")
        arrays |= {name: cpu.tiled(arrays[name], 1 if alone else cpu.TILE) for name in matrices}
        self._arguments = list(arrays.values())
        pasts = (weights.dilated.shape[1] - 1) * weights.dilations
        self._starts = np.concatenate(([0], np.cumsum(pasts)[:-1])).astype(np.int64)
        self._rings = np.zeros((int(pasts.sum()), weights.dilated.shape[3], self._lanes), np.float32)
        self._sample = np.zeros(self._lanes, np.float32)
        silence = len(weights.levels) // 2
        self._chosen = np.full(self._lanes, silence, np.int64)
        self._at = 0

    def run(
        self, conditioning: Tensor | np.ndarray, noise: Tensor | np.ndarray, *, keep_logits: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """The next samples, and the distributions they were drawn from if these are to be kept.

        Shapes: conditioning (N, C, B), noise (N, B, W) -> (N, B), (N, O, B) or (0, O, B).
        """
        n, w = len(noise), self.weights
        noise, conditioning = self._padded(np.asarray(noise), 1), self._padded(np.asarray(conditioning), 2)
        samples = np.empty((n, self._lanes), np.float32)
        logits = np.empty((n if keep_logits else 0, len(w.output), self._lanes), np.float32)
        size = PROJECTED if self._lanes == 1 else max(1, n)
        for start in range(0, n, size):
            part = slice(start, min(n, start + size))
            c = conditioning[part]
            c, projected = (c[:0], self._projected(c)) if self._lanes == 1 else (c, np.empty((0, 1, 1, 1), np.float32))
            cpu.run(
                *self._arguments, c, projected, noise[part], self._rings, self._starts, self._at, self._sample,
                self._chosen, samples[part], logits[part],
            )  # fmt: skip
            self._at += part.stop - start
        return samples[:, : self.batch], logits[:, :, : self.batch]

    def _padded(self, x: np.ndarray, axis: int) -> np.ndarray:
        shape = list(x.shape)
        shape[axis] = self._lanes
        padded = np.zeros(shape, np.float32)
        padded[tuple(slice(0, size) for size in x.shape)] = x
        return padded

    def _projected(self, c: np.ndarray) -> np.ndarray:
        """Conditioning of all layers of many samples at once: for one utterance the weights are read but once."""
        w = self.weights
        flat = c[:, :, 0] @ w.conditioner.reshape(-1, c.shape[1]).T + w.dilated_bias.reshape(-1)
        return flat.reshape(len(c), *w.dilated_bias.shape, 1)


def _group(
    network: WaveNet,
    weights: Weights,
    log_mels: Sequence[Tensor],
    seeds: Sequence[int],
    speakers: Sequence[int] | None,
    alone: bool,
    advance: Callable[[int], None] | None,
) -> list[np.ndarray]:
    hop, device = network.hop_length, network.mel_mean.device
    frames = [m.shape[-1] for m in log_mels]
    n = len(log_mels)
    loop = _gpu_loop(weights, n, device) if device.type == "cuda" else Loop(weights, n, alone=alone)
    conditionings = [
        _conditioning(network, mel, None if speakers is None else speakers[i]) for i, mel in enumerate(log_mels)
    ]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    parts = []
    for start in range(0, max(frames), BLOCK):
        n = min(BLOCK, max(frames) - start) * hop
        c = torch.zeros(n, weights.conditioner.shape[-1], len(log_mels), device=device)
        for i, blocks in enumerate(conditionings):
            if (block := next(blocks, None)) is not None:
                c[: block.shape[1], :, i] = block.t()
        noise = torch.stack([network.distribution.noise(n, g) for g in generators], 1)
        parts.append(loop.run(c, noise)[0])
        if advance:
            advance(sum(min(n, max(0, f - start) * hop) for f in frames))
    whole = np.concatenate(parts)
    return [np.ascontiguousarray(whole[: f * hop, i]) for i, f in enumerate(frames)]


def _gpu_loop(weights: Weights, batch: int, device: torch.device) -> "GpuLoop":
    from clean_corpus.vocoder.generation.gpu_loop import GpuLoop

    return GpuLoop(weights, batch, device)


@torch.inference_mode()
def _conditioning(network: WaveNet, log_mel: Tensor, speaker: int | None) -> Iterator[Tensor]:
    """Conditioning of one utterance, block after block, (C, n) each: of hours, only a few frames are held."""
    n_frames, hop, device = log_mel.shape[-1], network.hop_length, network.mel_mean.device
    log_mel = log_mel.to(device)
    chosen = None if speaker is None else torch.tensor([speaker], device=device)
    for start in range(0, n_frames, BLOCK):
        stop = min(n_frames, start + BLOCK)
        left, right = max(0, start - CONTEXT), min(n_frames, stop + CONTEXT)
        c = network.condition(log_mel[None, :, left:right], chosen)[0]
        yield c[:, (start - left) * hop : (stop - left) * hop]
