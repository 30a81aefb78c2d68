"""Stretches of clips from WebDataset shards, with their frames, as the vocoder is trained on them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.training.shard_stream import Blocks, Encoded, Shard, Shuffled, clips
from clean_corpus.vocoder.features import LogMel

CONTEXT = 4  # frames on each side of a stretch, more than conditioning depends on
MEASURED = 400  # clips from which the mean and deviation of frames are taken

Disjoint = Literal["utterance", "speaker"]


def speaker_of(clip: Encoded) -> str:
    """Who speaks, by the clip's .json; "" if it does not say."""
    return str(json.loads(clip.about or b"{}").get("speaker") or "")


def is_held_out(clip: Encoded, share: float, disjoint: Disjoint, seed: int) -> bool:
    """Whether a clip belongs to validation: decided by its key or speaker alone, so that every process agrees."""
    name = clip.key if disjoint == "utterance" else speaker_of(clip)
    digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
    return int.from_bytes(digest[:6], "big") < share * 2**48


@dataclass(frozen=True)
class Survey:
    """What shards hold: seconds on each side, speakers by name, mean and deviation of each band of training frames."""

    training_s: float
    validation_s: float
    speakers: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def survey(shards: Sequence[Shard], mel: LogMel, held_out: Callable[[Encoded], bool]) -> Survey:
    """Read all shards once; frames are measured on the first clips only.

    Raises: DataError if a clip has another rate than the frames, or if one side is left without a clip.
    """
    seconds, speakers, measured = [0.0, 0.0], set(), []
    for shard in shards:
        for clip in clips(shard):
            n_samples, rate = clip.length()
            check_rate(clip, rate, mel)
            held = held_out(clip)
            seconds[held] += n_samples / rate
            speakers.add(speaker_of(clip))
            if not held and len(measured) < MEASURED:
                measured.append(mel(torch.as_tensor(clip.decode(mel.sample_rate))[None])[0])
    for side, found in zip(("training", "validation"), seconds, strict=True):
        if not found:
            raise DataError(
                f"{shards[0]} and {len(shards) - 1} more: no clip is left for {side}; give more clips or speakers, or "
                "another validation_share"
            )
    frames = torch.cat(measured, 1)
    std = frames.std(1).clamp_min(1e-3)
    return Survey(*seconds, tuple(sorted(speakers)), tuple(frames.mean(1).tolist()), tuple(std.tolist()))


def check_rate(clip: Encoded, rate: int, mel: LogMel) -> None:
    """Refuse a clip of another rate than the frames.

    Raises: DataError that names it and both rates.
    """
    if rate != mel.sample_rate:
        raise DataError(
            f"shard {clip.shard}: {clip.name} has {rate} Hz, the features {mel.sample_rate} Hz; "
            f"set features.sample_rate={rate} and its hop_length, or publish the corpus at {mel.sample_rate} Hz"
        )


class Segments(Dataset):
    """Item i is a stretch of one clip; which one is a function of (seed, i) alone.

    Shapes: item -> samples (frames * hop_length,), log_mel (n_mels, frames + 2 CONTEXT), speaker () int64.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        mel: LogMel,
        wanted: Callable[[Encoded], bool],
        speakers: Sequence[str],
        *,
        frames: int,
        seed: int,
        length: int,
        shuffle_clips: int,
    ) -> None:
        self.shards, self.mel, self.wanted, self.frames = list(shards), mel, wanted, frames
        self.speakers = {name: i for i, name in enumerate(speakers)}
        self.seed, self.length, self.shuffle_clips = seed, length, shuffle_clips
        self._blocks = Blocks(length, self._streams)

    def __len__(self) -> int:
        return self.length

    def _streams(self, block: int) -> list[Shuffled]:
        return [Shuffled(self.shards, self.shuffle_clips, (self.seed, 2, block), self.wanted)]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        (clip,) = self._blocks.at(index)
        x = clip.decode(self.mel.sample_rate)
        rng = np.random.default_rng((self.seed, 1, index))
        start = int(rng.integers(0, max(1, len(x) // self.mel.hop_length - self.frames + 1)))
        samples, log_mel = stretch(x, self.mel, start, self.frames)
        return samples, log_mel, self.numbers([clip])[0]

    def numbers(self, clips: Sequence[Encoded]) -> Tensor:
        """The speaker of each clip as the network knows them, (len(clips),) int64."""
        return torch.tensor([self.speakers[speaker_of(clip)] for clip in clips])


def stretch(x: Audio, mel: LogMel, start: int, frames: int) -> tuple[Tensor, Tensor]:
    """Samples of some frames, and their log-mel with context; silence lies outside the clip.

    Shapes: x (N,) -> (frames * hop_length,), (n_mels, frames + 2 CONTEXT).
    """
    hop, margin = mel.hop_length, CONTEXT + mel.n_fft // mel.hop_length + 1  # frames that see all of their samples
    first, n = (start - margin) * hop, (frames + 2 * margin) * hop
    wide = np.zeros(n, np.float32)
    inside = x[max(0, first) : max(0, first + n)]
    wide[max(0, -first) : max(0, -first) + len(inside)] = inside
    whole = torch.as_tensor(wide)
    log_mel = mel(whole[None])[0, :, margin - CONTEXT : margin + frames + CONTEXT]
    return whole[margin * hop : (margin + frames) * hop], log_mel


def validation_clips(shards: Sequence[Shard], wanted: Callable[[Encoded], bool], count: int) -> list[Encoded]:
    """The first held-out clips, in the order of the shards."""
    return list(islice((clip for shard in shards for clip in clips(shard) if wanted(clip)), count))
