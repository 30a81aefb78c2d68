"""Derive from what on a raw clip is better published as it is than enhanced: gate.raw_*_min.

usage: python benchmarks/raw_or_enhanced.py [MEASURED.json]     measures the mixes unless the file is there, and writes
  the section `choice` of the documents

Mixes of speech/train and noise/train, -5 to 50 dB. The fixed pairs of tools/make_pairs.py, which judge the result,
share no recording with them.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import soundfile
import soxr
from documents import table, write_section
from environment import DATA
from resemblyzer import VoiceEncoder, preprocess_wav

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.pipeline.audio.synthetic import mix_at_snr
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.reasons import ChosenWhy
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.corpus.clips import as_published
from clean_corpus.pipeline.corpus.enhance import enhance_clips
from clean_corpus.pipeline.quality import scorer as scoring
from clean_corpus.pipeline.quality.gate import choose
from clean_corpus.pipeline.quality.signal_measures import residual_snr_db

RATE = 16000
SNRS_DB = (-5, 0, 5, 10, 15, 20, 25, 30)
QUIET_DB = (40, 50)  # where a raw clip begins to be the better one
UTTERANCES, SECONDS = 24, 5
GRID = {
    "snr_db": (15.0, 20.0, 25.0, 30.0, 35.0, 40.0),
    "dnsmos_bak": (3.5, 3.6, 3.7, 3.8, 3.9, 4.0),
    "residual_snr_db": (16.0, 18.0, 20.0, 22.0, 24.0, 26.0, 28.0, 30.0),
}
WITNESSES = ("pesq_wb", "likeness")
CONFIG = PipelineConfig(audio={"sample_rate": RATE})
Mix = dict[str, dict[str, float | None]]
"""Scores of the versions raw and enhanced, and under `mix` the SNR."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measured", type=Path, nargs="?", help="scores of the mixes, read if it is there, else written")
    file = parser.parse_args().measured
    if file and file.exists():
        mixes = json.loads(file.read_text())
    else:
        mixes = list(measured())
        if file:
            file.write_text(json.dumps(mixes))
    write_section("choice", derivation(mixes))


# ---- measuring ---------------------------------------------------------------------------------------------------


def measured() -> Iterator[Mix]:
    """Yield the scores of every mix, raw and enhanced, as each would be published."""
    enhancer, voices = load_enhancer(checkpoints.DEFAULT), VoiceEncoder("cpu", verbose=False)
    ruler = scoring.Scorer(speech_threshold=CONFIG.segment.speech_threshold, dnsmos_windows="whole")
    for clean, raw, about in mixed():
        own_voice = voices.embed_utterance(preprocess_wav(clean, RATE))
        (enhanced,) = enhance_clips([raw], enhancer, CONFIG.enhance, sample_rate=RATE)
        mix: Mix = {"mix": about | {"residual_snr_db": residual_snr_db(raw, enhanced, RATE)}}
        for version, x in (("raw", raw), ("enhanced", enhanced)):
            published, _ = as_published(x, CONFIG.audio)
            mix[version] = ruler.score(published, sample_rate=RATE) | scoring.own_level(x, sample_rate=RATE)
            mix[version]["pesq_wb"] = scoring.pesq_lqo(published, clean, "wb")
            mix[version]["likeness"] = float(voices.embed_utterance(preprocess_wav(published, RATE)) @ own_voice)
        yield mix


