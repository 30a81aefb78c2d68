"""What holds when things break: a run from bucket to bucket with one fault after the other.

usage: python benchmarks/faults.py WORK [--clips N] [--row NAME ...]      continues what lies in WORK, row by row;
  writes the section `faults` of docs/RESULTS.md

Recordings are pieces of the crowd recordings. The S3 server is moto's, in a process of its own; where it is to fail, a
proxy of ours stands before it. Every run is the command `clean-corpus run` in a process of its own, and has to end
with the very objects (names, sizes, sha256) that a run without faults gives.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import numpy as np
import pyarrow.parquet as pq
from readme import COMMAND, DATA, REPOSITORY, machine, put, table

from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.core.config import AudioConfig, S3Config
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.storage import open_store

sys.path.insert(0, str(REPOSITORY / "tests"))
from faults import FaultyProxy

BUCKET, RATE = "faults", 16000
PIECE_S = (1.5, 3.0)
SETTINGS = ["--set", "shards.max_clips=12", "--set", "observe.log=json"]
LIMIT_S = 1200
GIANT_S = 900

Row = Callable[["Bench"], str]


class Bench:
    """A folder of recordings in a bucket, what a run without faults makes of it, and how to run."""

    def __init__(self, work: Path, server: str) -> None:
        self.work, self.server, self.proxy = work, server, server
        self.client = boto3.client("s3")
        self.rng = random.Random(7)
        self.output = ""

    def start(self, *options: object, source: str = "in", output: str | None = None, **env: str) -> subprocess.Popen:
        """The command, its words in a file."""
        where = output or self.output
        (self.work / "logs").mkdir(exist_ok=True)
        log = self.work / "logs" / f"{where}-{time.time_ns()}.log"
        command = [COMMAND, "run", f"s3://{BUCKET}/{source}", f"s3://{BUCKET}/{where}", *SETTINGS, *map(str, options)]
        environment = os.environ | {"AWS_ENDPOINT_URL_S3": self.proxy} | env
        with log.open("wb") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
        process.log = log
        return process

    def finish(self, process: subprocess.Popen, code: int = 0) -> str:
        """Its words, once it has ended as it should."""
        ended = process.wait(timeout=LIMIT_S)
        said = process.log.read_text(errors="replace")
        if ended != code:
            raise AssertionError(f"exit {ended} instead of {code}: {said[-400:]}")
        return said

    def objects(self, output: str) -> list[tuple[str, str]]:
        """Names and hashes of the newest version."""
        store = open_store(S3Folder(BUCKET, output), S3Config(endpoint_url=self.server))
        manifest = versions.latest(store)
        assert manifest is not None, f"{output} has no version"
        assert all(problem is None for _, problem in versions.verify(store, [manifest])), "an object is not whole"
        return [(named.key, named.sha256) for named in manifest.objects]

    def same(self) -> str:
        """Raises AssertionError if the newest version is not that of the run without faults."""
        calm, now = self.objects("calm"), self.objects(self.output)
        assert calm == now, f"{len(set(calm) ^ set(now))} objects differ"
        return f"{len(now)} objects identical"

    def ledger(self, output: str) -> list[dict[str, object]]:
        """Rows of the newest ledger."""
        data = self.client.get_object(Bucket=BUCKET, Key=f"{output}/ledger.parquet")["Body"].read()
        (self.work / "ledger.parquet").write_bytes(data)
        return pq.read_table(self.work / "ledger.parquet").to_pylist()

    def sources(self) -> list[str]:
        """Keys of the recordings."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="in/")
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def stamps(self) -> dict[str, str]:
        """When each recorded result of the output was written, by its key below work/."""
        below = "/".join((self.output, "work", ""))
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=below)
        found = (entry for page in pages for entry in page.get("Contents", ()))
        stamps = {e["Key"].removeprefix(below): e["LastModified"].isoformat() for e in found}
        return {key: stamp for key, stamp in stamps.items() if not key.startswith("lease/")}


