"""Segments of clips with their frames, streamed from WebDataset shards as the input of training steps.

The samples of a segment that count for the loss are preceded by what the clip holds before them, as many frames as the
network remembers. So each of them is predicted from the past that generation will have: speech in the middle of a clip,
nothing at its start, where a segment begins with the clip and some of its first frames may not count. They are followed
by the frames in which the phase of the last ones is measured, if the network is told of phases.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.training.shard_stream import Blocks, Encoded, Shard, Shuffled
from clean_corpus.vocoder.features import SILENCE, LogMel
from clean_corpus.vocoder.pitch import REACH

CONTEXT = REACH + 1  # frames on each side of a segment, more than its conditioning and its F0 depend on


class Segments(Dataset):
    """Endless random segments of clips, of which segment i is a function of (seed, i) alone.

    Of its history + frames + ahead frames, `frames` from number `first` on count.
    Shapes: item -> as `cut_segment`, and speaker () int64.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        mel: LogMel,
        wanted: Callable[[Encoded], bool],
        speakers: Sequence[str],
        *,
        frames: int,
        history: int,
        ahead: int,
        seed: int,
        length: int,
        shuffle_clips: int,
    ) -> None:
        self.shards, self.mel, self.wanted = list(shards), mel, wanted
        self.frames, self.history, self.ahead = frames, history, ahead
        self.speakers = {name: i for i, name in enumerate(speakers)}
        self.seed, self.length, self.shuffle_clips = seed, length, shuffle_clips
        self._blocks = Blocks(length, self._streams)

    def __len__(self) -> int:
        return self.length

    def _streams(self, block: int) -> list[Shuffled]:
        return [Shuffled(self.shards, self.shuffle_clips, (self.seed, 2, block), self.wanted)]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (clip,) = self._blocks.at(index)
        x = clip.decode(self.mel.sample_rate)
        rng = np.random.default_rng((self.seed, 1, index))
        start = int(rng.integers(0, max(1, len(x) // self.mel.hop_length - self.frames + 1)))
        segment = cut_segment(x, self.mel, start, self.frames, self.history, self.ahead)
        return *segment, torch.tensor(self.speakers[clip.speaker])


def cut_segment(
    x: Audio, mel: LogMel, start: int, frames: int, history: int, ahead: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut frames of a clip between those before and after them, and say which of the result is the first that counts.

    Numbers of frames before and after are `WaveNet.history` and `WaveNet.ahead`.
    Shapes: x (N,) -> samples (T * hop_length,), log_mel (n_mels, T + 2 CONTEXT) with T = history + frames + ahead,
    first () int64, at most `history`.
    """
    begin = max(0, start - history)
    return *cut_frames(x, mel, begin, history + frames + ahead), torch.tensor(start - begin)


def cut_frames(x: Audio, mel: LogMel, start: int, frames: int) -> tuple[Tensor, Tensor]:
    """Cut frames of a clip with their samples; beyond its ends lies silence, in samples and in frames.

    Shapes: x (N,) -> (frames * hop_length,), (n_mels, frames + 2 CONTEXT).
    """
    hop, margin = mel.hop_length, CONTEXT + mel.n_fft // mel.hop_length + 1  # whole windows for the outermost frames
    first, n = (start - margin) * hop, (frames + 2 * margin) * hop
    wide = np.zeros(n, np.float32)
    inside = x[max(0, first) : max(0, first + n)]
    wide[max(0, -first) : max(0, -first) + len(inside)] = inside
    samples = torch.as_tensor(wide)
    log_mel = mel(samples[None])[0, :, margin - CONTEXT : margin + frames + CONTEXT]
    numbers = torch.arange(start - CONTEXT, start + frames + CONTEXT)
    log_mel[:, (numbers < 0) | (numbers >= -(-len(x) // hop))] = SILENCE  # as generation has it, which knows no others
    return samples[margin * hop : (margin + frames) * hop], log_mel


def middle_segments(
    clips: Sequence[Encoded], mel: LogMel, frames: int, history: int, ahead: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut the middle of each clip for validation.

    Shapes: -> as `cut_segment`, with a first dimension of B clips.
    """
    middles = []
    for clip in clips:
        x = clip.decode(mel.sample_rate)
        middles.append(cut_segment(x, mel, max(0, len(x) // mel.hop_length - frames) // 2, frames, history, ahead))
    samples, log_mels, firsts = map(torch.stack, zip(*middles, strict=True))
    return samples, log_mels, firsts
