"""Test whether cleaning helps a vocoder: one held-out voice in unseen noise, cleaned, and a vocoder on every version.

usage: python benchmarks/proof.py WORK --base BASE [--listening-test] [--plan]
  continues an earlier call in WORK, and writes the section `proof` of the documents, or another
  --section; with --listening-test, a page for listeners in WORK/listening-test; with --plan nothing but what it would
  cost, measured here

BASE is `base`, which is shipped, or another vocoder; with --base-config it is trained here, in WORK/base. Sets:
clean (the voice itself, cut and levelled as the run cut and levelled), raw, enhanced (by `default`), gated (what a run
publishes: fewer clips, and raw ones where those are good), and the raw recordings through other enhancers. --sets takes
those names, and names or paths of enhancers.
"""

import argparse
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import proof_cost
import proof_section
import pyarrow.parquet as pq
import wavenet_base
from documents import write_section
from environment import COMMAND, own_children
from proof_mixes import RATE, SNR_DB, UTTERANCES, write_mixes
from voice_shards import write_shards

from clean_corpus.enhancers import checkpoints
from clean_corpus.pipeline.core.config import AudioConfig
from clean_corpus.pipeline.corpus.clips import read_whole

CONFIG = Path(__file__).parent / "proof.yaml"
OWN_SETS = ("raw", "enhanced", "gated", "clean")  # all but enhancers; raw is what others are compared with
OTHERS = ("wgan-mild", "segan", "wgan-glu")  # where they are shipped: the columns of paper [004], Table 3
AUDIO = ["--set", f"audio.sample_rate={RATE}"]
EVERY_CLIP = [
    f"gate.{name}=off"
    for name in (
        "dnsmos_ovrl_min", "dnsmos_sig_min", "dnsmos_bak_min", "snr_db_min", "clipping_ratio_max", "bandwidth_hz_min",
        "speech_ratio_min", "text_rate_deviations_max",
    )
]  # fmt: skip


def default_sets() -> list[str]:
    """Return the sets that there are weights for."""
    return [*OWN_SETS, *filter(checkpoints.is_shipped, OTHERS)]


def run(work: Path, name: str, enhancer: str, settings: Iterable[str]) -> Path:
    """Run the pipeline on the noisy recordings with an enhancer; return its output, which is kept if it is there."""
    out = work / "runs" / name
    command = [COMMAND, "run", work / "noisy", out, "--enhancer", enhancer, *AUDIO]
    for setting in settings:
        command += ["--set", setting]
    subprocess.run([str(part) for part in command], check=True)
    return out


def made_sets(work: Path, wanted: Sequence[str], mixes: dict[str, dict]) -> dict[str, Path]:
    """Return the shards of each set, made as far as they are not there.

    Raises: SystemExit if there are no such sets; ConfigError if there is no such enhancer.
    """
    if "raw" not in wanted or len(wanted) < 2:
        raise SystemExit(f"--sets {','.join(wanted)}: raw and at least one other are needed; the others gain over it")
    every = [*EVERY_CLIP, "variants=true"]
    whole = run(work, "default", checkpoints.DEFAULT, every)
    sets = {"raw": whole / "variants" / "raw", "enhanced": whole / "variants" / "enhanced"}
    if "gated" in wanted:
        sets["gated"] = run(work, "gated", checkpoints.DEFAULT, []) / "shards"
    if "clean" in wanted:
        sets["clean"] = cut_clean(work, whole / "ledger.parquet", mixes)
    for enhancer in wanted:
        if enhancer not in OWN_SETS:
            sets[Path(enhancer).stem] = run(work, Path(enhancer).stem, enhancer, every) / "variants" / "enhanced"
    return {Path(name).stem: sets[Path(name).stem] for name in wanted}