def mixed() -> Iterator[tuple[Audio, Audio, dict[str, float | None]]]:
    """Yield clean and noisy speech, and what they are."""
    speech = sorted((DATA / "speech/train").glob("*.flac"))
    noises = sorted((DATA / "noise/train").glob("*/*.ogg"))
    rng = np.random.default_rng(0)
    for levels_db in (SNRS_DB, QUIET_DB):
        for number, path in enumerate(speech[:: len(speech) // UTTERANCES][:UTTERANCES]):
            clean = _read(path)[: SECONDS * RATE]
            for snr_db in levels_db:
                noise = np.resize(_read(noises[rng.integers(len(noises))]), len(clean))
                noise = noise + 1e-4 * rng.standard_normal(len(clean)).astype(np.float32)  # some clips are silent
                raw = mix_at_snr(clean, noise, snr_db)
                yield clean, raw * np.float32(min(1.0, 0.95 / np.abs(raw).max())), {"snr_db": snr_db, "clip": number}


def _read(path: Path) -> Audio:
    x, rate = soundfile.read(path, dtype="float32")
    return x if rate == RATE else soxr.resample(x, rate, RATE)


# ---- choosing ----------------------------------------------------------------------------------------------------


def chosen_raw(mixes: list[Mix], **limits: float) -> np.ndarray:
    """Return for each mix whether the gate would publish it as it is."""
    gate = CONFIG.gate.model_copy(update={f"raw_{score}_min": limit for score, limit in limits.items()})
    whys = [choose(_heard(mix["raw"]), _heard(mix["enhanced"]), gate, _own(mix))[1] for mix in mixes]
    return np.array([why is ChosenWhy.RAW_IS_GOOD for why in whys])


def _heard(scores: dict[str, float | None]) -> dict[str, float | None]:
    """Return the scores that the gate has: without those that need the clean speech."""
    return {name: value for name, value in scores.items() if name not in WITNESSES}


def _own(mix: Mix) -> dict[str, float | None]:
    return {"residual_snr_db": mix["mix"]["residual_snr_db"]}


def gains(mixes: list[Mix], raw: np.ndarray) -> np.ndarray:
    """Return what the choice gains over always enhancing: (SNRs, WITNESSES), means."""
    level = np.array([mix["mix"]["snr_db"] for mix in mixes])
    gain = np.array([[mix["raw"][w] - mix["enhanced"][w] for w in WITNESSES] for mix in mixes]) * raw[:, None]
    return np.array([np.nanmean(gain[level == snr_db], axis=0) for snr_db in SNRS_DB + QUIET_DB])


def best(mixes: list[Mix]) -> dict[str, float]:
    """Return the thresholds that at no SNR are worse than always enhancing, and that gain most PESQ.

    Of equal ones they are the strictest.
    Raises: ValueError if there are none.
    """
    found: tuple[float, dict[str, float]] | None = None
    for values in product(*GRID.values()):
        limits = dict(zip(GRID, values, strict=True))
        gain = gains(mixes, chosen_raw(mixes, **limits))
        if (gain >= 0).all() and (found is None or gain[:, 0].sum() > found[0] - 1e-9):
            found = float(gain[:, 0].sum()), limits
    if found is None:
        raise ValueError(f"no thresholds of {GRID} are at no SNR worse than always enhancing")
    return found[1]


def derivation(mixes: list[Mix]) -> str:
    """Return the table of the choice by SNR, with the derived thresholds and with those of the settings."""
    derived = best(mixes)
    settings = {score: getattr(CONFIG.gate, f"raw_{score}_min") for score in GRID}
    raw = chosen_raw(mixes, **settings)
    level = np.array([mix["mix"]["snr_db"] for mix in mixes])
    rows = []
    for snr_db in SNRS_DB + QUIET_DB:
        here = [mix for mix in mixes if mix["mix"]["snr_db"] == snr_db]
        row: list[object] = [f"{snr_db} dB", f"{raw[level == snr_db].mean():.0%}"]
        for witness, digits in zip(WITNESSES, (2, 3), strict=True):
            values = [[mix[version][witness] for mix in here] for version in ("raw", "enhanced")]
            values.append(list(np.where(raw[level == snr_db], *values)))
            row += [f"{np.nanmean(part):.{digits}f}" for part in values]
        rows.append(row)
    heads = [f"{name}, {version}" for name in ("PESQ", "likeness") for version in ("raw", "enhanced", "chosen")]
    words = "; ".join(f"`raw_{score}_min` {derived[score]:g}, set {settings[score]:g}" for score in GRID)
    return f"{table(['mixes of', 'published raw', *heads], rows)}\n\nDerived of {len(mixes)} mixes: {words}."


if __name__ == "__main__":
    main()