def workers_of(flow: int) -> list[int]:
    """Processes that work for a flow: children of its fork server, without the one that tracks their resources."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue
    servers = {pid for pid, parent in parents.items() if parent == flow and b"forkserver" in names[pid]}
    return sorted(pid for pid, parent in parents.items() if parent in servers)


# ---- rows ------------------------------------------------------------------------------------------------------


def requests_fail(bench: Bench) -> str:
    """20 % of S3 requests fail: 503, reset, cut body, 5 s stall"""
    with FaultyProxy(bench.server, share=0.2, stall_s=5.0, seed=1) as proxy:
        bench.proxy = proxy.url
        bench.finish(bench.start())
    failed = sum(proxy.seen.values()) - proxy.seen["ok"]
    kinds = ", ".join(f"{n} {name}" for name, n in sorted(proxy.seen.items()) if name != "ok")
    return f"{failed} of {sum(proxy.seen.values())} requests failed ({kinds}); {bench.same()}"


def workers_die(bench: Bench) -> str:
    """SIGKILL of a random worker every 10 s, 3 workers"""
    process, killed, last = bench.start("--workers", 3), 0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        there = workers_of(process.pid)
        if time.monotonic() - last >= 10 and there:
            os.kill(bench.rng.choice(there), signal.SIGKILL)
            killed, last = killed + 1, time.monotonic()
    said = bench.finish(process)
    retries = Counter(e["call"] for e in events(said) if e.get("event") == "retry")
    assert max(retries.values(), default=0) <= 2, retries
    rows = bench.ledger(bench.output)
    assert len({row["clip_id"] for row in rows}) == len(rows), "a clip is doubled"
    most = 1 + max(retries.values(), default=0)
    return f"{killed} kills, {sum(retries.values())} calls made again, at most {most} attempts; {bench.same()}"


def events(said: str) -> Iterator[dict[str, object]]:
    """The structured lines of a log."""
    for line in said.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def flow_dies(bench: Bench) -> str:
    """SIGKILL of the flow process at 10 random moments, restarted"""
    span = float((bench.work / "calm_s").read_text())
    redone, killed, progress = 0, 0, 0
    for _ in range(10):
        before, process = bench.stamps(), bench.start()
        try:
            process.wait(timeout=bench.rng.uniform(10, max(15.0, 0.5 * span)))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            killed += 1
        after = bench.stamps()
        redone += sum(after[key] != stamp for key, stamp in before.items() if key in after)
        progress += len(after) > len(before)
    before = bench.stamps()
    bench.finish(bench.start())
    redone += sum(bench.stamps()[key] != stamp for key, stamp in before.items())
    assert redone == 0, f"{redone} results were written again"
    return f"{killed} kills, {progress} of the attempts got further, no finished result written again; {bench.same()}"


def service_away(bench: Bench) -> str:
    """S3 service away for 30 s in the middle of the run"""
    proxy = FaultyProxy(bench.server, share=0.0)
    with proxy:
        bench.proxy = proxy.url
        process = bench.start()
        until(lambda: len(bench.stamps()) > 6, process)
    time.sleep(30)
    with proxy:
        bench.finish(process)
    return bench.same()


def until(there: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait for something to come true while a process runs."""
    while not there():
        assert process.poll() is None, f"it ended before: {process.log.read_text(errors='replace')[-400:]}"
        time.sleep(0.3)


def prefect_away(bench: Bench) -> str:
    """Prefect server restarted in the middle of the run"""
    home, port = bench.work / "prefect", free_port()
    env = {"PREFECT_HOME": str(home), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    server = prefect(port, home)
    try:
        process = bench.start(**env)
        until(lambda: len(bench.stamps()) > 6, process)
        server.kill()
        server.wait()
        time.sleep(5)
        server = prefect(port, home)
        ended = process.wait(timeout=LIMIT_S)
        if ended:
            bench.finish(bench.start(**env))
    finally:
        server.kill()
        server.wait()
    return f"{'completes' if not ended else 'fails, and the next run completes'}; {bench.same()}"


def prefect(port: int, home: Path) -> subprocess.Popen:
    """A Prefect server that answers."""
    command = [Path(COMMAND).parent / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | quiet
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    answers(port, "/api/health")
    return process


def disk_full(bench: Bench) -> str:
    """Workers' disk full: 24 MB for temporary files"""
    small = bench.work / "small"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small], check=True)
    try:
        (small / "filler").write_bytes(bytes(23 * 2**20))
        process = bench.start(TMPDIR=str(small))
        process.wait(timeout=LIMIT_S)
        said = process.log.read_text(errors="replace")
        assert process.returncode == 1 and "No space left" in said and "finished work is kept" in said, said[-400:]
        (small / "filler").unlink()
    finally:
        subprocess.run(["umount", "-l", small], check=True)
    bench.finish(bench.start())
    return f"stops, says which disk and how to go on; run again: {bench.same()}"


