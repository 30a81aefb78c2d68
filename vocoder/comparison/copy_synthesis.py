"""Copy synthesis: a vocoder speaks held-out utterances from the frames of their recordings."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.training.shard_stream import Encoded, clips
from clean_corpus.vocoder.checkpoint import Vocoder
from clean_corpus.vocoder.generation.generate import generate
from clean_corpus.vocoder.generation.voicing import temperatures

CLEAN = "clean"  # name of the set that all others are compared with, if there is one


class Spoken(NamedTuple):
    """Scores of one held-out utterance of one set: of its own audio, or of the vocoder's speech.

    `frames` is None for the audio itself, "own" for frames of the set's own version, else the set they came from.
    """

    system: str
    frames: str | None
    utterance: str
    scores: Scores


def held_out(folder: Path, is_held: Callable[[Encoded], bool], count: int) -> list[str]:
    """Return the keys of the first held-out utterances of an aligned set.

    Raises: DataError if none is held out.
    """
    found = (c.key for shard in sorted(folder.glob("*.tar")) for c in clips(shard) if is_held(c))
    keys = list(islice(found, count))
    if not keys:
        raise DataError(f"set {folder}: no utterance is held out; raise validation_share")
    return keys


def held_out_audio(folder: Path, keys: Sequence[str], sample_rate: int) -> dict[str, Audio]:
    """Return the audio of some utterances of an aligned set, in the order of their keys.

    Raises: DataError if one is missing.
    """
    wanted = set(keys)
    everything = (clip for shard in sorted(folder.glob("*.tar")) for clip in clips(shard))
    found = {clip.key: clip.decode(sample_rate) for clip in everything if clip.key in wanted}
    if missing := sorted(wanted - found.keys()):
        raise DataError(f"set {folder}: utterance {missing[0]} is not there; delete {folder.parent} and run again")
    return {key: found[key] for key in keys}


def speak(vocoder: Vocoder, audio: Mapping[str, Audio], *, seed: int, threads: int) -> dict[str, Audio]:
    """Let a vocoder speak the frames of each utterance, cut to its length; utterance i draws with seed + i.

    Draws in voiced frames have the temperature of the vocoder's card, which is alike for all trainings of a comparison.
    """
    mels = [vocoder.mel(torch.as_tensor(x)[None])[0] for x in audio.values()]
    cooled = [temperatures(mel, vocoder.mel, vocoder.voiced_temperature) for mel in mels]
    waves = generate(vocoder.network, mels, [seed + i for i in range(len(mels))], temperatures=cooled, threads=threads)
    return {key: wave[: len(x)] for (key, x), wave in zip(audio.items(), waves, strict=True)}