def cut_clean(work: Path, ledger: Path, mixes: dict[str, dict]) -> Path:
    """Write WORK/sets/clean with the clips of a run, cut from the voice itself where the run cut the noisy one.

    The .json of a clip names the recordings that its noisy version was mixed from, and its SNR.
    """
    out, done = work / "sets" / "clean", work / "sets" / "clean.done"
    if done.exists():
        return out
    kept = [row for row in pq.read_table(ledger).to_pylist() if row["verdict"] == "kept"]
    if shortened := [row["clip_id"] for row in kept if row["removed_s"]]:
        raise SystemExit(f"{ledger}: pauses of {shortened[0]} were shortened, so that no clean clip lies beside it")

    def cut(row: dict) -> np.ndarray:
        whole = read_whole(work / "voice" / row["source"], AudioConfig(sample_rate=RATE))
        first = round(row["offset_s"] * RATE)
        return whole[first : first + round(row["duration_s"] * RATE)]

    about = [{"source": row["source"], "text": row["text"], **mixes[Path(row["source"]).stem]} for row in kept]
    write_shards(work, "sets/clean", [row["clip_id"] for row in kept], map(cut, kept), about)
    done.touch()
    return out


def compare(work: Path, sets: dict[str, Path], config: Path, settings: Sequence[str], *, force: bool) -> Path:
    """Train, speak and score, or continue that; return the folder of the comparison."""
    out = work / "comparison"
    command = [COMMAND, "compare", "--out", out, "--config", config, *(["--force"] if force else [])]
    for name, folder in sets.items():
        command += ["--set", f"{name}={folder}"]
    for setting in settings:
        command += ["--setting", setting]
    subprocess.run([str(part) for part in command], check=True)
    return out


def trained_base(work: Path, config: Path) -> Path:
    """Train a base of many speakers below WORK/base, or continue that; return its folder."""
    wavenet_base.prepare(work / "base")
    out = work / "base" / "base"
    command = [COMMAND, "train-vocoder", work / "base" / "shards", "--out", out, "--config", config]
    subprocess.run([str(part) for part in command], check=True)
    return out


def settings_of(asked: argparse.Namespace, base: str | Path | None) -> list[str]:
    """Return what is asked for beside the configuration file."""
    found = [] if asked.seeds is None else [f"seeds={asked.seeds}"]
    if base:
        found.append(f"vocoder.start_from={Path(base).absolute() if Path(base).exists() else base}")
    return found + asked.setting


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--base", help="a trained vocoder that all sets start from; without one, from random weights")
    parser.add_argument("--base-config", type=Path, help="settings of train-vocoder, YAML, for one made here")
    parser.add_argument("--config", type=Path, default=CONFIG, help="settings of compare, YAML")
    parser.add_argument("--setting", action="append", default=[], help="one setting of compare over those of the file")
    parser.add_argument("--seeds", type=int, help="trainings of each set; default: the configuration's")
    parser.add_argument("--sets", help=f"default: {','.join(default_sets())}")
    parser.add_argument("--utterances", type=int, default=UTTERANCES, help="of the voice, which has 1000")
    parser.add_argument("--snr", type=float, nargs=2, default=SNR_DB, metavar=("LOW", "HIGH"), help="dB")
    parser.add_argument("--section", default="proof", help="of the documents, which the table is written to")
    parser.add_argument("--force", action="store_true", help="compare less than ten minutes of audio too, for a try")
    parser.add_argument("--plan", action="store_true", help="say what it costs, and do nothing")
    parser.add_argument("--listening-test", action="store_true", help="make a page for listeners too")
    asked = parser.parse_args()
    work, wanted = asked.work.absolute(), asked.sets.split(",") if asked.sets else default_sets()
    if asked.plan:
        print(proof_cost.plan(asked.config, settings_of(asked, asked.base), wanted, asked.utterances))
        return
    mixes = write_mixes(work, asked.utterances, tuple(asked.snr))["mixes"]
    sets = made_sets(work, wanted, mixes)
    base = trained_base(work, asked.base_config.absolute()) if asked.base_config else asked.base
    comparison = compare(work, sets, asked.config.absolute(), settings_of(asked, base), force=asked.force)
    write_section(asked.section, proof_section.text(work, comparison))
    if asked.listening_test:
        test = [COMMAND, "listening-test", comparison, "--out", work / "listening-test"]
        subprocess.run([str(part) for part in test], check=True)


if __name__ == "__main__":
    main()
