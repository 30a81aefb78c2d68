"""Measure how quick the review page's server is over a ledger of generated clips: each question that the page asks.

usage: python benchmarks/review.py WORK [--clips N]      writes the section `review` of the documents

The clips have no audio: names of 2,000 speakers and 5,000 folders, a sentence each, scores at random of which the gate
decides by its own rules. The server is the command itself, asked over HTTP as the page asks, one question at a time.
Times are the median and the slowest of several askings without the first, and what the processors worked on one: other
programs on the machine hardly change that, and it is what a question takes where nothing else runs, or half of it where
both cores join in.
"""

import argparse
import hashlib
import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from documents import table, write_section
from environment import COMMAND, machine, own_children

ASKINGS = 6
ROWS_PER_GROUP = 10_000
WORDS = (
    "the",
    "a",
    "of",
    "light",
    "river",
    "seven",
    "morning",
    "voice",
    "grey",
    "window",
    "north",
    "winter",
    "harbour",
)
SCORES = {  # mean and deviation of the raw clips, and by how much enhancing raises the mean
    "dnsmos_sig": (3.2, 0.35, 0.15), "dnsmos_bak": (3.4, 0.5, 0.6), "dnsmos_ovrl": (2.7, 0.4, 0.3),
    "dnsmos_p808": (3.3, 0.4, 0.3), "snr_db": (20.0, 9.0, 15.0), "clipping_ratio": (0.0003, 0.0006, 0.0),
    "bandwidth_hz": (7400.0, 500.0, 0.0), "speech_ratio": (0.6, 0.15, 0.0), "loudness_lufs": (-25.0, 2.0, 0.0),
}  # fmt: skip


# ---- the ledger ------------------------------------------------------------------------------------------------


def write_corpus(folder: Path, n_clips: int) -> None:
    """Publish a version of generated clips, whose verdicts are those of the gate's rules."""
    from clean_corpus.pipeline.core.config import PipelineConfig
    from clean_corpus.pipeline.core.records import Shard
    from clean_corpus.pipeline.corpus import versions
    from clean_corpus.pipeline.corpus.versions import Manifest
    from clean_corpus.pipeline.storage.local import LocalStore

    config = PipelineConfig(audio={"sample_rate": 16000})
    store = LocalStore(folder)
    store.prepare()
    path = folder / "work" / "generated.parquet"
    decide(generated(n_clips), path, config)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    named = Shard(f"ledgers/{digest[:24]}.parquet", digest, path.stat().st_size, n_clips)
    with path.open("rb") as file:
        store.copy(file, named.key)
    path.unlink()
    run = {"config": config.model_dump(mode="json"), "enhancer": "default", "input": "", "counts": {}, "seconds": {}}
    versions.publish(store, Manifest(ledger=named, shards=[], rejected=[], run=run))


def generated(n: int) -> pa.Table:
    """Return the clips as they are before the gate."""
    rng = np.random.default_rng(0)
    folders, speakers = rng.integers(0, 5000, n), rng.integers(0, 2000, n)
    names = [f"take-{i:07d}-{i * 2654435761 % 2**64:016x}" for i in range(n)]
    words = np.array(WORDS)[rng.integers(0, len(WORDS), (n, 8))]
    columns: dict[str, Any] = {
        "clip_id": names,
        "source": [f"station-{folder:04d}/{name[:12]}.wav" for folder, name in zip(folders, names, strict=True)],
        "source_sha256": [hashlib.sha256(name.encode()).hexdigest() for name in names],
        "offset_s": np.zeros(n),
        "duration_s": rng.uniform(1, 12, n).round(3),
        "text": [" ".join(line) for line in words],
        "speaker": [f"speaker-{speaker:04d}" for speaker in speakers],
        "raw_shard": [f"work/raw/{i // 64:06d}.tar" for i in range(n)],
        "enhanced_shard": [f"work/enhanced/{i // 64:06d}.tar" for i in range(n)],
        "residual_snr_db": rng.normal(26, 8, n),
    }
    for name, (mean, deviation, rise) in SCORES.items():
        before = rng.normal(mean, deviation, n)
        before = np.clip(before, 0, None) if mean > 0 else before
        columns[f"before_{name}"] = before
        columns[f"after_{name}"] = before + rise * rng.uniform(0, 2, n)
    return pa.table(columns)


def decide(clips: pa.Table, path: Path, config: Any) -> None:
    """Write the ledger of clips, with versions and verdicts by the gate's rules."""
    from clean_corpus.flows.review import thresholds
    from clean_corpus.pipeline.corpus.ledger import SCHEMA
    from clean_corpus.pipeline.quality import gate_sql

    limits = thresholds.literal(config.gate)
    with duckdb.connect() as database:
        database.register("clips", clips)
        types = {"string": "VARCHAR", "double": "DOUBLE", "int32": "INTEGER"}
        lacking = ", ".join(
            f"CAST(NULL AS {types[str(field.type)]}) AS {field.name}"
            for field in SCHEMA
            if field.name not in clips.column_names and field.name not in ("chosen", "reason", "verdict", "detail")
        )
        chosen = gate_sql.chosen(limits, prefer=config.gate.prefer)
        found = database.sql(
            f"""SELECT *, if(reason IS NULL, 'kept', 'rejected') AS verdict, reason AS detail
                FROM (SELECT *, {gate_sql.reason(limits, "chosen")} AS reason
                      FROM (SELECT *, {chosen} AS chosen FROM (SELECT *, {lacking} FROM clips)))
                ORDER BY source, clip_id"""
        ).to_arrow_table()
    pq.write_table(found.select(SCHEMA.names).cast(SCHEMA), path, row_group_size=ROWS_PER_GROUP, compression="zstd")