def out_of_memory(bench: Bench) -> str:
    """A giant clip that no worker has the memory for: whoever takes more than 1.2 GB is killed, as by the kernel"""
    x, rng = np.zeros(RATE * GIANT_S, np.float32), np.random.default_rng(0)
    x += 0.1 * rng.standard_normal(len(x)).astype(np.float32) * (1 + np.sin(np.arange(len(x)) / 3000))
    encode.write_wav(bench.work / "giant.wav", np.clip(x, -1, 1), RATE)
    for key in bench.sources()[:24]:
        bench.client.copy_object(Bucket=BUCKET, Key=key.replace("in/", "giant/", 1), CopySource=f"{BUCKET}/{key}")
    bench.client.upload_file(str(bench.work / "giant.wav"), BUCKET, "giant/giant.wav")
    whole = ["segment.max_s=3000", "segment.min_speech_s=0", "shards.max_s=100"]
    process = bench.start(*(part for setting in whole for part in ("--set", setting)), source="giant")
    killed = 0
    while process.poll() is None:
        time.sleep(0.1)
        for pid in workers_of(process.pid):
            if resident_bytes(pid) > 1.2e9:
                os.kill(pid, signal.SIGKILL)
                killed += 1
    bench.finish(process)
    rows = bench.ledger(bench.output)
    giant = next(row for row in rows if row["source"] == "giant.wav")
    assert giant["verdict"] == "failed" and "worker" in str(giant["detail"]), giant
    others = [row for row in rows if row["verdict"] == "failed" and row is not giant]
    assert not others and len(rows) == 25, others
    return f"{killed} workers killed; the giant: failed ({str(giant['detail'])[:70]}); the other 24 clips done"


def resident_bytes(pid: int) -> int:
    """Memory that a process holds, 0 if it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def two_at_once(bench: Bench) -> str:
    """Two runs started at once on one output"""
    both = [bench.start() for _ in range(2)]
    codes = sorted(process.wait(timeout=LIMIT_S) for process in both)
    refused = next(process.log.read_text() for process in both if process.returncode)
    assert codes == [0, 2] and "another run" in refused, (codes, refused[-300:])
    store = open_store(S3Folder(BUCKET, bench.output), S3Config(endpoint_url=bench.server))
    assert versions.numbers(store) == [1]
    return f"one version; the other: {refused.strip().splitlines()[-1][:90]}; {bench.same()}"


def source_changes(bench: Bench) -> str:
    """Source objects changed and deleted between listing and reading"""
    keys = bench.sources()
    for key in keys:
        bench.client.copy_object(Bucket=BUCKET, Key=key.replace("in/", "moving/", 1), CopySource=f"{BUCKET}/{key}")
    moving = [key.replace("in/", "moving/", 1) for key in keys]
    process = bench.start("--workers", 1, source="moving")
    until(lambda: any(key.startswith("ingest/") for key in bench.stamps()), process)
    bench.client.put_object(Bucket=BUCKET, Key=moving[-1], Body=b"other")
    bench.client.delete_object(Bucket=BUCKET, Key=moving[-2])
    bench.finish(process)
    failed = {row["source"]: row["detail"] for row in bench.ledger(bench.output) if row["verdict"] == "failed"}
    names = {key.removeprefix("moving/") for key in moving[-2:]}
    assert failed.keys() == names and all("source changed" in str(d) for d in failed.values()), failed
    return f"2 clips failed: {next(iter(failed.values()))}; the other {len(keys) - 2} done"


def credentials(bench: Bench) -> str:
    """Credentials expire, or the clock is wrong, in the middle of the run"""
    words = []
    for fault in ("expired", "skewed"):
        with FaultyProxy(bench.server, share=0.0, faults=[fault]) as proxy:
            bench.proxy = proxy.url
            before = len(bench.stamps())
            process = bench.start()
            until(lambda before=before: len(bench.stamps()) > before + 4, process)
            proxy.share = 1.0
            said = bench.finish(process, code=2)
        words.append(said.strip().splitlines()[-1].split("; ", 1)[1][:60])
    bench.proxy = bench.server
    bench.finish(bench.start())
    return f"stops: {' / '.join(words)}; run again: {bench.same()}"


ROWS: dict[str, Row] = {
    row.__name__.replace("_", "-"): row
    for row in (
        requests_fail, workers_die, flow_dies, service_away, prefect_away, disk_full, out_of_memory, two_at_once,
        source_changes, credentials,
    )
}  # fmt: skip


# ---- around them -----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str, within_s: float = 90) -> None:
    """Wait until a server answers."""
    import urllib.request

    deadline = time.monotonic() + within_s
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextmanager
def s3_server() -> Iterator[str]:
    """moto's server in a process of its own, which every client of this process and its children talks to."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        answers(port, "/moto-api/")
        url = f"http://127.0.0.1:{port}"
        about = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ |= about | {"AWS_ENDPOINT_URL_S3": url}
        yield url
    finally:
        process.kill()
        process.wait()


