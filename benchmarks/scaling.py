"""Measure how the machinery around the networks scales: workers, Prefect's task runs, objects in a bucket.

usage: python benchmarks/scaling.py WORK [--objects N]      continues an earlier call in WORK; writes the section
  `growth` of the documents

The enhancer is a sleep, so that cores do not decide. Ray workers are real actors of a cluster on this machine; larger
numbers of workers are threads that sleep, behind the same Prefect tasks. Objects come from a server that answers
listings alone, with made-up keys and sizes. A run over them is the real flow, with its Prefect server, its ledger, its
versions and its report; only the workers are simulated: their results are made up.
"""

import argparse
import base64
import hashlib
import json
import os
import queue
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np
from documents import table, write_section
from environment import machine, own_children

CALLS_PER_WORKER, CALL_S = 8, 1.0
REAL, SIMULATED = (1, 2, 4, 8), (8, 16, 32, 64)
SIMULATED_WORKERS = 4
OBJECTS, CLIP_S = 1_000_000, 5.0


# ---- workers ---------------------------------------------------------------------------------------------------


class Sleepers:
    """An engine whose workers are permits to run a function in the calling thread."""

    def __init__(self, workers: int) -> None:
        self.workers = self.slots = self.present = workers
        self._free: queue.Queue[None] = queue.Queue()
        for _ in range(workers):
            self._free.put(None)

    def run(self, function: Callable[..., Any], *args: object, limit_s: float | None = None) -> Any:
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
    """Return the calls per second through Prefect tasks, from the first to the last."""
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.task_runners import ThreadPoolTaskRunner

    call = task(name="clean", cache_policy=NO_CACHE)(lambda: engine.run(time.sleep, CALL_S))

    @flow(name="growth", task_runner=ThreadPoolTaskRunner())
    def growth() -> float:
        began = time.perf_counter()
        for future in [call.submit() for _ in range(CALLS_PER_WORKER * workers)]:
            future.result()
        return CALLS_PER_WORKER * workers / (time.perf_counter() - began)

    return growth()


def worker_lines(known: Path) -> list[list[object]]:
    """Return kind, number of workers, calls per second, and their share of linear growth."""
    if known.exists():
        return json.loads(known.read_text())
    from clean_corpus.flows import local_server
    from clean_corpus.flows.engines import open_engine
    from clean_corpus.flows.engines.base import EngineConfig

    local_server.configure()
    lines: list[list[object]] = []
    with local_server.server():
        rate(Sleepers(1), 1)  # loads what the first call loads
        for n in REAL:
            with open_engine(EngineConfig(kind="ray", workers=n, cpus_per_worker=0.01, ahead=0)) as engine:
                while engine.present < n:
                    time.sleep(0.2)
                lines.append(["Ray actors", n, rate(engine, n)])
        for n in SIMULATED:
            lines.append(["simulated", n, rate(Sleepers(n), n)])
    lines = [[kind, n, f"{found:.2f}", f"{found * CALL_S / n:.1%}"] for kind, n, found in lines]
    known.write_text(json.dumps(lines))
    return lines


# ---- objects ---------------------------------------------------------------------------------------------------


