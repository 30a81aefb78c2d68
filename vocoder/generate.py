"""Log-mel frames to speech, sample by sample: many utterances side by side, threads over groups of them."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from vocoder.distributions import Gaussian, MuLaw, mu_law_decode
from vocoder.kernels import cpu
from vocoder.wavenet import WaveNet

CONTEXT = 8  # frames on each side of a block whose conditioning is computed; more than it depends on
BLOCK = 50  # frames
CHUNK_FLOATS = 4_000_000  # of conditioning for all layers, computed at a time


def generate(
    network: WaveNet,
    log_mels: Sequence[Tensor],
    seeds: Sequence[int],
    *,
    speakers: Sequence[int] | None = None,
    batch_size: int = 32,
    threads: int = 1,
    advance: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """Speech for each utterance.

    What an utterance becomes depends on its frames, its seed and nothing else: not on its neighbours, nor on threads.
    `advance` is called with the number of samples made since the last call.
    Shapes: each log_mel (n_mels, T) -> (T * hop_length,) float32, full scale +-1.
    Raises: ValueError if seeds or speakers are not as many as utterances, or frames are not as the network's.
    """
    for what, given in (("seeds", seeds), ("speakers", speakers)):
        if given is not None and len(given) != len(log_mels):
            raise ValueError(f"{len(log_mels)} utterances, but {len(given)} {what}")
    weights = Weights.of(network)
    order = sorted(range(len(log_mels)), key=lambda i: -log_mels[i].shape[-1])  # as long ones side by side as may be
    share = -(-len(order) // max(1, threads))
    size = max(1, min(batch_size, share))
    groups = [order[i : i + size] for i in range(0, len(order), size)]

    def one(group: list[int]) -> list[np.ndarray]:
        chosen = None if speakers is None else [speakers[i] for i in group]
        return _group(network, weights, [log_mels[i] for i in group], [seeds[i] for i in group], chosen, advance)

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
    residual: np.ndarray
    residual_bias: np.ndarray
    skip: np.ndarray
    skip_bias: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    output: np.ndarray
    output_bias: np.ndarray
    conditioning: np.ndarray  # (L * G, C)
    conditioning_bias: np.ndarray  # (L * G,), those of the dilated convolutions

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
            residual=_array(torch.stack([b.residual.weight[:, :, 0] for b in blocks]) * math.sqrt(0.5)),
            residual_bias=_array(torch.stack([b.residual.bias for b in blocks]) * math.sqrt(0.5)),
            skip=_array(torch.stack([b.skip.weight[:, :, 0] for b in blocks]) * share),
            skip_bias=_array(torch.stack([b.skip.bias for b in blocks]).sum(0) * share),
            hidden=_array(network.hidden.weight[:, :, 0]),
            hidden_bias=_array(network.hidden.bias),
            output=_array(network.output.weight[:, :, 0]),
            output_bias=_array(network.output.bias),
            conditioning=_array(torch.cat([b.conditioning.weight[:, :, 0] for b in blocks])),
            conditioning_bias=_array(torch.cat([b.dilated.bias for b in blocks])),
        )

    @property
    def loop(self) -> tuple[object, ...]:
        """What the compiled loop takes, in its order."""
        return (
            self.kind, self.levels, self.table, self.input_bias, self.dilations, self.dilated, self.residual,
            self.residual_bias, self.skip, self.skip_bias, self.hidden, self.hidden_bias, self.output, self.output_bias,
        )  # fmt: skip


def _array(x: Tensor) -> np.ndarray:
    return np.ascontiguousarray(x.detach().float().cpu().numpy())


class Loop:
    """What a batch of utterances remembers from one stretch of samples to the next."""

    def __init__(self, weights: Weights, batch: int) -> None:
        self.weights, self.batch = weights, batch
        lanes = 1 if batch == 1 else -(-batch // cpu.LANES) * cpu.LANES
        pasts = (weights.dilated.shape[1] - 1) * weights.dilations
        self._starts = np.concatenate(([0], np.cumsum(pasts)[:-1])).astype(np.int64)
        self._rings = np.zeros((int(pasts.sum()), weights.dilated.shape[3], lanes), np.float32)
        self._sample = np.zeros(lanes, np.float32)
        middle = len(weights.levels) // 2  # silence
        self._chosen = np.full(lanes, middle, np.int64)
        self._at, self._lanes = 0, lanes

    def run(self, conditioning: np.ndarray, noise: np.ndarray, *, keep_logits: bool = False) -> tuple[np.ndarray, ...]:
        """The next samples, and the distributions they were drawn from if these are to be kept.

        Shapes: conditioning (N, C, B), noise (N, B, W) -> (N, B), (N, O, B) or (0, O, B).
        """
        n, w = len(noise), self.weights
        padded = np.zeros((n, self._lanes, noise.shape[2]), np.float32)
        padded[:, : self.batch] = noise
        samples = np.empty((n, self._lanes), np.float32)
        logits = np.empty((n if keep_logits else 0, len(w.output), self._lanes), np.float32)
        per_sample = len(w.conditioning) * self._lanes
        size = max(1, CHUNK_FLOATS // per_sample)
        for start in range(0, n, size):
            part = slice(start, min(n, start + size))
            cpu.run(
                *w.loop, self._projected(conditioning[part]), padded[part], self._rings, self._starts, self._at,
                self._sample, self._chosen, samples[part], logits[part],
            )  # fmt: skip
            self._at += part.stop - start
        return samples[:, : self.batch], logits[:, :, : self.batch]

    def _projected(self, c: np.ndarray) -> np.ndarray:
        """Conditioning of all layers with their biases, (n, C, B) -> (n, L * G, lanes)."""
        w = self.weights
        if self._lanes == 1:
            return (c[:, :, 0] @ w.conditioning.T + w.conditioning_bias)[:, :, None]
        lanes = np.zeros((len(c), c.shape[1], self._lanes), np.float32)
        lanes[:, :, : self.batch] = c
        projected = np.matmul(w.conditioning, lanes)
        projected += w.conditioning_bias[:, None]
        return projected


def _group(
    network: WaveNet,
    weights: Weights,
    log_mels: Sequence[Tensor],
    seeds: Sequence[int],
    speakers: Sequence[int] | None,
    advance: Callable[[int], None] | None,
) -> list[np.ndarray]:
    hop = network.hop_length
    frames = [m.shape[-1] for m in log_mels]
    loop = Loop(weights, len(log_mels))
    conditionings = [
        _conditioning(network, mel, None if speakers is None else speakers[i]) for i, mel in enumerate(log_mels)
    ]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    parts = []
    for start in range(0, max(frames), BLOCK):
        n = min(BLOCK, max(frames) - start) * hop
        c = np.zeros((n, len(weights.conditioning[0]), len(log_mels)), np.float32)
        for i, blocks in enumerate(conditionings):
            if (block := next(blocks, None)) is not None:
                c[: block.shape[1], :, i] = block.T
        noise = np.stack([network.distribution.noise(n, g).numpy() for g in generators], 1)
        parts.append(loop.run(c, noise)[0])
        if advance:
            advance(sum(min(n, max(0, f - start) * hop) for f in frames))
    whole = np.concatenate(parts)
    return [np.ascontiguousarray(whole[: f * hop, i]) for i, f in enumerate(frames)]


@torch.inference_mode()
def _conditioning(network: WaveNet, log_mel: Tensor, speaker: int | None) -> Iterator[np.ndarray]:
    """Conditioning of one utterance, block after block, (C, n) each: of hours, only a few frames are held."""
    n_frames, hop = log_mel.shape[-1], network.hop_length
    chosen = None if speaker is None else torch.tensor([speaker])
    for start in range(0, n_frames, BLOCK):
        stop = min(n_frames, start + BLOCK)
        left, right = max(0, start - CONTEXT), min(n_frames, stop + CONTEXT)
        c = network.condition(log_mel[None, :, left:right], chosen)[0]
        yield c[:, (start - left) * hop : (stop - left) * hop].numpy()
