"""Run from bucket to bucket with one fault after the other, and hold each run against one without faults.

usage: python benchmarks/faults.py WORK [--clips N] [--row NAME ...]      continues an earlier call in WORK,
  row by row; writes the section `faults` of the documents

The S3 server is moto's, in a process of its own; where it has to fail, a proxy of ours stands before it. Every run must
end with the very objects (names, sizes, sha256) that a run without faults gives.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import boto3
import numpy as np
from documents import table, write_section
from environment import REPOSITORY, machine, own_children
from fault_bench import BUCKET, LIMIT_S, RATE, Bench, cut, events, resident_bytes, until, workers_of
from fault_servers import free_port, prefect, s3_server

from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.storage import open_store

sys.path.insert(0, str(REPOSITORY))
from tests.support.faults import FaultyProxy

GIANT, GIANT_S = "0-giant.wav", 900  # the first of its shard, so that each worker soon comes to it
OTHERS = 11

Row = Callable[[Bench], str]
"""A fault, named by its docstring; it returns what was seen, and raises AssertionError if the run did not hold."""


def requests_fail(bench: Bench) -> str:
    """20 % of S3 requests fail: 503, reset, cut body, 5 s stall"""
    with FaultyProxy(bench.server, share=0.2, stall_s=5.0, seed=1) as proxy:
        bench.proxy = proxy.url
        bench.finish(bench.start())
    failed = sum(proxy.seen.values()) - proxy.seen["ok"]
    kinds = ", ".join(f"{n} {name}" for name, n in sorted(proxy.seen.items()) if name != "ok")
    return f"{failed} of {sum(proxy.seen.values())} requests failed ({kinds}); {bench.same()}"


def workers_die(bench: Bench) -> str:
    """SIGKILL of a random worker again and again, 3 workers"""
    every_s = max(8.0, bench.calm_s / 4)
    process, killed, last = bench.start("--workers", 3), 0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        workers = workers_of(process.pid)
        if time.monotonic() - last >= every_s and workers:
            os.kill(bench.rng.choice(workers), signal.SIGKILL)
            killed, last = killed + 1, time.monotonic()
    log = bench.finish(process)
    retries = Counter(e["call"] for e in events(log) if e.get("event") == "retry")
    assert max(retries.values(), default=0) <= 2, retries
    rows = bench.ledger(bench.output)
    assert len({row["clip_id"] for row in rows}) == len(rows), "a clip is doubled"
    most = 1 + max(retries.values(), default=0)
    words = f"{killed} kills, one every {every_s:.0f} s, {sum(retries.values())} calls made again"
    return f"{words}, at most {most} attempts; {bench.same()}"


def flow_dies(bench: Bench) -> str:
    """SIGKILL of the flow process at 6 random moments, restarted"""
    redone, killed, progress = 0, 0, 0
    for _ in range(6):
        before, process = bench.stamps(), bench.start()
        try:
            process.wait(timeout=bench.rng.uniform(10, max(15.0, 0.5 * bench.calm_s)))
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


def disk_full(bench: Bench) -> str:
    """Workers' disk full: 24 MB for temporary files"""
    small = bench.work / "small"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", small], check=True)
    try:
        (small / "filler").write_bytes(bytes(23 * 2**20))
        process = bench.start(TMPDIR=str(small))
        process.wait(timeout=LIMIT_S)
        log = process.log.read_text(errors="replace")
        assert process.returncode == 1 and "No space left" in log and "finished work is kept" in log, log[-400:]
        (small / "filler").unlink()
    finally:
        subprocess.run(["umount", "-l", small], check=True)
    bench.finish(bench.start())
    return f"stops, says which disk and how to go on; run again: {bench.same()}"


def out_of_memory(bench: Bench) -> str:
    """A giant clip in one shard with others: a worker that cleans with over 1.2 GB is killed, as by the kernel"""
    x, rng = np.zeros(RATE * GIANT_S, np.float32), np.random.default_rng(0)
    x += 0.1 * rng.standard_normal(len(x)).astype(np.float32) * (1 + np.sin(np.arange(len(x)) / 3000))
    encode.write_wav(bench.work / "giant.wav", np.clip(x, -1, 1), RATE)
    for key in bench.sources()[:OTHERS]:
        bench.client.copy_object(Bucket=BUCKET, Key=key.replace("in/", "giant/", 1), CopySource=f"{BUCKET}/{key}")
    bench.client.upload_file(str(bench.work / "giant.wav"), BUCKET, f"giant/{GIANT}")
    whole = ["segment.max_s=3000", "segment.min_speech_s=0", "shards.max_s=3000", f"shards.max_clips={OTHERS + 1}"]
    process = bench.start(*(part for setting in whole for part in ("--set", setting)), source="giant")
    until(lambda: _has_read(process), process)  # what is too large to be read is in no shard
    killed = 0
    while process.poll() is None:
        time.sleep(0.1)
        for pid in workers_of(process.pid):
            if resident_bytes(pid) > 1.2e9:
                os.kill(pid, signal.SIGKILL)
                killed += 1
    bench.finish(process)
    rows = bench.ledger(bench.output)
    giant = next(row for row in rows if row["source"] == GIANT)
    assert giant["verdict"] == "failed" and "worker" in str(giant["detail"]), giant
    others = [row for row in rows if row["verdict"] == "failed" and row is not giant]
    assert not others and len(rows) == OTHERS + 1, others
    done = f"the other {OTHERS} clips of its shard done"
    return f"{killed} workers killed; the giant: failed ({str(giant['detail'])[:70]}); {done}"


def _has_read(process: subprocess.Popen) -> bool:
    log = process.log.read_text(errors="replace").rpartition("\n")[0]  # the last line may be half written
    return any((e.get("event"), e.get("stage")) == ("stage_finished", "ingest") for e in events(log))


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
            log = bench.finish(process, code=2)
        words.append(log.strip().splitlines()[-1].split("; ", 1)[1][:60])
    bench.proxy = bench.server
    bench.finish(bench.start())
    return f"stops: {' / '.join(words)}; run again: {bench.same()}"


ROWS: dict[str, Row] = {
    row.__name__.replace("_", "-"): row
    for row in (
        requests_fail, workers_die, flow_dies, service_away, prefect_away, disk_full, out_of_memory, two_at_once,
        source_changes, credentials,
    )
}  # fmt: skip  # fmt: skip


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--clips", type=int, default=25)
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
        bench.calm_s = time.monotonic() - began
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
    write_section("faults", f"{head}\n\n{text}")


if __name__ == "__main__":
    main()
