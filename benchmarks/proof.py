"""Test whether cleaning helps a vocoder: mix one voice with real noise, clean it, train on every version.

usage: python benchmarks/proof.py WORK [--minutes N]      continues an earlier call in WORK; writes the section `proof`
  of the documents

The voice is speech/single_speaker, the noise is of noise/train at 15, 20 or 25 dB, drawn from a fixed seed. Sets: clean
(the voice itself, cut and levelled as the run cut and levelled), raw, enhanced and gated (what the run published).
"""

import argparse
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from documents import table, write_section
from environment import COMMAND, DATA, machine
from voice_shards import RATE, write_shards

from clean_corpus.enhancers.training.mixing import random_cut
from clean_corpus.enhancers.training.recordings import load_recordings, noise_tracks
from clean_corpus.pipeline.audio import decode, encode

SNRS_DB, SEED, PEAK = (15, 20, 25), 703, 0.95
SETTINGS = {
    "spoken": 20,
    "vocoder.precision": "bf16-mixed",
    "vocoder.batch_size": 2,
    "vocoder.frames": 120,
    "vocoder.learning_rate": 0.002,
    "vocoder.heard_s": 0,
    "vocoder.workers": 0,
    "vocoder.steps_per_epoch": 500,
    "vocoder.patience": 1000,
    "vocoder.validation_clips": 16,
    "vocoder.sizes.layers": 20,
    "vocoder.sizes.stacks": 2,
    "vocoder.sizes.residual_channels": 32,
    "vocoder.sizes.gate_channels": 64,
    "vocoder.sizes.skip_channels": 64,
    "vocoder.sizes.conditioning_channels": 64,
}
MEASURES = ("dnsmos_p808", "dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak", "mcd_db", "f0_rmse_hz", "pesq_wb", "stoi")


def mix(work: Path) -> None:
    """Write WORK/noisy and WORK/clean, sample-aligned, with one gain for both."""
    rng = np.random.default_rng(SEED)
    tracks = noise_tracks(load_recordings([DATA / "noise" / "train"], RATE))
    for path in sorted((DATA / "speech" / "single_speaker").glob("*.flac")):
        clean = decode.decode(path.read_bytes())[0]
        noise = random_cut(rng, tracks[rng.integers(len(tracks))], len(clean))
        snr_db = rng.choice(SNRS_DB)
        noise = noise * np.sqrt(np.mean(clean**2) / max(1e-12, np.mean(noise**2)) / 10 ** (snr_db / 10))
        noisy = clean + noise
        gain = min(1.0, PEAK / np.abs(noisy).max())
        for name, x in (("clean", clean), ("noisy", noisy)):
            (work / name).mkdir(parents=True, exist_ok=True)
            encode.write_wav(work / name / f"{path.stem}.wav", (x * gain).astype(np.float32), RATE)


def cut_clean(work: Path) -> None:
    """Write WORK/sets/clean with the kept clips of the run, cut from the voice itself."""
    rows = pq.read_table(work / "corpus" / "ledger.parquet").to_pylist()
    kept = [row for row in rows if row["verdict"] == "kept"]

    def cut(row: dict[str, object]) -> np.ndarray:
        whole = decode.decode((work / "clean" / str(row["source"])).read_bytes())[0]
        first = round(row["offset_s"] * RATE)
        return whole[first : first + round(row["duration_s"] * RATE)]

    write_shards(work, "sets/clean", [str(row["clip_id"]) for row in kept], map(cut, kept), [{}] * len(kept))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=float, default=20, help="of the first training; the others make equal steps")
    asked = parser.parse_args()
    work = asked.work
    if not (work / "mixed").exists():
        shutil.rmtree(work / "noisy", ignore_errors=True)
        mix(work)
        (work / "mixed").touch()
    run = [
        COMMAND,
        "run",
        work / "noisy",
        work / "corpus",
        "--set",
        "variants=true",
        "--set",
        "audio.sample_rate=16000",
    ]
    subprocess.run(run, check=True)
    if not (work / "sets" / "done").exists():
        cut_clean(work)
        (work / "sets" / "done").touch()
    sets = {
        "raw": work / "corpus" / "variants" / "raw",
        "enhanced": work / "corpus" / "variants" / "enhanced",
        "gated": work / "corpus" / "shards",
        "clean": work / "sets" / "clean",
    }
    command = [COMMAND, "compare", "--out", work / "comparison", "--budget-minutes", asked.minutes]
    for name, folder in sets.items():
        command += ["--set", f"{name}={folder}"]
    for name, value in SETTINGS.items():
        command += ["--setting", f"{name}={value}"]
    subprocess.run([str(part) for part in command], check=True)
    write_section("proof", summary(work, asked.minutes))


def summary(work: Path, minutes: float) -> str:
    """Return the comparison's means, its verdict, and its cost."""
    run = json.loads((work / "corpus" / "run.json").read_text())
    result = json.loads((work / "comparison" / "result.json").read_text())
    rows = pq.read_table(work / "corpus" / "ledger.parquet").to_pylist()
    kept = [row for row in rows if row["verdict"] == "kept"]
    chose_raw = sum(row["chosen"] == "raw" for row in kept)

    def cell(found: dict[str, float | None]) -> str:
        if found["mean"] is None:
            return ""
        half = 0 if found["low"] is None else (found["high"] - found["low"]) / 2
        return f"{found['mean']:.3g} ± {half:.1g}"

    versions = {None: "the audio itself", "own": "vocoder", "clean": "vocoder, frames of the clean version"}
    lines = [
        [group["system"], versions[group["frames"]], *(cell(group[name]) for name in MEASURES)]
        for group in sorted(result["means"], key=lambda g: list(versions).index(g["frames"]))
    ]
    hours = ", ".join(f"{name} {value:.2f}" for name, value in result["hours"].items())
    took = ", ".join(f"{name} {seconds / 60:.0f}" for name, seconds in result["took_s"].items())
    sizes = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in SETTINGS.items() if ".sizes." in key)
    head = ["set", "heard", *MEASURES]
    counts, snrs = run["counts"], ", ".join(map(str, SNRS_DB))
    what = (
        f"{counts['in']} clips of one voice with noise at {snrs} dB: {len(kept)} kept; the raw version was chosen "
        f"of {chose_raw} ({100 * chose_raw / len(kept):.0f} %). Hours: {hours}. A small WaveNet ({sizes}) was trained "
        f"on each for {result['steps']} updates, {minutes:g} minutes for the first (minutes from first to last update, "
        f"with whatever else ran: {took}). {machine()}."
    )
    return "\n\n".join([what, table(head, lines), "\n".join(f"- {sentence}" for sentence in result["verdict"])])


if __name__ == "__main__":
    main()
