"""Time whole runs: the crowd's clips beside one pass of speechmos, a run that changes nothing, one short file.

usage: python benchmarks/run_speed.py [--clips N] [--again N] [--long HOURS] [--ratio R] [--hour CHECKOUT] [--only PART]
  writes the sections `run_PART` of the documents, each when it is measured; --only, which may be repeated, takes some

--again  clips of the run that is made twice, and compared with one of a tenth of them; 10000 is what is wanted, an
         hour of two cores
--long   hours of a run that is compared with one of a --ratio of them; 100 and 100 are what is wanted, a day of two
         cores and 60 GB below TMPDIR
--hour   also cleans an hour of clips of 5 to 15 s by this program and by that of an older checkout, which `make setup`
         has set up there (651e350 is what it is compared with), a run each
Recordings of --again and --long are repeated, as benchmarks/repeated.py makes them. Wanted wall times hold on an idle
machine.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import repeated
import soundfile
from documents import table, write_section
from environment import COMMAND, DATA, Measured, machine, measure, own_children

CLIPS, PEER_CLIPS = 360, 48
AGAIN, AGAIN_S = 500, (1.5, 2.5)
LONG_H, RATIO = 0.5, 10.0
HOUR_S, CLIP_S = 3600.0, (5.0, 15.0)
COMPUTE = ("ingest", "score before", "enhance", "score after", "publish")


@dataclass(frozen=True)
class Run:
    """A run of the program: its processes, and its run.json."""

    took: Measured
    facts: dict

    @property
    def audio_s(self) -> float:
        return sum(self.facts["seconds"].values())

    @property
    def worker_s(self) -> float:
        """Seconds that workers computed."""
        return sum(stage["seconds"] for stage in self.facts["stages"] if stage["name"] in COMPUTE)

    @property
    def wall_share(self) -> float:
        """The flow's wall time over that of its stages' compute, had all cores worked on it all the time."""
        return self.facts["wall_s"] * len(os.sched_getaffinity(0)) / self.worker_s


def clean(source: Path, output: Path, *settings: str) -> Run:
    """Clean a folder."""
    given = [part for setting in ("audio.sample_rate=16000", *settings) for part in ("--set", setting)]
    took = measure(COMMAND, "run", source, output, *given)
    return Run(took, json.loads((output / "run.json").read_text()))


def speechmos_share(paths: list[Path]) -> float:
    """Return the seconds of one core that speechmos takes for a second of audio, while all cores do the same.

    Workers of a run have busy neighbours, too: of cores that share parts none is as fast as it is alone.
    """
    cores = sorted(os.sched_getaffinity(0))
    slices = [paths[n :: len(cores)] for n in range(len(cores))]
    with ProcessPoolExecutor(len(cores), multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_speechmos_s, cores, slices))
    return sum(cpu_s for cpu_s, _ in found) / sum(audio_s for _, audio_s in found)


def _speechmos_s(core: int, paths: list[Path]) -> tuple[float, float]:
    """Return the seconds that speechmos takes for files on one core, and how long they last."""
    os.sched_setaffinity(0, {core})
    from speechmos import dnsmos

    dnsmos.run(soundfile.read(paths[0], dtype="float32")[0], 16000)
    audio_s, begun = 0.0, time.process_time()
    for path in paths:
        x, rate = soundfile.read(path, dtype="float32")
        x = x / max(1.0, float(np.abs(x).max()))
        dnsmos.run(x, rate)
        audio_s += len(x) / rate
    return time.process_time() - begun, audio_s


def hour_of_clips(folder: Path) -> None:
    """Copy recordings of 5 to 15 s until they last an hour."""
    folder.mkdir()
    left = HOUR_S
    for path in sorted((DATA / "speech" / "train").glob("*.flac")) + sorted(
        (DATA / "speech").glob("many_16k/**/*.ogg")
    ):
        duration = soundfile.info(path).duration
        if CLIP_S[0] <= duration <= CLIP_S[1] and left > 0:
            shutil.copy(path, folder)
            left -= duration


def main() -> None:
    own_children()
    parts = {"crowd": crowd_lines, "start": start_lines, "again": again_lines, "long": long_lines, "hour": hour_lines}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=CLIPS, help="of the crowd's; default all")
    parser.add_argument("--again", type=int, default=AGAIN, metavar="CLIPS", help=f"default {AGAIN}")
    parser.add_argument("--long", type=float, default=LONG_H, metavar="HOURS", help=f"default {LONG_H}")
    parser.add_argument("--ratio", type=float, default=RATIO, help=f"of --long to the shorter run; default {RATIO:g}")
    parser.add_argument("--hour", type=Path, metavar="CHECKOUT", help="older checkout to clean an hour with, too")
    parser.add_argument("--only", choices=parts, action="append", help="measure this part")
    asked = parser.parse_args()
    for name in asked.only or parts:
        with tempfile.TemporaryDirectory() as temporary:
            lines = parts[name](Path(temporary), asked)
        if lines:
            write_section(f"run_{name}", f"{table(['figure', 'measured', 'wanted'], lines)}\n\n{machine()}.")


def crowd_lines(work: Path, asked: argparse.Namespace) -> list[list[object]]:
    """Return the lines of a run over the crowd's clips."""
    paths = sorted((DATA / "crowd").glob("**/*.wav"))
    paths = paths[:: max(1, len(paths) // asked.clips)][: asked.clips]
    for number, path in enumerate(paths):
        (work / "crowd").mkdir(exist_ok=True)
        shutil.copy(path, work / "crowd" / f"{number:05d}.wav")
    first = clean(work / "crowd", work / "out")
    alone = speechmos_share(paths[:: max(1, len(paths) // PEER_CLIPS)])
    share = first.worker_s / first.audio_s
    return [
        ["the crowd's clips, worker seconds a second of audio", f"{share:.3f}", ""],
        ["speechmos alone, one pass, seconds of a core a second of audio", f"{alone:.3f}", ""],
        ["the one over the other", f"{share / alone:.2f}", "at most 0.20"],
        ["wall time of that run over its stages' compute on all cores", f"{first.wall_share:.2f}", ""],
    ]


def one_file(work: Path) -> Path:
    """Write one recording of 5 s; return its folder."""
    (work / "one").mkdir()
    source = next(path for path in sorted((DATA / "speech/train").glob("*.flac")) if soundfile.info(path).duration > 5)
    x, rate = soundfile.read(source, dtype="int16")
    soundfile.write(work / "one" / "a.wav", x[: 5 * rate], rate)
    return work / "one"


def start_lines(work: Path, asked: argparse.Namespace) -> list[list[object]]:
    """Return the lines of a run over one file of 5 s, and of a second one."""
    source = one_file(work)
    first, second = (clean(source, work / "out").took for _ in range(2))
    return [
        ["one file of 5 s: wall time", f"{first.wall_s:.1f} s", "under 15 s"],
        ["... CPU, all processes", f"{first.cpu_s:.1f} s", ""],
        ["... again, with nothing to do: wall time", f"{second.wall_s:.1f} s", "under 6 s"],
        ["... CPU, all processes", f"{second.cpu_s:.1f} s", ""],
    ]


def again_lines(work: Path, asked: argparse.Namespace) -> list[list[object]]:
    """Return the lines of a run over many short recordings, of a second one that changes nothing, and of its growth."""
    sources, runs = repeated.utterances(), []
    for i, count in enumerate((asked.again // 10, asked.again)):
        repeated.write(work / f"in-{i}", sources, AGAIN_S, count=count, hours=float("inf"))
        runs.append(clean(work / f"in-{i}", work / f"out-{i}"))
    first, second = runs[-1], clean(work / "in-1", work / "out-1")
    if first.facts["version"] != second.facts["version"]:
        raise SystemExit("the second run made another version; it must change nothing")
    wall = f"{second.took.wall_s / first.took.wall_s:.1%}"
    cpu = f"{second.took.cpu_s / first.took.cpu_s:.1%}"
    return [
        [f"{asked.again:,} clips again, nothing changed: wall time over that of the first run", wall, "under 3 %"],
        ["... CPU over that of the first", cpu, ""],
        ["... its wall time", f"{second.took.wall_s:.1f} s", ""],
        *growth_lines(f"{asked.again:,} clips, {first.audio_s / 3600:.1f} h, against a tenth of them", work, *runs),
    ]


def growth_lines(name: str, work: Path, short: Run, long: Run) -> list[list[object]]:
    """Return the lines of how a long run grows from a short one: by CPU less that of a start.

    The start is a run over so few seconds that next to nothing but it is measured, of which every worker has some.
    """
    few = 2 * len(os.sched_getaffinity(0))
    repeated.write(work / "few", repeated.utterances(), AGAIN_S, count=few, hours=float("inf"))
    start_s = clean(work / "few", work / "few-out", "shards.max_clips=1").took.cpu_s
    growth = (long.took.cpu_s - start_s) / (short.took.cpu_s - start_s) / (long.audio_s / short.audio_s)
    return [
        [f"{name}: CPU an hour, the start left out, long over short", f"{growth:.2f}", "0.90 to 1.10"],
        ["... memory", f"{long.took.peak_gib:.2f} and {short.took.peak_gib:.2f} GiB", "flat"],
        ["... wall time of the long one over its stages' compute on all cores", f"{long.wall_share:.2f}", "under 1.10"],
    ]


def long_lines(work: Path, asked: argparse.Namespace) -> list[list[object]]:
    """Return the lines of a long run, and of how it grows from a short one."""
    sources, hours, runs = repeated.utterances(), (asked.long / asked.ratio, asked.long), []
    for i, h in enumerate(hours):
        repeated.write(work / f"in-{i}", sources, CLIP_S, count=10**9, hours=h)
        runs.append(clean(work / f"in-{i}", work / f"out-{i}"))
        shutil.rmtree(work / f"in-{i}")
    return growth_lines(f"{hours[1]:g} h (repeated) against {hours[0]:g} h", work, *runs)


def hour_lines(work: Path, asked: argparse.Namespace) -> list[list[object]]:
    """Return the line of an hour of clips by two programs, if there is another to compare with."""
    if not asked.hour:
        return []
    hour_of_clips(work / "hour")
    run = clean(work / "hour", work / "new")
    ours = run.took
    command = (asked.hour.absolute() / ".venv/bin/clean-corpus", "run", work / "hour", work / "old")
    older = measure(*command, cwd=asked.hour)  # its workers import from where it starts
    lean = clean(work / "hour", work / "lean", "enhancer=lean").took
    return [
        ["an hour of 5 to 15 s clips: CPU of the older checkout over ours", f"{older.cpu_s / ours.cpu_s:.2f}", "2.2"],
        ["... wall time", f"{older.wall_s / ours.wall_s:.2f} ({older.wall_s:.0f} s over {ours.wall_s:.0f} s)", ""],
        ["... CPU of the older checkout over ours with `enhancer=lean`", f"{older.cpu_s / lean.cpu_s:.2f}", ""],
        ["... ours over its stages' compute on all cores", f"{run.wall_share:.2f}", "under 1.10"],
    ]


if __name__ == "__main__":
    main()
