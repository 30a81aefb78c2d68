"""Time a GPU with the workers that share it: scoring, and all that a run does to a recording from its file to its tar.

usage: python benchmarks/gpu_speed.py [--minutes M] [--workers N]     writes the section `gpu_speed` of the documents

Three minutes on an H200 with 16 cores. Without a GPU it says so and writes nothing; `--on-cores` then takes the same
way on two cores, which shows that it works. Times are of the clock, of workers that have their networks loaded.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from documents import table, write_section
from environment import DATA, machine, own_children

from clean_corpus.flows import shard_work, worker_functions
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines import open_engine
from clean_corpus.flows.engines.base import Engine, EngineConfig
from clean_corpus.flows.engines.machine import visible_gpus
from clean_corpus.pipeline.core.records import RawShard
from clean_corpus.pipeline.core.types import Audio, Recording
from clean_corpus.pipeline.corpus.reviewed import NO_REVIEWS
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.quality.scorer import Scorer

RATE = 16000
SOURCES = ("speech/train/*.flac", "speech/many_16k/*/*.ogg", "crowd/**/*.wav")
PER_GROUP = 32  # recordings
COMPARED = 24  # clips
WANTED = {"scoring": 500.0, "decode to tar": 300.0}


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=90.0, help="of audio; default 90")
    parser.add_argument("--workers", type=int, help="default: as a run has")
    parser.add_argument("--on-cores", action="store_true", help="print figures of two cores instead")
    asked = parser.parse_args()
    if not (visible_gpus() or asked.on_cores):
        print("gpu_speed: no GPU here, nothing measured; `--on-cores --minutes 1` takes the same way on two cores")
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_recordings(folder / "in", 60 * asked.minutes)
        settings = EngineConfig(workers=2, gpus_per_worker=0) if asked.on_cores else EngineConfig(workers=asked.workers)
        with open_engine(settings) as engine, watched() as busy:
            lines = measured(engine, folder, busy)
        apart = largest_difference(folder / "in", "cpu" if asked.on_cores else "cuda")
    head = ["work", "seconds of audio", "workers", "times real time", "wanted", "the GPU computes"]
    remark = f"Scores differ from those of a core by {apart:.0e} at most, over {COMPARED} clips."
    text = f"{table(head, lines)}\n\n{remark} {machine().replace('no GPU', gpu())}."
    print(text) if asked.on_cores else write_section("gpu_speed", text)


def write_recordings(folder: Path, wanted_s: float) -> None:
    """Write recordings of a second and more that last as long as wanted; those that come again are a little softer.

    Raises: SystemExit without the recordings of the benchmarks.
    """
    paths = [path for source in SOURCES for path in sorted(DATA.glob(source))]
    if not paths:
        raise SystemExit(f"no recordings below {DATA}: set CLEAN_CORPUS_DATA to a folder with {', '.join(SOURCES)}")
    paths = paths[:: max(1, len(paths) // 400)]  # of all kinds
    folder.mkdir()
    heard: dict[Path, Audio] = {}
    left, number = wanted_s, 0
    while left > 0:
        path = paths[number % len(paths)]
        if path not in heard:
            heard[path] = soundfile.read(path, dtype="float32", always_2d=True)[0][:, 0]
        x = heard[path] * np.float32(0.99 ** (number // len(paths)))
        if len(x) >= RATE:
            soundfile.write(folder / f"{number:06d}.wav", x, RATE)
            left -= len(x) / RATE
        number += 1


def measured(engine: Engine, folder: Path, busy: Callable[[float], str]) -> list[list[object]]:
    """Return the lines of the table: workers score clips, and take recordings from their files to tars."""
    recordings = find_all(folder / "in", exclude=None)
    groups = [recordings[i : i + PER_GROUP] for i in range(0, len(recordings), PER_GROUP)]

    def config(output: str) -> RunConfig:
        return RunConfig(input=folder / "in", output=folder / output, audio={"sample_rate": RATE})

    def ingested(output: str, group: list[Recording]) -> list[RawShard]:
        return engine.run(worker_functions.ingest, config(output), group).result.shards

    def scored(raw: RawShard) -> float:
        engine.run(worker_functions.score_raw, config("scored"), raw)
        return sum(clip.duration_s for clip in raw.clips)

    def finished(output: str, group: list[Recording]) -> float:
        shards = ingested(output, group)
        for raw in shards:
            engine.run(shard_work.finish, config(output), raw, raw.shard.key, NO_REVIEWS)
        return sum(clip.duration_s for raw in shards for clip in raw.clips)

    with ThreadPoolExecutor(engine.slots) as threads:
        # each worker loads its networks; which one a call goes to is not ours to say, so there are some to spare
        list(threads.map(lambda number: finished(f"warm-{number}", recordings[:4]), range(2 * engine.workers)))
        shards = [raw for some in threads.map(lambda group: ingested("scored", group), groups) for raw in some]
        lines = [timed("scoring", threads, scored, shards, engine, busy)]
        lines.append(timed("decode to tar", threads, lambda group: finished("tars", group), groups, engine, busy))
    return lines


def timed(
    name: str,
    threads: ThreadPoolExecutor,
    work: Callable[[Any], float],
    items: list[Any],
    engine: Engine,
    busy: Callable[[float], str],
) -> list[object]:
    """Return the line of some work over all items, `work` returning the seconds of audio of each."""
    begun = time.monotonic()
    audio_s = sum(threads.map(work, items))
    factor = audio_s / (time.monotonic() - begun)
    return [name, f"{audio_s:.0f}", engine.workers, f"{factor:.0f}", WANTED[name], busy(begun)]


@contextmanager
def watched() -> Iterator[Callable[[float], str]]:
    """Give the block a function that tells for what share of the time since a moment a GPU computed."""
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=500"]
    readings: list[tuple[float, float]] = []

    def read(lines: Any) -> None:
        for line in lines:
            with suppress(ValueError):
                readings.append((time.monotonic(), float(line)))

    def share(since: float) -> str:
        seen = [percent for at, percent in readings if at >= since]
        return f"{np.mean(seen):.0f} %" if seen else "not known"

    try:
        tool = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    except OSError:
        yield share
        return
    with ThreadPoolExecutor(1) as thread:
        thread.submit(read, tool.stdout)
        try:
            yield share
        finally:
            tool.terminate()


def gpu() -> str:
    """Return the name of the first GPU."""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"


def largest_difference(folder: Path, device: str) -> float:
    """Return how far scores of a device are from those of a core, of the first clips."""
    from clean_corpus.pipeline.quality.batched_scorer import BatchedScorer

    settings = {"speech_threshold": 0.5, "dnsmos_windows": "whole"}
    ours, theirs = BatchedScorer(**settings, device=device), Scorer(**settings)
    clips = [soundfile.read(path, dtype="float32")[0] for path in sorted(folder.glob("*.wav"))[:COMPARED]]
    found = ours.score_all((number, ours.prepare(x, sample_rate=RATE)) for number, x in enumerate(clips))
    apart = 0.0
    for number, scores in found:
        for name, value in theirs.score(clips[number], sample_rate=RATE).items():
            if value is not None:
                apart = max(apart, abs(scores[name] - value))
    return apart


if __name__ == "__main__":
    main()