class Listing(BaseHTTPRequestHandler):
    """Answers ListObjectsV2 of a bucket with as many objects as the server has."""

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
    """Print the port, and serve until killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Listing)
    server.objects = objects
    print(server.server_address[1], flush=True)
    server.serve_forever()


class Simulated(Sleepers):
    """Workers with made-up results: a clip of CLIP_S seconds for each recording, good scores, empty tars."""

    report_mib = 0.0

    def run(self, function: Callable[..., Any], *args: Any, limit_s: float | None = None) -> Any:
        return getattr(self, function.__name__)(*args)

    def ingest(self, config: Any, group: list[Any], sizes: list[int]) -> Any:
        from clean_corpus.pipeline.core.records import Ingested, Outcome, RawShard, Shard
        from clean_corpus.pipeline.core.types import Clip

        clips, prints = [], []
        for recording in group:
            digest = hashlib.sha256(recording.source.encode())
            clip = Clip(recording.key, recording.source, digest.hexdigest(), 0.0, CLIP_S, 16000, 1, 4.0)
            clips.append(replace(clip, pcm_sha256=digest.hexdigest(), metadata=recording.metadata))
            draw = np.random.default_rng(int.from_bytes(digest.digest()[:8], "big"))
            codes = draw.integers(1, 2**32, round(CLIP_S / 0.012), np.uint32)
            prints.append(base64.b64encode(codes.tobytes()).decode())
        shard = Shard(f"work/raw/{clips[0].clip_id}-000.tar", clips[0].source_sha256, 1, len(clips))
        return Outcome("ingest", Ingested([RawShard(shard, clips, prints)], []), 0.0, reused=False)

    def finish(self, config: Any, raw: Any, name: str, reviews: Any) -> Any:
        from clean_corpus.flows import shard_work

        judged = shard_work.judge(config, name, raw, lambda _, function, *args: self.run(function, config, raw, *args))
        finished = shard_work.publish(config, judged, lambda _, function, *args: self.run(function, config, raw, *args))
        finished.stages[:0] = judged.stages
        return finished

    def clean(self, config: Any, raw: Any) -> Any:
        from clean_corpus.flows.worker_functions import Cleaned
        from clean_corpus.pipeline.core.records import Enhanced, Outcome, Scored
        from clean_corpus.pipeline.quality.scorer import SCORES

        def outcome(result: Any) -> Any:
            return Outcome("clean", result, 0.0, reused=False)

        good = dict.fromkeys(SCORES, 3.0) | {"snr_db": 30.0, "dnsmos_bak": 4.0, "bandwidth_hz": 7900.0}
        good |= {"clipping_ratio": 0.0, "speech_ratio": 0.8, "loudness_lufs": -25.0, "dnsmos_sig": 3.5}
        scores = {clip.clip_id: dict(good) for clip in raw.wanted}
        enhanced = replace(raw.shard, key=raw.shard.key.replace("raw", "enhanced"))
        return Cleaned(outcome(Scored(scores, {})), outcome(Enhanced(enhanced, {})), outcome(Scored(scores, {})))

    def publish(self, config: Any, raw: Any, enhanced: Any, endings: list[Any]) -> Any:
        from clean_corpus.pipeline.core.records import Outcome, Published

        kept = replace(raw.shard, key=raw.shard.key.replace("work/raw", "shards"))
        gains = {ending.clip.clip_id: -1.5 for ending in endings}
        return Outcome("publish", Published(kept, None, gains), 0.0, reused=False)

    def report(self, config: Any, run: Any, clip_shards: Any) -> None:
        """Write the real report, without clips to play, in a process of its own."""
        import multiprocessing

        from clean_corpus.flows import worker_functions

        child = multiprocessing.get_context("spawn").Process(target=worker_functions.report, args=(config, run, {}))
        child.start()
        child.join()
        self.report_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # before the server ends
        if child.exitcode:
            raise RuntimeError(f"report: exit code {child.exitcode}")


STEPS = ("list", "flow")


def step(name: str, objects: int, port: int) -> None:
    """Run one step in this process; print seconds, its peak MiB, those of its children, and task runs."""
    from clean_corpus.pipeline.core.config import S3Config
    from clean_corpus.pipeline.storage import s3_objects

    config = S3Config(endpoint_url=f"http://127.0.0.1:{port}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report_mib, runs, began = 0.0, 0, time.perf_counter()
    if name == "list":
        count = sum(1 for _ in s3_objects.list_objects("bucket", "in/", config=config))
        assert count == objects
    else:
        before, took, report_mib, runs = whole_flow(objects, config)
        began = time.perf_counter() - took
    took, peak = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{took:.1f} {peak - before:.0f} {report_mib:.0f} {runs}")


def whole_flow(objects: int, config: Any) -> tuple[float, float, float, int]:
    """Run the flow over a bucket; return the MiB before it, its seconds, the report's MiB, and its task runs."""
    import tempfile

    from clean_corpus.flows import local_server

    local_server.configure()
    with local_server.server(), tempfile.TemporaryDirectory() as folder:
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

        from clean_corpus.flows import clean_corpus as module
        from clean_corpus.flows.config import RunConfig
        from clean_corpus.pipeline.core.config_input import validate

        module.open_engine = lambda _: engine
        engine = Simulated(SIMULATED_WORKERS)
        settings = {"input": "s3://bucket/in", "output": folder, "s3": config.model_dump()}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        began = time.perf_counter()
        summary = module.clean_corpus(validate(RunConfig, settings))
        took = time.perf_counter() - began
        assert summary["counts"] == {"in": objects, "kept": objects, "rejected": 0, "failed": 0}, summary["counts"]
        asked = FlowRunFilter(id=FlowRunFilterId(any_=[summary["run"]]))
        with get_client(sync_client=True) as client:
            answer = client.request("POST", "/task_runs/count", json={"flow_runs": asked.model_dump(mode="json")})
        print(
            *(f"{s['name']} {s['seconds']:.1f} s" for s in summary["stages"] if s["seconds"]), sep=", ", file=sys.stderr
        )
        return before, took, engine.report_mib, answer.json()


def object_lines(count: int, known: Path) -> list[list[str]]:
    """Return step, objects, seconds, peak MiB above an empty process, peak MiB of the report, and task runs."""
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    environment = os.environ | keys
    lines = json.loads(known.read_text()) if known.exists() else []
    for n in (count // 100, count // 10, count):
        server = subprocess.Popen([sys.executable, __file__, "--serve", str(n)], stdout=subprocess.PIPE, text=True)
        try:
            port = server.stdout.readline().strip()
            for name in STEPS:
                if any(line[:2] == [name, f"{n:,}"] for line in lines):
                    continue
                command = [sys.executable, __file__, "--step", name, "--objects", str(n), "--port", port]
                ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                took, peak, report, runs = ended.stdout.split()
                lines.append([name, f"{n:,}", took, peak, *([report, f"{int(runs):,}"] if name == "flow" else "  ")])
                print(lines[-1], flush=True)
                known.write_text(json.dumps(lines))
        finally:
            server.kill()
            server.wait()
    return sorted(lines, key=lambda line: (int(line[1].replace(",", "")), STEPS.index(line[0])))


def main() -> None:
    own_children()
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
        lines = object_lines(asked.objects, asked.work / "objects.json")
        parts = [
            f"Workers, each call a sleep of {CALL_S:g} s, {CALLS_PER_WORKER} calls a worker, through Prefect tasks:",
            table(["workers are", "number", "calls per s", "of linear"], worker_lines(asked.work / "workers.json")),
            f"Objects in a bucket, a clip of {CLIP_S:g} s each; memory above that of a process that has loaded the "
            "same modules, and the memory of the worker that writes the report:",
            table(["step", "objects", "seconds", "peak MiB", "report's MiB", "task runs"], lines),
            "list: pages one after the other; flow: a whole first run with its Prefect server, in which "
            f"{SIMULATED_WORKERS} workers are simulated. {machine()}, with whatever else ran.",
        ]
        write_section("growth", "\n\n".join(parts))


if __name__ == "__main__":
    main()
