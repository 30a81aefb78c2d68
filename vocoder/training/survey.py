"""A first pass over the shards of a training: hours, speakers, rates, and the statistics of their frames."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.recording_list import Digests
from clean_corpus.pipeline.training.shard_stream import Encoded, Shard, clips
from clean_corpus.vocoder.features import LogMel

MEASURED = 400  # clips from which the mean and deviation of frames are taken


@dataclass(frozen=True)
class Survey:
    """Content of the shards: seconds on each side of the split, speakers, mean and deviation of each training band.

    `classes` is how often each class of samples comes, where they were counted; `recordings` are those of all clips.
    """

    training_s: float
    validation_s: float
    speakers: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: Tensor | None = None
    recordings: frozenset[Digests] = frozenset()


def survey(
    shards: Sequence[Shard],
    mel: LogMel,
    held_out: Callable[[Encoded], bool],
    counted: Callable[[Tensor], Tensor] | None = None,
) -> Survey:
    """Read all shards once, and measure the frames of the first training clips, and count the classes of samples.

    Raises: DataError if a clip has a lower rate than the frames, or if one side of the split has no clip.
    """
    seconds, speakers, recordings = [0.0, 0.0], set(), set()
    measured: list[Tensor] = []
    classes: Tensor | None = None
    for shard in shards:
        for clip in clips(shard):
            n_samples, rate = clip.length()
            check_rate(clip, rate, mel)
            held = held_out(clip)
            seconds[held] += n_samples / rate
            speakers.add(clip.speaker)
            recordings.update(recording_list.of_clip(clip))
            if not held and len(measured) < MEASURED:
                x = torch.as_tensor(clip.decode(mel.sample_rate))[None]
                measured.append(mel(x)[0])
                if counted:
                    classes = counted(x.clamp(-1, 1)) + (0 if classes is None else classes)
    for side, found in zip(("training", "validation"), seconds, strict=True):
        if not found:
            raise DataError(
                f"{shards[0]} and {len(shards) - 1} more: no clip is left for {side}; give more clips or speakers, or "
                "another validation_share"
            )
    frames = torch.cat(measured, 1)
    std = frames.std(1).clamp_min(1e-3)
    means, deviations = tuple(frames.mean(1).tolist()), tuple(std.tolist())
    return Survey(*seconds, tuple(sorted(speakers)), means, deviations, classes, frozenset(recordings))


def check_rate(clip: Encoded, rate: int, mel: LogMel) -> None:
    """Refuse a clip of a lower rate than the frames, whose upper bands it leaves empty.

    Raises: DataError that names it and both rates.
    """
    if rate < mel.sample_rate:
        raise DataError(
            f"shard {clip.shard}: {clip.name} has {rate} Hz, the features {mel.sample_rate} Hz, whose upper bands it "
            f"leaves empty; set features.sample_rate={rate} and its hop_length, or "
            f"publish the corpus at {mel.sample_rate} Hz"
        )
