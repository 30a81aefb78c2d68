"""A bench for faults: runs of `clean-corpus run` from bucket to bucket, and what a run without faults gives.

Recordings are pieces of the crowd recordings, and every run is a process of its own.
"""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import numpy as np
import pyarrow.parquet as pq
from environment import COMMAND, DATA

from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.core.config import DecodeConfig, S3Config
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.storage import open_store

BUCKET, RATE = "faults", 16000
PIECE_S = (1.5, 3.0)
SETTINGS = ["--set", "shards.max_clips=6", "--set", "observe.log=json", "--set", "audio.sample_rate=16000"]
LIMIT_S = 1200


class Bench:
    """Recordings in a bucket, the output of a run without faults, and methods to run and compare."""

    def __init__(self, work: Path, server: str) -> None:
        self.work, self.server, self.proxy = work, server, server
        self.client = boto3.client("s3")
        self.rng = random.Random(7)
        self.output = ""
        self.calm_s = 0.0  # of a run without faults

    def start(self, *options: object, source: str = "in", output: str | None = None, **env: str) -> subprocess.Popen:
        """Start the command, its output in a file."""
        target = output or self.output
        (self.work / "logs").mkdir(exist_ok=True)
        log = self.work / "logs" / f"{target}-{time.time_ns()}.log"
        command = [COMMAND, "run", f"s3://{BUCKET}/{source}", f"s3://{BUCKET}/{target}", *SETTINGS, *map(str, options)]
        environment = os.environ | {"AWS_ENDPOINT_URL_S3": self.proxy} | env
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
        process.log = log
        return process

    def finish(self, process: subprocess.Popen, code: int = 0) -> str:
        """Wait for a run, and return its output.

        Raises: AssertionError if it ends with another exit code.
        """
        ended = process.wait(timeout=LIMIT_S)
        words = process.log.read_text(errors="replace")
        if ended != code:
            raise AssertionError(f"exit {ended} instead of {code}: {words[-400:]}")
        return words

    def objects(self, output: str) -> list[tuple[str, str]]:
        """Return names and hashes of the newest version's objects."""
        store = open_store(S3Folder(BUCKET, output), S3Config(endpoint_url=self.server))
        manifest = versions.latest(store)
        assert manifest is not None, f"{output} has no version"
        assert all(problem is None for _, problem in versions.verify(store, [manifest])), "an object is not whole"
        return [(named.key, named.sha256) for named in manifest.objects]

    def same(self) -> str:
        """Hold the newest version against that of the run without faults.

        Raises: AssertionError if they differ.
        """
        calm, now = self.objects("calm"), self.objects(self.output)
        assert calm == now, f"{len(set(calm) ^ set(now))} objects differ"
        return f"{len(now)} objects identical"

    def ledger(self, output: str) -> list[dict[str, object]]:
        """Return the rows of the newest ledger."""
        data = self.client.get_object(Bucket=BUCKET, Key=f"{output}/ledger.parquet")["Body"].read()
        (self.work / "ledger.parquet").write_bytes(data)
        return pq.read_table(self.work / "ledger.parquet").to_pylist()

    def sources(self) -> list[str]:
        """Return the keys of the recordings."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="in/")
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def stamps(self) -> dict[str, str]:
        """Return the time at which each recorded result of the output was written, by its key below work/."""
        below = "/".join((self.output, "work", ""))
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=below)
        found = (entry for page in pages for entry in page.get("Contents", ()))
        stamps = {e["Key"].removeprefix(below): e["LastModified"].isoformat() for e in found}
        return {key: stamp for key, stamp in stamps.items() if not key.startswith("lease/")}


def workers_of(flow: int) -> list[int]:
    """Return the workers of a flow: children of its fork server, without the one that tracks their resources."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue
    servers = {pid for pid, parent in parents.items() if parent == flow and b"forkserver" in names[pid]}
    return sorted(pid for pid, parent in parents.items() if parent in servers)


def until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait until a condition holds while a process runs."""
    while not condition():
        assert process.poll() is None, f"it ended before: {process.log.read_text(errors='replace')[-400:]}"
        time.sleep(0.3)


def resident_bytes(pid: int) -> int:
    """Return the memory of a process, 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def events(log: str) -> Iterator[dict[str, object]]:
    """Yield the structured lines of a log."""
    for line in log.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def cut(work: Path, clips: int) -> None:
    """Write WORK/recordings, pieces of the crowd recordings from a fixed seed."""
    rng, folder = np.random.default_rng(5), work / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted((DATA / "crowd").rglob("*.wav"))
    for i in range(clips):
        with decode.open_recording(files[i % len(files)], DecodeConfig(sample_rate=RATE)) as reader:
            x = np.concatenate(list(reader.blocks()))
        length = min(len(x), round(rng.uniform(*PIECE_S) * RATE))
        start = int(rng.integers(0, len(x) - length + 1))
        encode.write_wav(folder / f"{i:04d}.wav", np.clip(x[start : start + length], -1, 1), RATE)
