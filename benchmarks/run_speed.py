"""Time whole runs: the crowd's clips beside one pass of speechmos, a run that changes nothing, one short file.

usage: python benchmarks/run_speed.py [--clips N] [--hour CHECKOUT]     writes the section `run_speed` of the documents

`--hour` also cleans an hour of clips of 5 to 15 s by this program and by that of an older checkout (651e350 is what it
is compared with), a run each: an hour more. Wanted wall times hold on an idle machine.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from documents import table, write_section
from environment import COMMAND, DATA, Measured, machine, measure, own_children

CLIPS, PEER_CLIPS = 360, 24
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


def clean(source: Path, output: Path, *, code: Path | None = None) -> Run:
    """Clean a folder by this program, or by that of another checkout."""
    before = os.environ.get("PYTHONPATH")
    if code:
        os.environ["PYTHONPATH"] = str(code / "src")
    took = measure(COMMAND, "run", source, output, "--set", "audio.sample_rate=16000")
    if code:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    return Run(took, json.loads((output / "run.json").read_text()))


def speechmos_share(paths: list[Path]) -> float:
    """Return the seconds of one core that speechmos takes for a second of audio."""
    from speechmos import dnsmos

    dnsmos.run(soundfile.read(paths[0], dtype="float32")[0], 16000)
    audio_s, begun = 0.0, time.process_time()
    for path in paths:
        x, rate = soundfile.read(path, dtype="float32")
        x = x / max(1.0, float(np.abs(x).max()))
        dnsmos.run(x, rate)
        audio_s += len(x) / rate
    return (time.process_time() - begun) / audio_s


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=CLIPS, help="of the crowd's; default all")
    parser.add_argument("--hour", type=Path, help="older checkout to clean an hour with, too")
    asked = parser.parse_args()
    lines: list[list[object]] = []
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        lines += crowd_lines(work, asked.clips)
        lines += start_lines(work)
        if asked.hour:
            hour_of_clips(work / "hour")
            ours = clean(work / "hour", work / "hour-new").took.cpu_s
            older = clean(work / "hour", work / "hour-old", code=asked.hour).took.cpu_s
            lines.append(
                ["an hour of clips of 5 to 15 s, CPU of the older checkout over ours", f"{older / ours:.2f}", "2.2"]
            )
    write_section(
        "run_speed", f"{table(['figure', 'measured', 'wanted'], lines)}\n\n{machine()}; {sys.version.split()[0]}."
    )


def crowd_lines(work: Path, n_clips: int) -> list[list[object]]:
    """Return the lines of a run over the crowd's clips, and of a second one."""
    paths = sorted((DATA / "crowd").glob("**/*.wav"))
    paths = paths[:: max(1, len(paths) // n_clips)][:n_clips]
    for number, path in enumerate(paths):
        (work / "crowd").mkdir(exist_ok=True)
        shutil.copy(path, work / "crowd" / f"{number:05d}.wav")
    first, second = (clean(work / "crowd", work / "crowd-out") for _ in range(2))
    alone = speechmos_share(paths[:: max(1, len(paths) // PEER_CLIPS)])
    share = first.worker_s / first.audio_s
    cores = len(os.sched_getaffinity(0))
    wall = first.facts["wall_s"] / (first.worker_s / cores)
    return [
        ["the crowd's clips, worker seconds a second of audio", f"{share:.3f}", ""],
        ["speechmos alone, one pass, seconds of a core a second of audio", f"{alone:.3f}", ""],
        ["the one over the other", f"{share / alone:.2f}", "at most 0.20"],
        ["wall time of that run over its stages' compute on all cores", f"{wall:.2f}", "under 1.10"],
        ["second run, nothing changed, CPU over that of the first", f"{second.took.cpu_s / first.took.cpu_s:.1%}", ""],
        ["... its wall time", f"{second.took.wall_s:.1f} s", ""],
    ]


def start_lines(work: Path) -> list[list[object]]:
    """Return the lines of a run over one file of 5 s."""
    (work / "one").mkdir()
    source = next(path for path in sorted((DATA / "speech/train").glob("*.flac")) if soundfile.info(path).duration > 5)
    x, rate = soundfile.read(source, dtype="int16")
    soundfile.write(work / "one" / "a.wav", x[: 5 * rate], rate)
    first, second = (clean(work / "one", work / "one-out").took for _ in range(2))
    return [
        ["one file of 5 s: wall time", f"{first.wall_s:.1f} s", "under 15 s"],
        ["... CPU, all processes", f"{first.cpu_s:.1f} s", ""],
        ["... again, with nothing to do: wall time", f"{second.wall_s:.1f} s", "under 6 s"],
        ["... CPU, all processes", f"{second.cpu_s:.1f} s", ""],
    ]


if __name__ == "__main__":
    main()