def cut(work: Path, clips: int) -> None:
    """WORK/recordings: pieces of the crowd recordings, from a fixed seed."""
    rng, folder = np.random.default_rng(5), work / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted((DATA / "crowd").rglob("*.wav"))
    for i in range(clips):
        with decode.open_recording(files[i % len(files)], AudioConfig()) as reader:
            x = np.concatenate(list(reader.blocks()))
        length = min(len(x), round(rng.uniform(*PIECE_S) * RATE))
        start = int(rng.integers(0, len(x) - length + 1))
        encode.write_wav(folder / f"{i:04d}.wav", np.clip(x[start : start + length], -1, 1), RATE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--row", action="append", choices=ROWS, help="only these, anew")
    asked = parser.parse_args()
    work, found = asked.work, {}
    if not (work / "recordings").exists():
        cut(work, asked.clips)
    ends = work / "rows.json"
    if ends.exists():
        found = json.loads(ends.read_text())
    with s3_server() as server:
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        for path in sorted((work / "recordings").glob("*.wav")):
            client.upload_file(str(path), BUCKET, f"in/{path.name}")
        bench = Bench(work, server)
        began = time.monotonic()
        bench.finish(bench.start(output="calm"))
        (work / "calm_s").write_text(f"{time.monotonic() - began:.1f}")
        for name, row in ROWS.items():
            if (name in found and name not in (asked.row or ())) or (asked.row and name not in asked.row):
                continue
            bench.output, bench.proxy, began = name, server, time.monotonic()
            try:
                held, words = True, row(bench)
            except (AssertionError, subprocess.SubprocessError) as error:
                held, words = False, str(error)
            took_s, clips = round(time.monotonic() - began), len(bench.sources())
            found[name] = {"held": held, "words": words, "took_s": took_s, "clips": clips}
            ends.write_text(json.dumps(found, indent=2))
            print(name, found[name], flush=True)
    lines = []
    for name, end in found.items():
        words = end["words"].replace("|", "/").replace("\n", " ")
        what, held = (ROWS[name].__doc__ or "").strip(), "yes" if end["held"] else "NO"
        lines.append([what, end["clips"], held, words, end["took_s"]])
    head = table(["fault", "clips", "holds", "what was seen", "seconds"], lines)
    text = f"Seconds with whatever else ran. {machine()}."
    put("faults", f"{head}\n\n{text}", "docs/RESULTS.md")


if __name__ == "__main__":
    main()
