"""Clean 360 real crowd-sourced clips: ends, times, memory, and the scores on which the gate's defaults rest.

usage: python benchmarks/crowd.py [OUT]     writes the sections `crowd` and `scores` of the documents
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from documents import table, write_section
from environment import COMMAND, DATA, Measured, machine, measure, own_children

from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.quality.gate import CHECKS, UNMENDABLE

PERCENTILES = (1, 5, 10, 25, 50, 75, 90)


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", help="output of the run; default: a temporary folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        output = asked.out or Path(folder, "out")
        took = measure(COMMAND, "run", DATA / "crowd", output, "--set", "audio.sample_rate=16000")
        ledger = pq.read_table(output / "ledger.parquet")
        run = json.loads((output / "run.json").read_text())
    write_section("crowd", ends_and_times(run, ledger, took))
    write_section("scores", scores_and_thresholds(ledger))


def column(ledger: pa.Table, name: str) -> np.ndarray:
    """Return a column of the ledger, NaN for null."""
    return np.array([np.nan if v is None else v for v in ledger[name].to_pylist()])


def ends_and_times(run: dict, ledger: pa.Table, took: Measured) -> str:
    """Return clips and minutes by end and reason, and the seconds of each stage."""
    ends = table(
        ["end", "clips", "minutes"],
        [[end, run["counts"][end], f"{run['seconds'][end] / 60:.1f}"] for end in ("kept", "rejected", "failed")]
        + [[f"— {r}", part["clips"], f"{part['seconds'] / 60:.1f}"] for r, part in run["reasons"].items()],
    )
    stages = table(["stage", "worker seconds"], [[stage["name"], f"{stage['seconds']:.1f}"] for stage in run["stages"]])
    kept, raw = column(ledger, "verdict") == "kept", column(ledger, "chosen") == "raw"
    before = column(ledger, "before_dnsmos_ovrl")
    published = np.where(raw, before, column(ledger, "after_dnsmos_ovrl"))
    classes = [
        f"{v}, {why.partition(':')[0]}" for v, why in zip(*_of_kept(ledger, "chosen", "chosen_why"), strict=True)
    ]
    counted = Counter(classes).most_common()
    shares = "; ".join(f"{name.replace('_', ' ')} {n / len(classes):.0%}" for name, n in counted)
    return (
        f"{run['counts']['in']} clips, {column(ledger, 'duration_s').sum() / 60:.1f} min, in {took.wall_s:.0f} s with "
        f"start-up, {took.peak_gib:.2f} GiB at the peak (all processes); {machine()}. Kept clips: mean OVRL "
        f"{before[kept].mean():.2f} raw, {published[kept].mean():.2f} as published. Published: {shares}."
        f"\n\n{ends}\n\n{stages}"
    )


def _of_kept(ledger: pa.Table, *names: str) -> list[list[str]]:
    """Return columns of the kept clips."""
    kept = ledger.filter(pc.field("verdict") == "kept")
    return [kept[name].to_pylist() for name in names]


def scores_and_thresholds(ledger: pa.Table) -> str:
    """Return percentiles of each score that the gate checks, and the share of clips beyond its threshold."""
    gate = GateConfig().at_rate(16000)
    rows = []
    for score, bound in CHECKS:
        limit = getattr(gate, f"{score}_{bound}")
        for when in ("before", "after"):
            own = (score, bound) in UNMENDABLE  # read at the rate of the recording
            values = column(ledger, score if own and when == "before" else f"{when}_{score}").astype(float)
            values = values[np.isfinite(values)]
            if not values.size:  # of a ruler that this run did not ask for
                continue
            share = "" if limit is None else f"{((values < limit) if bound == 'min' else (values > limit)).mean():.0%}"
            rows.append([f"{score} {when}", *(f"{np.percentile(values, p):.4g}" for p in PERCENTILES), limit, share])
    return table(["score", *(f"p{p}" for p in PERCENTILES), "threshold", "beyond it"], rows)


if __name__ == "__main__":
    main()
