"""The section `proof` of the documents, from what a comparison and the runs before it have left."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from documents import table
from environment import machine
from proof_mixes import ROOM_SHARE, TONE_SHARE

from clean_corpus.vocoder.comparison.copy_synthesis import COMMON, OWN
from clean_corpus.vocoder.comparison.differences import Tables
from clean_corpus.vocoder.comparison.result import read_result
from clean_corpus.vocoder.comparison.two_levels import Table, estimate

BANDS_DB = ((-5, 0), (0, 5), (5, 10), (10, 15), (15, 20), (20, 25.1))
MEASURES = {
    "distillmos": "DistillMOS", "dnsmos_p808": "P.808", "dnsmos_ovrl": "OVRL", "dnsmos_sig": "SIG", "dnsmos_bak": "BAK",
    "mcd_db": "MCD, dB", "f0_rmse_hz": "F0, Hz", "voicing_error": "voicing", "stoi": "STOI", "pesq_wb": "PESQ",
    "speaker_likeness": "likeness", "word_error_rate": "WER",
}  # fmt: skip
HEARD = {COMMON: "vocoder, frames of “{}”", OWN: "vocoder, own frames", None: "the audio itself"}
"""What is heard, in the order in which it counts."""

SYNTHESIS_ONLY = ("mcd_db", "f0_rmse_hz", "voicing_error")


def text(work: Path, comparison: Path) -> str:
    """Return what was done, means, the verdict, and the gain by SNR."""
    result, found = read_result(comparison)
    snr_db = snr_of(work, result["utterances"])
    sentences = "\n".join(f"- {sentence}" for sentence in [*result["verdict"], *result["training_overlap"]])
    return "\n\n".join(
        [what_was_done(work, result), means(result, found), sentences, by_snr(result, found, snr_db), cost(result)]
    )


def snr_of(work: Path, keys: Sequence[str]) -> np.ndarray:
    """Return the SNR in dB of the recordings from which utterances were cut."""
    mixes = json.loads((work / "mixes.json").read_text())["mixes"]
    rows = pq.read_table(work / "runs" / "default" / "ledger.parquet", columns=["clip_id", "source"]).to_pylist()
    sources = {row["clip_id"]: Path(row["source"]).stem for row in rows}
    return np.array([mixes[sources[key]]["snr_db"] for key in keys])


def what_was_done(work: Path, result: Mapping[str, Any]) -> str:
    """Return how the recordings came about, and what was trained on them."""
    mixes = json.loads((work / "mixes.json").read_text())
    counts = json.loads((work / "runs" / "default" / "run.json").read_text())["counts"]
    low, high = mixes["snr_range_db"]
    splits = result["splits"]
    gated = work / "runs" / "gated" / "ledger.parquet"
    said = ""
    if "gated" in result["systems"] and gated.exists():
        rows = [row for row in pq.read_table(gated).to_pylist() if row["verdict"] == "kept"]
        raw = sum(row["chosen"] == "raw" for row in rows)
        said = f" The run with the default gate kept {len(rows)} of them, {raw} as they came."
    hours = ", ".join(f"{name} {hours:.2f}" for name, hours in result["hours"].items())
    return (
        f"{mixes['utterances']} utterances of one voice that no 16 kHz network was trained on, at {low:g} to {high:g} "
        f"dB: {TONE_SHARE:.0%} in the generated tone of quiet rooms, the others in recordings of ten kinds that no "
        f"training takes; {ROOM_SHARE:.0%} in a simulated room. {counts['kept']} clips came of them.{said} Hours to "
        f"train on: {hours}. {splits['train']} utterances train, {splits['validation']} validate, {splits['test']} are "
        "spoken; no sentence is on two sides."
    )


def means(result: Mapping[str, Any], found: Tables) -> str:
    """Return the table of means with their intervals: common frames, own frames, the audio itself."""
    shown = [m for m in MEASURES if any(np.isfinite(t[m]).any() for t in found.values())]
    rows = []
    for frames, words in HEARD.items():
        for system in result["systems"]:
            if (values := found.get((system, frames))) is not None:
                cells = ["" if frames is None and m in SYNTHESIS_ONLY else _cell(values[m]) for m in shown]
                rows.append([system, words.format(result["frames_from"]), *cells])
    return table(["set", "heard", *(MEASURES[m] for m in shown)], rows)


def by_snr(result: Mapping[str, Any], found: Tables, snr_db: np.ndarray) -> str:
    """Return the gain over raw of each set by the SNR of the utterance, and at which SNRs it is shown.

    Common frames are those of one set, as a rule the clean one: the SNR of what is spoken does not enter there.
    """
    headline, rows, shown = result["headlines"][0], [], []
    bands = [(low, high, (snr_db >= low) & (snr_db < high)) for low, high in BANDS_DB]
    bands = [band for band in bands if band[2].any()]
    again = (result["aa"] or {}).get("system")
    for system in result["systems"]:
        if system in ("raw", again):
            continue
        for frames in (OWN, None):
            gain = _paired(found[system, frames][headline], found["raw", frames][headline])
            cells = [estimate(gain[:, at]) for _, _, at in bands]
            rows.append([system, HEARD[frames], *map(_signed, cells)])
            better = [_band(*band) for band, cell in zip(bands, cells, strict=True) if cell.low and cell.low > 0]
            where = ", ".join(better) or "no SNR"
            shown += [f"“{system}” is shown to be better than raw ({HEARD[frames]}) at {where}."]
    head = ["set", "heard", *(f"{_band(*band)}, {int(band[2].sum())} utterances" for band in bands)]
    return (
        f"Gain over raw in {MEASURES[headline]} by the SNR of the utterance, 95 % intervals, not corrected for their "
        f"number. The common frames are of “{result['frames_from']}” at every SNR:\n\n{table(head, rows)}\n\n"
        + "\n".join(f"- {sentence}" for sentence in shown)
    )


def cost(result: Mapping[str, Any]) -> str:
    """Return what was trained, for how long, on what."""
    settings = result["settings"]["vocoder"]
    sizes = ", ".join(f"{name} {value}" for name, value in settings["sizes"].items())
    minutes = ", ".join(f"{name} {seconds / 60:.0f}" for name, seconds in result["took_s"].items())
    heard_h = result["steps"] * settings["batch_size"] * settings["frames"] * 0.005 / 3600
    start = f"from the base {Path(settings['start_from']).name}" if settings["start_from"] else "from random weights"
    return (
        f"Each training: {result['steps']} updates of {settings['batch_size']} segments of {settings['frames']} "
        f"frames, {heard_h:.2f} h heard, {start} ({sizes}). Minutes of all {result['seeds']} trainings of a set, with "
        f"whatever else ran: {minutes}. {machine()}."
    )


def _paired(a: Table, b: Table) -> Table:
    return a[: len(b)] - b[: len(a)]


def _band(low: float, high: float, _: object = None) -> str:
    return f"{low:g} to {int(high)} dB"


def _cell(values: Table) -> str:
    mean, low, high, _ = estimate(values)
    if mean is None:
        return ""
    return f"{mean:.3g}" if low is None else f"{mean:.3g} ({low:.3g} to {high:.3g})"


def _signed(cell: tuple[float | None, ...]) -> str:
    mean, low, high, _ = cell
    if mean is None:
        return ""
    return f"{mean:+.2f}" if low is None else f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"
