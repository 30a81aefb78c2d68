"""Speech from log-mel frames: groups of utterances side by side, groups spread over threads."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional

from clean_corpus.vocoder.emphasis import de_emphasised
from clean_corpus.vocoder.features import SILENCE
from clean_corpus.vocoder.generation.cpu_loop import CpuLoop
from clean_corpus.vocoder.generation.weights import SourceInputs, Weights
from clean_corpus.vocoder.pitch import REACH
from clean_corpus.vocoder.source import HIDDEN, Voice
from clean_corpus.vocoder.wavenet import WaveNet

if TYPE_CHECKING:
    from clean_corpus.vocoder.generation.gpu_loop import GpuLoop

BATCH, GPU_BATCH = 32, 1024  # utterances side by side, by default
BLOCK = 50  # frames whose samples are made in one call of a loop
PIECE = 40 * BLOCK  # frames whose F0 is read at once
CONTEXT = 8  # frames on each side of a block that its conditioning is computed with, more than it depends on


def generate(
    network: WaveNet,
    log_mels: Sequence[Tensor],
    seeds: Sequence[int],
    *,
    speakers: Sequence[int] | None = None,
    temperatures: Sequence[Tensor] | None = None,
    batch_size: int | None = None,
    threads: int = 1,
    advance: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """Speak each utterance, calling `advance` with the number of samples made since the last call.

    An utterance depends on its frames and its seed alone, neither on its neighbours nor on the number of threads. A
    call with a single utterance rounds differently, so that once in many seconds it may draw another sample.

    Shapes: each log_mel (n_mels, T), each of temperatures (T,), of the draws in each frame, 1 unless given ->
    (T * hop_length,) float32, full scale +-1.
    Raises: ValueError if there are more or fewer seeds, speakers or temperatures than utterances, or frames do not fit
    the network.
    """
    for name, values in (("seeds", seeds), ("speakers", speakers), ("temperatures", temperatures)):
        if values is not None and len(values) != len(log_mels):
            raise ValueError(f"{len(log_mels)} utterances, but {len(values)} {name}")
    for i, mel in enumerate(log_mels):
        if mel.dim() != 2 or mel.shape[0] != network.n_mels or not mel.shape[1]:
            raise ValueError(f"utterance {i}: frames {tuple(mel.shape)}, expected ({network.n_mels}, T), T at least 1")
    weights = Weights.of(network)
    order = sorted(range(len(log_mels)), key=lambda i: -log_mels[i].shape[-1])  # equally long ones share a group
    on_gpu = network.mel_mean.is_cuda
    threads = 1 if on_gpu else max(1, threads)
    size = max(1, min(batch_size or (GPU_BATCH if on_gpu else BATCH), -(-len(order) // threads)))
    groups = [order[i : i + size] for i in range(0, len(order), size)]

    def speak(group: list[int]) -> list[np.ndarray]:
        numbers = None if speakers is None else [speakers[i] for i in group]
        degrees = None if temperatures is None else [temperatures[i] for i in group]
        mels, own_seeds = [log_mels[i] for i in group], [seeds[i] for i in group]
        return _generate_group(network, weights, mels, own_seeds, numbers, degrees, len(log_mels) == 1, advance)

    results: list[np.ndarray] = [np.empty(0, np.float32)] * len(order)
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        for group, waves in zip(groups, pool.map(speak, groups), strict=True):
            for i, wave in zip(group, waves, strict=True):
                results[i] = wave
    return results


def _generate_group(
    network: WaveNet,
    weights: Weights,
    log_mels: Sequence[Tensor],
    seeds: Sequence[int],
    speakers: Sequence[int] | None,
    temperatures: Sequence[Tensor] | None,
    single: bool,
    advance: Callable[[int], None] | None,
) -> list[np.ndarray]:
    """Speak utterances side by side, block after block; the shorter ones are padded and cut at the end."""
    hop, device = network.hop_length, network.mel_mean.device
    n_frames = [m.shape[-1] for m in log_mels]
    loop = _loop(weights, len(log_mels), device, single=single)
    conditionings = [
        _conditioning_blocks(network, mel, None if speakers is None else speakers[i]) for i, mel in enumerate(log_mels)
    ]
    sources = [_source_blocks(network, mel) for mel in log_mels]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    parts = []
    for start in range(0, max(n_frames), BLOCK):
        frames_now = min(BLOCK, max(n_frames) - start)
        n, n_vectors = frames_now * hop, frames_now * network.vectors_per_frame
        c = _side_by_side(conditionings, (n_vectors, weights.conditioner.shape[-1]), device)
        source = network.source and _source_inputs(sources, n, device)
        noise = torch.stack([network.distribution.noise(n, g) for g in generators], 1)
        cooled = None
        if temperatures is not None:
            cooled = torch.ones(n_vectors, len(log_mels))
            for i, own in enumerate(temperatures):
                now = own[start : start + BLOCK].repeat_interleave(network.vectors_per_frame)
                cooled[: len(now), i] = now
        parts.append(loop.run(c, noise, cooled, source)[0])
        if advance:
            advance(sum(min(n, max(0, frames - start) * hop) for frames in n_frames))
    whole = np.concatenate(parts)
    waves = (np.ascontiguousarray(whole[: frames * hop, i]) for i, frames in enumerate(n_frames))
    return [de_emphasised(wave, network.emphasis) for wave in waves]


def _loop(weights: Weights, batch: int, device: torch.device, *, single: bool) -> "CpuLoop | GpuLoop":
    if device.type != "cuda":
        return CpuLoop(weights, batch, single=single)
    from clean_corpus.vocoder.generation.gpu_loop import GpuLoop  # Triton is installed with torch for GPUs only

    return GpuLoop(weights, batch, device)


@torch.inference_mode()
def _conditioning_blocks(network: WaveNet, log_mel: Tensor, speaker: int | None) -> Iterator[Tensor]:
    """Yield the conditioning of one utterance block by block, (n, C) each, so that hours take little memory.

    Silent frames surround the utterance, as in training.
    """
    n_frames, hop, device = log_mel.shape[-1], network.vectors_per_frame, network.mel_mean.device
    log_mel = functional.pad(log_mel.to(device), (CONTEXT, CONTEXT), value=SILENCE)
    number = None if speaker is None else torch.tensor([speaker], device=device)
    for start in range(0, n_frames, BLOCK):
        stop = min(n_frames, start + BLOCK)
        c = network.condition(log_mel[None, :, start : stop + 2 * CONTEXT], number)[0]
        yield c[:, CONTEXT * hop : (CONTEXT + stop - start) * hop].t()


@torch.inference_mode()
def _source_blocks(network: WaveNet, log_mel: Tensor) -> Iterator[Tensor]:
    """Yield phases, voicing and period of one utterance block by block, (n, HIDDEN + 2); nothing without a source.

    F0 is read and interpolated a piece of blocks at a time: over a whole file, single precision has no digits left for
    places between late frames, and the voice of an hour takes gigabytes. The phase runs on from piece to piece.
    """
    if network.source is None:
        return
    n_frames, hop, context = log_mel.shape[1], network.hop_length, REACH + 1  # one frame more, for what is interpolated
    silent = functional.pad(log_mel.to(network.mel_mean.device), (context, context), value=SILENCE)
    reached = None
    for first in range(0, n_frames, PIECE):
        last = min(first + PIECE, n_frames)
        voice = network.source.spoken(silent[None, :, first : last + 2 * context], hop)
        if reached is not None:
            voice = voice._replace(phase=voice.phase + (reached - voice.phase[:, context * hop - 1]))
        reached = voice.phase[:, (context + last - first) * hop - 1]
        for start in range(first, last, BLOCK):
            block = slice((context + start - first) * hop, (context + min(start + BLOCK, last) - first) * hop)
            now = Voice(*(part[:, block] for part in voice))
            yield torch.cat((network.source.phases(now), now.voiced[..., None], now.period[..., None]), 2)[0]


def _source_inputs(blocks_of: Sequence[Iterator[Tensor]], n: int, device: torch.device) -> SourceInputs:
    """Return what the sources of all utterances say of the next n samples."""
    beside = _side_by_side(blocks_of, (n, HIDDEN + 2), device)
    return SourceInputs(beside[:, :HIDDEN], beside[:, HIDDEN], beside[:, HIDDEN + 1])


def _side_by_side(blocks_of: Sequence[Iterator[Tensor]], shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the next block of each utterance, (n, ...) as far as it goes, side by side: (*shape, B)."""
    beside = torch.zeros(*shape, len(blocks_of), device=device)
    for i, blocks in enumerate(blocks_of):
        if (block := next(blocks, None)) is not None:
            beside[: len(block), ..., i] = block
    return beside
