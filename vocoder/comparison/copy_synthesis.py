"""One vocoder per version of a corpus: trained alike, speaking the same held-out utterances, measured alike."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.quality import dnsmos, scorer, signal_measures
from clean_corpus.pipeline.training.shard_stream import Encoded, clips
from clean_corpus.vocoder.checkpoint import Vocoder
from clean_corpus.vocoder.comparison import measures, squim
from clean_corpus.vocoder.generation.generate import generate

CLEAN = "clean"  # the set that all others are held against, where there is one
OPINION = "dnsmos_p808"  # the headline; the gate has chosen by the other ruler, P.835
PREDICTED = ("dnsmos_p808", "dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak")
COPY = ("mcd_db", "lsd_db", "f0_rmse_hz", "voicing_error")
MEASURES: dict[str, str] = {
    "dnsmos_p808": "DNSMOS P.808, predicted opinion of the whole, 1 to 5",
    "dnsmos_ovrl": "DNSMOS P.835, predicted opinion of the whole, 1 to 3.93",
    "dnsmos_sig": "DNSMOS P.835, of the speech, 1 to 4.01",
    "dnsmos_bak": "DNSMOS P.835, of the background, 1 to 4.36",
    "mcd_db": "mel-cepstral distortion from the audio the frames came from, dB, lower is better",
    "lsd_db": "log-spectral distance from it, dB, lower is better",
    "f0_rmse_hz": "error of F0 against it where both are voiced, Hz, lower is better",
    "voicing_error": "share of frames voiced in one of the two alone, lower is better",
    "pesq_wb": "PESQ wide-band against the clean version",
    "stoi": "STOI against the clean version",
    "si_sdr_db": "SI-SDR against the clean version, dB; meaningless for a vocoder, which keeps no phase",
    "squim_pesq": "PESQ as TorchAudio-Squim guesses it without a clean version, if its weights are here",
    "squim_stoi": "STOI as guessed by it",
    "squim_si_sdr_db": "SI-SDR as guessed by it, dB",
}
LOWER_IS_BETTER = frozenset(COPY)


class Spoken(NamedTuple):
    """One held-out utterance of one set: its own audio, or what the set's vocoder makes of frames.

    `frames` is None for the audio itself, "own" for frames of the set's own version, else the set they came from.
    """

    system: str
    frames: str | None
    utterance: str
    scores: Scores


def held_out_audio(folder: Path, keys: Sequence[str], sample_rate: int) -> dict[str, Audio]:
    """The audio of some utterances of an aligned set.

    Raises: DataError if one is not there.
    """
    wanted = set(keys)
    everything = (clip for shard in sorted(folder.glob("*.tar")) for clip in clips(shard))
    found = {clip.key: clip.decode(sample_rate) for clip in everything if clip.key in wanted}
    if missing := sorted(wanted - found.keys()):
        raise DataError(f"set {folder}: utterance {missing[0]} is not there; delete {folder.parent} and run again")
    return {key: found[key] for key in keys}


def speak(vocoder: Vocoder, audio: Mapping[str, Audio], *, seed: int, threads: int) -> dict[str, Audio]:
    """What a vocoder makes of the frames of each utterance, cut to its length; utterance i draws with seed + i."""
    mels = [vocoder.mel(torch.as_tensor(x)[None])[0] for x in audio.values()]
    waves = generate(vocoder.network, mels, [seed + i for i in range(len(mels))], threads=threads)
    return {key: wave[: len(x)] for (key, x), wave in zip(audio.items(), waves, strict=True)}


@cache
def _dnsmos() -> dnsmos.Dnsmos:
    return dnsmos.Dnsmos()


def measure(wave: Audio, source: Audio | None, clean: Audio | None, sample_rate: int) -> Scores:
    """Every name of MEASURES; None where there is nothing to compare with, or nothing was measured.

    Shapes: (N,) samples of one rate; source is the audio that the frames were taken from, clean the clean version.
    """
    values: dict[str, float | None] = dict.fromkeys(MEASURES)
    if np.any(wave) and len(wave) >= scorer.MIN_S * sample_rate:
        heard = scorer.at_scoring_rate(wave, sample_rate)
        values |= _dnsmos()(heard / max(1.0, float(np.abs(heard).max())))
        values |= squim.scores(heard) or {}
    if source is not None and np.any(source):
        melody = measures.melody(wave, source, sample_rate)
        values["mcd_db"] = measures.mel_cepstral_distortion_db(wave, source, sample_rate)
        values["lsd_db"] = measures.log_spectral_distance_db(wave, source, sample_rate)
        values["f0_rmse_hz"], values["voicing_error"] = melody.f0_rmse_hz, melody.voicing_error
    if clean is not None and np.any(clean):
        pair = scorer.at_scoring_rate(wave, sample_rate), scorer.at_scoring_rate(clean, sample_rate)
        values["pesq_wb"] = scorer.pesq_lqo(*pair, "wb")
        values["stoi"] = scorer.stoi(*pair, extended=False)
        values["si_sdr_db"] = signal_measures.si_sdr_db(wave, clean)
    return {k: None if v is None or not np.isfinite(v) else float(v) for k, v in values.items()}


def curve(run: Path, name: str) -> list[tuple[int, float]]:
    """A scalar that a training logged, by step; of a step that was trained twice, after a kill, the later value."""
    values: dict[int, float] = {}
    for folder in sorted((run / "tensorboard").glob("events.*")):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        if name in events.Tags()["scalars"]:
            values |= {event.step: event.value for event in events.Scalars(name)}
    return sorted(values.items())


def trained_s(run: Path) -> float:
    """Seconds between the first and the last thing that a training logged; pauses after a kill are counted."""
    times: list[float] = []
    for folder in (run / "tensorboard").glob("events.*"):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        times += [event.wall_time for tag in events.Tags()["scalars"] for event in events.Scalars(tag)]
    return max(times, default=0.0) - min(times, default=0.0)


def held_out(folder: Path, is_held: Callable[[Encoded], bool], count: int) -> list[str]:
    """Keys of the first held-out utterances of an aligned set.

    Raises: DataError if there is none.
    """
    found = (c.key for shard in sorted(folder.glob("*.tar")) for c in clips(shard) if is_held(c))
    keys = list(islice(found, count))
    if not keys:
        raise DataError(f"set {folder}: no utterance is held out; raise validation_share")
    return keys
