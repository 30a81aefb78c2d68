"""How the machinery around the networks grows: workers, Prefect's task runs, objects in a bucket.

usage: python benchmarks/growth.py WORK [--objects N]      continues what lies in WORK; writes the section `growth` of
  docs/RESULTS.md

The enhancer is a sleep, so that cores do not decide. Ray workers are real actors of a cluster on this machine; beyond
them a worker is a thread that sleeps, behind the same Prefect tasks. Objects are those of a server of our own that
knows nothing but listings: keys and sizes are made up as they are asked for.
"""

import argparse
import json
import os
import queue
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from readme import machine, put, table

CALLS_PER_WORKER, CALL_S = 8, 1.0
REAL, SIMULATED = (1, 2, 4, 8), (8, 16, 32, 64)
OBJECTS, CLIP_S = 1_000_000, 5.0


# ---- workers ---------------------------------------------------------------------------------------------------


class Sleepers:
    """An engine of which a worker is a permit."""

    def __init__(self, workers: int) -> None:
        self.workers = self.slots = self.present = workers
        self._free: queue.Queue[None] = queue.Queue()
        for _ in range(workers):
            self._free.put(None)

    def run(self, function: Callable[..., Any], *args: object) -> Any:
        self._free.get()
        try:
            return function(*args)
        finally:
            self._free.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def rate(engine: Any, workers: int) -> float:
    """Calls a second through Prefect tasks, from the first to the last."""
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.task_runners import ThreadPoolTaskRunner

    call = task(name="clean", cache_policy=NO_CACHE)(lambda: engine.run(time.sleep, CALL_S))

    @flow(name="growth", task_runner=ThreadPoolTaskRunner(max_workers=256))
    def growth() -> float:
        began = time.perf_counter()
        for future in [call.submit() for _ in range(CALLS_PER_WORKER * workers)]:
            future.result()
        return CALLS_PER_WORKER * workers / (time.perf_counter() - began)

    return growth()


def workers() -> list[list[object]]:
    """Kind, workers, calls a second, share of what as many alone would make."""
    from flows import embedded
    from flows.engines import EngineConfig, open_engine

    embedded.configure()
    lines: list[list[object]] = []
    with embedded.server():
        rate(Sleepers(1), 1)  # what is loaded at the first call
        for n in REAL:
            with open_engine(EngineConfig(kind="ray", workers=n, cpus_per_worker=0.01, ahead=0)) as engine:
                while engine.present < n:
                    time.sleep(0.2)
                lines.append(["Ray actors", n, rate(engine, n)])
        for n in SIMULATED:
            lines.append(["simulated", n, rate(Sleepers(n), n)])
    return [[kind, n, f"{found:.2f}", f"{found * CALL_S / n:.1%}"] for kind, n, found in lines]


# ---- task runs -------------------------------------------------------------------------------------------------


def task_runs(clips: int) -> tuple[int, int]:
    """Groups, and all task runs, of a first run over clips of CLIP_S seconds that are all read alone."""
    from pipeline.clip import Recording
    from pipeline.config import ShardConfig
    from pipeline.grouping import cut

    names = (f"speaker{i % 97:02d}/clip{i:07d}.wav" for i in range(clips))
    size = int(CLIP_S * 32000)
    config = ShardConfig()
    groups = cut([Recording(name, name, size, None) for name in sorted(names)], config.max_clips)
    shards = sum(-(-len(group) * CLIP_S // config.max_s) for group in groups)
    return len(groups), int(len(groups) + 2 * shards + 1)


# ---- objects ---------------------------------------------------------------------------------------------------


class Listing(BaseHTTPRequestHandler):
    """ListObjectsV2 of a bucket with as many objects as the server has."""

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        start, most = int(asked.get("continuation-token", ["0"])[0]), int(asked.get("max-keys", ["1000"])[0])
        prefix, end = asked.get("prefix", [""])[0], min(self.server.objects, start + most)
        entries = "".join(
            f"<Contents><Key>{prefix}speaker{i // 1000:04d}/clip{i:09d}.wav</Key><LastModified>2026-01-01T00:00:00Z"
            f'</LastModified><ETag>"{i:032x}"</ETag><Size>160000</Size></Contents>'
            for i in range(start, end)
        )
        more = end < self.server.objects
        token = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        body = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
            f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{entries}</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def serve(objects: int) -> None:
    """Print the port and serve until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    server.objects = objects
    print(server.server_address[1], flush=True)
    server.serve_forever()


STEPS = ("list", "discover", "group", "ledger")


def step(name: str, objects: int, port: int) -> None:
    """One step in a process of its own, with those before it; prints seconds and peak MiB."""
    import tempfile

    from pipeline import ledger, s3
    from pipeline.clip import Clip, Verdict
    from pipeline.config import S3Config
    from pipeline.gate import Decision
    from pipeline.grouping import grouped
    from pipeline.places import S3Folder
    from pipeline.sources import discover
    from pipeline.storage import LocalStore

    config = S3Config(endpoint_url=f"http://127.0.0.1:{port}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    if name == "list":
        count = sum(1 for _ in s3.listed("bucket", "in/", config=config))
        assert count == objects
    else:
        found = discover(S3Folder("bucket", "in"), exclude=None, s3=config)
        if name == "group":
            began = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                grouped(LocalStore(Path(folder)), found, 64)
        if name == "ledger":
            kept = Decision(Verdict.KEPT, None, None, "enhanced", None)
            rows = [ledger.Row(Clip(r.key, r.source, None), kept, {}, {}) for r in found]
            began = time.perf_counter()
            ledger.to_parquet(ledger.table(rows, enhancer="e", weights_sha256="w", config_sha256="c"))
    took, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{took:.1f} {peak - before:.0f}")


def objects(count: int, known: Path) -> list[list[str]]:
    """Step, objects, seconds and peak MiB above an empty process."""
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    environment = os.environ | keys
    lines = json.loads(known.read_text()) if known.exists() else []
    for n in (count // 10, count):
        if f"{n:,}" in {line[1] for line in lines}:
            continue
        server = subprocess.Popen([sys.executable, __file__, "--serve", str(n)], stdout=subprocess.PIPE, text=True)
        try:
            port = server.stdout.readline().strip()
            for name in STEPS:
                command = [sys.executable, __file__, "--step", name, "--objects", str(n), "--port", port]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                took, peak = done.stdout.split()
                lines.append([name, f"{n:,}", took, peak])
                print(lines[-1], flush=True)
        finally:
            server.kill()
            server.wait()
        known.write_text(json.dumps(lines))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, nargs="?")
    parser.add_argument("--objects", type=int, default=OBJECTS)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve)
    elif asked.step:
        step(asked.step, asked.objects, asked.port)
    else:
        asked.work.mkdir(parents=True, exist_ok=True)
        lines = objects(asked.objects, asked.work / "objects.json")
        groups, runs = task_runs(10_000)
        parts = [
            f"Workers, each call a sleep of {CALL_S:g} s, {CALLS_PER_WORKER} calls a worker, through Prefect tasks:",
            table(["workers are", "number", "calls per s", "of linear"], workers()),
            f"10,000 clips of {CLIP_S:g} s: {groups} groups, {runs} Prefect task runs in a first run.",
            "Objects in a bucket; memory above that of a process that has loaded the same modules:",
            table(["step", "objects", "seconds", "peak MiB"], lines),
            "list: pages one after the other; discover: a row for each in memory; group: to groups, kept in the store; "
            f"ledger: rows to Parquet. {machine()}, with whatever else ran.",
        ]
        put("growth", "\n\n".join(parts), "docs/RESULTS.md")


if __name__ == "__main__":
    main()
