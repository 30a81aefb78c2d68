"""Segments of clips with their frames, streamed from WebDataset shards as the input of training steps."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.training.shard_stream import Blocks, Encoded, Shard, Shuffled
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.training.split import speaker_of

CONTEXT = 4  # frames on each side of a segment, more than its conditioning depends on


class Segments(Dataset):
    """Endless random segments of clips, of which segment i is a function of (seed, i) alone.

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
        samples, log_mel = cut_segment(x, self.mel, start, self.frames)
        return samples, log_mel, torch.tensor(self.speakers[speaker_of(clip)])


def cut_segment(x: Audio, mel: LogMel, start: int, frames: int) -> tuple[Tensor, Tensor]:
    """Cut frames of a clip with their samples; beyond its ends lies silence.

    Shapes: x (N,) -> (frames * hop_length,), (n_mels, frames + 2 CONTEXT).
    """
    hop, margin = mel.hop_length, CONTEXT + mel.n_fft // mel.hop_length + 1  # whole windows for the outermost frames
    first, n = (start - margin) * hop, (frames + 2 * margin) * hop
    wide = np.zeros(n, np.float32)
    inside = x[max(0, first) : max(0, first + n)]
    wide[max(0, -first) : max(0, -first) + len(inside)] = inside
    samples = torch.as_tensor(wide)
    log_mel = mel(samples[None])[0, :, margin - CONTEXT : margin + frames + CONTEXT]
    return samples[margin * hop : (margin + frames) * hop], log_mel


def middle_segments(clips: Sequence[Encoded], mel: LogMel, frames: int) -> tuple[Tensor, Tensor]:
    """Cut the middle of each clip for validation.

    Shapes: -> (B, frames * hop_length), (B, n_mels, frames + 2 CONTEXT).
    """
    middles = []
    for clip in clips:
        x = clip.decode(mel.sample_rate)
        middles.append(cut_segment(x, mel, max(0, len(x) // mel.hop_length - frames) // 2, frames))
    samples, log_mels = zip(*middles, strict=True)
    return torch.stack(samples), torch.stack(log_mels)