# ---- questions -------------------------------------------------------------------------------------------------


def questions(n_clips: int) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Return what is measured: a name, and the requests that the page makes for it, each in several variants."""

    def filtered(path: str, **asked: Any) -> tuple[str, dict[str, Any]]:
        more = asked.pop("more", {})
        return path, {"filter": json.dumps(asked), **more}

    kept, low = {"is": {"verdict": ["rejected"]}}, {"ranges": {"dnsmos_ovrl": [2.4, 2.6], "snr_db": [10, None]}}
    who = {"is": {"speaker": ["speaker-0007", "speaker-1234"], "verdict": ["kept"]}}
    moves = [{"gate.dnsmos_ovrl_min": value} for value in (2.4, 2.5, 2.7, 2.8)]
    return {
        "a facet's value": [filtered("clips", **kept), filtered("clips", **who)],
        "ranges of two scores": [filtered("clips", **low)],
        "a search in text and names": [filtered("clips", search="harbour winter"), filtered("clips", search="0001234")],
        "all of them at once": [filtered("clips", **kept, ranges=low["ranges"], search="river")],
        "sorted by a score": [filtered("clips", more={"sort": sort}) for sort in ("dnsmos_ovrl", "snr_db")],
        "nearest to the threshold": [filtered("clips", more={"sort": "nearest"})],
        "changed most by enhancing": [filtered("clips", more={"sort": "changed"})],
        "a random sample": [filtered("clips", more={"sort": "random", "seed": seed}) for seed in (1, 2)],
        "the last page of all": [filtered("clips", more={"sort": "dnsmos_sig", "offset": n_clips - 100})],
        "all facets": [filtered("facets"), filtered("facets", **kept), filtered("facets", **who)],
        "all histograms": [filtered("histograms", **kept), filtered("histograms", **low)],
        "hours kept by moved thresholds": [("thresholds", {"moved": json.dumps(move)}) for move in moves],
        "the clips between old and new": [filtered("clips", moved=move, more={"sort": "nearest"}) for move in moves],
        "one clip": [(f"clips/take-{i:07d}-{i * 2654435761 % 2**64:016x}", {}) for i in (5, n_clips // 2, n_clips - 1)],
    }


class Page:
    """The server of the command, asked over one connection as a browser does."""

    def __init__(self, folder: Path) -> None:
        start = time.perf_counter()
        self._process = subprocess.Popen([COMMAND, "review", folder, "--port", "0"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        address = urlsplit(self._process.stdout.readline().strip())
        self.start_s = time.perf_counter() - start
        self._base, self._connection = address.path, http.client.HTTPConnection(str(address.netloc), timeout=120)

    def ask(self, path: str, parameters: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        """Return the seconds that a request took, and its answer."""
        start = time.perf_counter()
        self._connection.request("GET", f"{self._base}api/{path}?{urlencode(parameters)}")
        answer = self._connection.getresponse()
        data = answer.read()
        taken_s = time.perf_counter() - start
        if answer.status != 200:
            raise RuntimeError(f"{path} {parameters}: {answer.status} {data[:200]!r}")
        return taken_s, json.loads(data)

    def cpu_s(self) -> float:
        """Return what processors have worked on the server so far, seconds."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_gib(self) -> float:
        """Return the memory that the process holds."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 2**20

    def end(self) -> None:
        """End the server as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()


def measured(page: Page, requests: Sequence[tuple[str, dict[str, Any]]]) -> list[object]:
    """Return the milliseconds of a question: median and slowest of all askings, and of processors for one."""
    found = []
    for path, parameters in requests:
        page.ask(path, parameters)
    begun_s = page.cpu_s()
    for path, parameters in requests:
        found += [1000 * page.ask(path, parameters)[0] for _ in range(ASKINGS)]
    cpu_ms = 1000 * (page.cpu_s() - begun_s) / len(found)
    return [f"{np.median(found):.0f}", f"{max(found):.0f}", f"{cpu_ms:.0f}"]


def main() -> None:
    own_children()
    """Generate the ledger unless it is there, ask everything, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--clips", type=int, default=1_000_000)
    options = parser.parse_args()
    folder = options.work / f"clips-{options.clips}"
    if not (folder / "versions").is_dir():
        write_corpus(folder, options.clips)
    page = Page(folder)
    try:
        _, facts = page.ask("corpus", {})
        opened_cpu_s = page.cpu_s()
        rows = [[name, *measured(page, requests)] for name, requests in questions(options.clips).items()]
        memory_gib = page.memory_gib()
    finally:
        page.end()
    head = (
        f"{facts['clips']:,} generated clips, {facts['hours']:,.0f} h, of which {facts['kept_hours']:,.0f} h are kept. "
        f"The page opens after {page.start_s:.0f} s ({opened_cpu_s:.0f} s of a processor), in {memory_gib:.1f} GiB. "
        f"On {machine()}, its load {os.getloadavg()[0]:.1f}:"
    )
    write_section("review", f"{head}\n\n{table(['question', 'median, ms', 'slowest, ms', 'of a processor, ms'], rows)}")


if __name__ == "__main__":
    main()
