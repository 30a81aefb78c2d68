"""Copy synthesis: a vocoder speaks held-out utterances from the frames of their recordings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.training.shard_stream import clips
from clean_corpus.vocoder.checkpoint import Vocoder
from clean_corpus.vocoder.generation.equaliser import playable
from clean_corpus.vocoder.generation.generate import generate
from clean_corpus.vocoder.generation.voicing import temperatures

COMMON, OWN = "common", "own"  # frames that a vocoder speaks from: alike for all systems, or of its own set
CLEAN = "clean"  # name of the set that is the clean version of all others, if there is one
SEED_STEP = 100_000  # between the seeds with which two trainings draw, so that they share none


class Spoken(NamedTuple):
    """Scores of one test utterance of one system: of its set's own audio, or of the speech of one of its vocoders.

    A system is a set, or the second training of one. `frames` is None for the audio itself, COMMON for frames that all
    vocoders speak from, OWN for those of the set itself. `seed` numbers the trainings of a system, None for the audio.
    """

    system: str
    frames: str | None
    seed: int | None
    utterance: str
    scores: Scores


def speech_folder(out: Path, system: str, frames: str | None, seed: int | None) -> Path:
    """Return the folder below a comparison's `out` that holds UTTERANCE.wav of a system."""
    folder = out / "speech" / system
    return folder / "audio" if frames is None else folder / frames / f"seed{seed}"


def audio_of(shards: Sequence[Path], keys: Sequence[str], sample_rate: int) -> dict[str, Audio]:
    """Return the audio of some utterances of an aligned set, in the order of their keys.

    Raises: DataError if one is missing.
    """
    wanted = set(keys)
    found = {c.key: c.decode(sample_rate) for shard in shards for c in clips(shard) if c.key in wanted}
    if missing := sorted(wanted - found.keys()):
        raise DataError(f"{', '.join(map(str, shards))}: utterance {missing[0]} is not there; run the command again")
    return {key: found[key] for key in keys}


def speak(
    vocoder: Vocoder,
    audio: Mapping[str, Audio],
    *,
    seed: int,
    threads: int,
    speakers: Mapping[str, str] | None = None,
) -> dict[str, Audio]:
    """Let a vocoder speak the frames of each utterance, cut to its length; utterance i draws with
    SEED_STEP * seed + i.

    `speakers` names that of each utterance, for a vocoder that was trained with speaker_conditioning. Temperature and
    equaliser are those of the vocoder's card, which are alike for all trainings of a comparison.
    """
    mels = [vocoder.mel(torch.as_tensor(x)[None])[0] for x in audio.values()]
    cooled = [temperatures(mel, vocoder.mel, vocoder.voiced_temperature) for mel in mels]
    seeds = [SEED_STEP * seed + i for i in range(len(mels))]
    conditioned = speakers is not None and vocoder.network.speaker is not None
    numbers = [vocoder.speakers.index(speakers[key]) for key in audio] if conditioned else None
    waves = generate(vocoder.network, mels, seeds, speakers=numbers, temperatures=cooled, threads=threads)
    waves = [
        playable(wave, log_mel, vocoder.mel, vocoder.equaliser_ms) for wave, log_mel in zip(waves, mels, strict=True)
    ]
    return {key: wave[: len(x)] for (key, x), wave in zip(audio.items(), waves, strict=True)}


def write(waves: Mapping[str, Audio], folder: Path, sample_rate: int) -> None:
    """Write FOLDER/KEY.wav of each utterance."""
    folder.mkdir(parents=True, exist_ok=True)
    for key, wave in waves.items():
        encode.write_wav(folder / f"{key}.wav", wave, sample_rate)
