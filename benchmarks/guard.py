"""Measure what the gate's defaults rest on: the fixed pairs, whose clean speech is known, before and after enhancing.

usage: python benchmarks/guard.py     writes the sections `guard`, `levels` and `harm` of the documents
"""

import argparse
import json
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import librosa
import numpy as np
from documents import table, write_section
from environment import COMMAND, make_pairs, own_children
from resemblyzer import VoiceEncoder, preprocess_wav

from clean_corpus.pipeline.audio import decode

RATE, HOP = 16000, 160
Scores = dict[str, dict[str, float | None]]


def main() -> None:
    own_children()
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_pairs(root)
        subprocess.run([COMMAND, "enhance", root / "noisy", root / "enhanced"], check=True)
        before, after = (_scores(root / which, root / "clean") for which in ("noisy", "enhanced"))
        write_section("guard", guard(before, after))
        write_section("levels", levels(after))
        write_section("harm", harm(root, before, after))


def _scores(folder: Path, clean: Path) -> Scores:
    """Return the scores of each file."""
    scored = subprocess.run([COMMAND, "score", folder, "--clean", clean, "--json"], check=True, stdout=subprocess.PIPE)
    return json.loads(scored.stdout)["files"]


def column(scores: Scores, score: str, part: str = "") -> np.ndarray:
    """Return a score of the files whose names contain `part`, NaN where it could not be measured."""
    names = sorted(name for name in scores if part in name)
    return np.array([np.nan if (v := scores[n][score]) is None else v for n in names], float)


def guard(before: Scores, after: Scores) -> str:
    """Return how often a fall of the signal score means that quality really fell."""
    worse = [column(after, score) < column(before, score) for score in ("pesq_wb", "si_sdr_db")]
    drop = column(before, "dnsmos_sig") - column(after, "dnsmos_sig")
    rows = [[f"{d:g}", *(int((b & (drop > d)).sum()) for b in (drop > d, *worse))] for d in (0, 0.1, 0.2, 0.3, 0.5)]
    total = [f"any, of {len(before)}", len(before), *(int(b.sum()) for b in worse)]
    return table(["SIG fell by more than", "files", "PESQ really lower", "SI-SDR really lower"], [*rows, total])


def levels(after: Scores) -> str:
    """Return the scores of enhanced files by SNR."""
    shown = ("dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "snr_db", "bandwidth_hz")
    rows = []
    for snr in ("00dB", "05dB", "10dB", "15dB", "20dB"):
        values = ("{:.4g} / {:.4g}".format(*np.nanpercentile(column(after, s, snr), (10, 50))) for s in shown)
        rows.append([snr, *values])
    return table(["pairs of", *(f"{s} p10 / p50" for s in shown)], rows)


def harm(root: Path, before: Scores, after: Scores) -> str:
    """Return what enhancing does to recordings that are nearly good: quality, likeness of the speaker, level."""
    rows = []
    for snr in ("15dB", "20dB"):
        better = column(after, "pesq_wb", snr) > column(before, "pesq_wb", snr)
        names = sorted(path.name for path in (root / "clean").glob(f"*{snr}.wav"))
        alike = np.array([[similarity(root, which, name) for name in names] for which in ("noisy", "enhanced")])
        change = np.array([voiced_level_db(root, name) for name in names])
        rows.append(
            [
                snr,
                f"{np.nanmean(column(after, 'si_sdr_db', snr)):.2f}",
                f"{better.mean():.0%}",
                f"{alike[0].mean():.3f} / {alike[1].mean():.3f}",
                f"{change.mean():+.2f}",
                f"{(abs(change) <= 1).mean():.0%}",
            ]
        )
    heads = ["pairs of", "SI-SDR dB", "PESQ above noisy", "speaker likeness, noisy / enhanced"]
    return table([*heads, "level of voiced frames, dB", "within 1 dB of clean"], rows)


def similarity(root: Path, which: str, name: str) -> float:
    """Return the cosine of the speaker embeddings (resemblyzer) of a version of a recording and of the clean one."""
    return float(_voice(root / which / name) @ _voice(root / "clean" / name))


@cache
def _voice(path: Path) -> np.ndarray:
    return _encoder().embed_utterance(preprocess_wav(_read(path), RATE))


@cache
def _encoder() -> VoiceEncoder:
    return VoiceEncoder("cpu", verbose=False)


def voiced_level_db(root: Path, name: str) -> float:
    """Return the energy of the voiced frames of the enhanced recording, in dB above that of the clean one."""
    clean, enhanced = _read(root / "clean" / name), _read(root / "enhanced" / name)
    voiced = np.repeat(_voiced(root, name.partition("__")[0]), HOP)[: len(clean)]
    voiced = np.pad(voiced, (0, len(clean) - len(voiced)))
    return float(10 * np.log10(np.sum(enhanced[: len(clean)][voiced] ** 2) / np.sum(clean[voiced] ** 2)))


@cache
def _voiced(root: Path, utterance: str) -> np.ndarray:
    path = next((root / "clean").glob(f"{utterance}__*.wav"))
    return librosa.pyin(_read(path), fmin=60, fmax=400, sr=RATE, hop_length=HOP, center=False)[1]


def _read(path: Path) -> np.ndarray:
    return decode.decode(path.read_bytes())[0]


if __name__ == "__main__":
    main()
