"""The main job on 360 real crowd-sourced clips: ends, times, memory, and the scores that the gate's defaults rest on.

usage: python benchmarks/crowd.py [OUT]     writes the sections `crowd` and `scores` of the README
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from readme import COMMAND, DATA, machine, measure, put, table

from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.quality.gate import CHECKS

PERCENTILES = (1, 5, 10, 25, 50, 75, 90)


def main() -> None:
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    output = given or Path(tempfile.mkdtemp()) / "out"
    took = measure(COMMAND, "run", DATA / "crowd", output)
    ledger = pq.read_table(output / "ledger.parquet")
    run = json.loads((output / "run.json").read_text())

    def column(name: str) -> np.ndarray:
        return np.array([np.nan if v is None else v for v in ledger[name].to_pylist()])

    minutes = column("duration_s").sum() / 60
    kept, raw = column("verdict") == "kept", column("chosen") == "raw"
    reasons = table(
        ["end", "clips", "minutes"],
        [[end, run["counts"][end], f"{run['seconds'][end] / 60:.1f}"] for end in ("kept", "rejected", "failed")]
        + [[f"— {r}", part["clips"], f"{part['seconds'] / 60:.1f}"] for r, part in run["reasons"].items()],
    )
    stages = table(["stage", "worker seconds"], [[stage["name"], f"{stage['seconds']:.1f}"] for stage in run["stages"]])
    before = column("before_dnsmos_ovrl")
    published = np.where(raw, before, column("after_dnsmos_ovrl"))
    put(
        "crowd",
        f"{run['counts']['in']} clips, {minutes:.1f} min, in {took.wall_s:.0f} s with start-up, "
        f"{took.peak_gib:.2f} GiB at the peak (all processes); {machine()}. Kept clips: mean OVRL "
        f"{before[kept].mean():.2f} raw, {published[kept].mean():.2f} as published; the guard kept the raw version of "
        f"{raw[kept].mean():.0%}.\n\n{reasons}\n\n{stages}",
    )

    gate = GateConfig()
    rows = []
    for score, bound in CHECKS:
        limit = getattr(gate, f"{score}_{bound}")
        for when in ("before", "after"):
            values = column(f"{when}_{score}").astype(float)
            values = values[np.isfinite(values)]
            share = "" if limit is None else f"{((values < limit) if bound == 'min' else (values > limit)).mean():.0%}"
            rows.append([f"{score} {when}", *(f"{np.percentile(values, p):.4g}" for p in PERCENTILES), limit, share])
    head = ["score", *(f"p{p}" for p in PERCENTILES), "threshold", "beyond it"]
    put("scores", table(head, rows))
    if given is None:
        shutil.rmtree(output.parent)


if __name__ == "__main__":
    main()
