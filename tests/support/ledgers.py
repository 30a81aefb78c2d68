"""Ledgers whose figures are known beforehand, some of them hostile, and runs to go with them."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clean_corpus.pipeline.audio.synthetic import coloured_noise
from clean_corpus.pipeline.core.config import GateConfig, PipelineConfig

RATE = 16000
SCORES = ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl", "snr_db", "clipping_ratio", "bandwidth_hz", "speech_ratio")
GOOD = {
    "dnsmos_sig": 3.4,
    "dnsmos_bak": 3.6,
    "snr_db": 25.0,
    "clipping_ratio": 0.0,
    "bandwidth_hz": 7800.0,
    "speech_ratio": 0.8,
}
HOSTILE = 'a "b" \'c\' <script>window.hacked = 1</script>\n</td><img src=x onerror="window.hacked = 1">'


def clip(name: str, verdict: str = "kept", *, before: float | None = None, after: float | None = None, **more) -> dict:
    """One row of a ledger; `before` and `after` are its OVRL, the other scores pass the gate."""
    row = dict.fromkeys(("text", "speaker", "licence", "consent", "reason", "detail", "chosen", "chosen_why", "shard"))
    row |= {"clip_id": name, "source": f"{name}.wav", "offset_s": 0.0, "duration_s": 1.5, "verdict": verdict}
    for when, ovrl in (("before", before), ("after", after)):
        scores = dict.fromkeys(SCORES) | ({} if ovrl is None else GOOD | {"dnsmos_ovrl": ovrl})
        row |= {f"{when}_{score}": value for score, value in scores.items()}
    return row | more


TEXTS = ("clip_id", "source", "verdict", "text", "speaker", "licence", "consent", "reason", "detail")
TEXTS += ("chosen", "chosen_why", "shard", "text_source", "recording_text")


def ledger(folder: Path, rows: list[dict], *, rows_per_group: int = 7) -> Path:
    """Write rows as a ledger of several parts, its columns those of the first; without rows, its columns alone."""
    names = rows[0] if rows else clip("none")
    schema = pa.schema([(name, pa.string() if name in TEXTS else pa.float64()) for name in names])
    path = folder / f"ledger-{len(list(folder.glob('ledger-*')))}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=rows_per_group)
    return path


def run_of(**more) -> dict:
    """What a run says of itself."""
    started = datetime(2026, 1, 1, 12, tzinfo=UTC)
    return {
        "started": started.isoformat(),
        "finished": (started + timedelta(seconds=90)).isoformat(),
        "input": "/recordings/radio",
        "output": "/corpus",
        "enhancer": "cgcrn",
        "stages": [
            {"name": "decode", "seconds": 2.0, "done": 20, "reused": 4},
            {"name": "enhance", "seconds": 61.5, "done": 3, "reused": 0},
        ],
        "config": json.loads(PipelineConfig(gate=GateConfig(dnsmos_ovrl_min=2.4)).model_dump_json()),
        "versions": {"clean-corpus": "0.1.0"},
        "rulers": {"dnsmos_ovrl": "sig_bak_ovr.onnx"},
    } | more


def audio(clip_id: str, version: str):
    """A second and a half of pink noise, quieter when enhanced."""
    noise = coloured_noise(np.random.default_rng(len(clip_id)), RATE * 3 // 2, slope=1.0)
    return noise * (0.1 if version == "raw" else 0.02), RATE


def mixed() -> list[dict]:
    """Every kind of end, some of them hostile."""
    enhanced = [
        clip(f"kept-{i:02}", before=2.0 + 0.1 * i, after=2.6 + 0.05 * i, chosen="enhanced", text="Hello.")
        for i in range(12)
    ]
    guarded = clip(
        "guarded",
        before=3.2,
        after=2.7,
        chosen="raw",
        chosen_why="damage: dnsmos_sig 3.4 -> 3.2, allowed -0.1",
        duration_s=4.0,
    )
    rejected = [
        clip(f"low-{i}", "rejected", before=1.5, after=2.0 + 0.1 * i, chosen="enhanced", reason="dnsmos_ovrl")
        | {"detail": f"dnsmos_ovrl {2.0 + 0.1 * i:.4g} < 2.4"}
        for i in range(3)
    ]
    hostile = clip('h"><script>window.hacked = 1</script>', "rejected", source=HOSTILE, text=HOSTILE, reason=HOSTILE)
    failed = [
        clip("f-1", "failed", source=HOSTILE, reason="decode", detail=f"LibsndfileError: {HOSTILE}", duration_s=0.0),
        clip("f-2", "failed", source="x" * 200, reason="decode", detail="y" * 300, duration_s=0.0),
    ]
    return [*enhanced, guarded, *rejected, hostile, clip("long-" + "n" * 200, "rejected", reason="duplicate"), *failed]


def figure(page: str, name: str) -> str:
    """The text that the page shows for a named figure."""
    return re.search(rf'data-figure="{name}">([^<]*)<', page).group(1)


EDGES = {
    "nothing at all": [],
    "all failed": [clip(f"f{i}", "failed", reason="decode", detail="bad", duration_s=0.0) for i in range(3)],
    "nothing kept": [clip(f"r{i}", "rejected", before=1.0, after=1.2, reason="dnsmos_ovrl") for i in range(3)],
    "scores null": [clip("a", chosen="raw"), clip("b", "rejected", reason="no_speech")],
    "one clip": [clip("a", before=3.0, after=3.0, chosen="enhanced")],
}
