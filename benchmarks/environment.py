"""Environment of the benchmarks: data, the command, and time and memory of a process tree."""

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from clean_corpus.pipeline.core.child_processes import Reaper

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("CLEAN_CORPUS_DATA", REPOSITORY.parent / "shared" / "data"))
TOOLS = DATA.parent / "tools"
COMMAND = str(Path(sys.executable).parent / "clean-corpus")
EVERY_S, SHARE = 0.5, 0.02  # of its time so far a command is left alone: reading the memory of processes delays them


_reapers: list[Reaper] = []  # each ends with this process


def own_children() -> None:
    """Have every process that this one starts from now on end with it, and those that they start: at SIGTERM too."""
    name, value = f"CLEAN_CORPUS_BENCHMARK_{os.getpid()}", uuid.uuid4().hex
    if name not in os.environ:
        _reapers.append(Reaper(mark=f"{name}={value}"))
        os.environ[name] = value


def machine() -> str:
    """Describe the machine and the day on which figures are taken."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return f"{len(os.sched_getaffinity(0))} cores of {model}, no GPU, {date.today():%Y-%m-%d}"


def make_pairs(folder: Path) -> None:
    """Mix the fixed noisy/clean pairs of unseen speakers and unseen noise: FOLDER/noisy and FOLDER/clean."""
    make = [sys.executable, TOOLS / "make_pairs.py", DATA / "speech/dev", DATA / "noise/dev", folder, "--every", "2"]
    subprocess.run(make, check=True)


@dataclass(frozen=True)
class Measured:
    """A command's time, and the most memory its process tree held at once, shared pages counted once.

    `cpu_s` is what the processor worked on it, in all its processes: other programs hardly change it.
    """

    wall_s: float
    cpu_s: float
    peak_gib: float
    output: str


def measure(*command: object, cwd: Path | None = None) -> Measured:
    """Run a command and watch its process tree.

    Raises: subprocess.CalledProcessError with the output, and its end in a note, if it fails.
    """
    start, peak = time.perf_counter(), 0
    cpu_s: dict[int, float] = {}
    waited_s = _waited_cpu_s()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT, cwd=cwd)
        while process.poll() is None:
            family = _family(process.pid)
            peak = max(peak, _held_bytes(family))
            cpu_s |= _cpu_s(family)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=max(EVERY_S, SHARE * (time.perf_counter() - start)))
        wall_s = time.perf_counter() - start
        log.seek(0)
        output = log.read()
    if process.returncode:
        error = subprocess.CalledProcessError(process.returncode, command, output)
        error.add_note(f"the last of what it printed:\n{output[-2000:]}")
        raise error
    # what was seen last lacks the last moments, what was waited for lacks processes that were killed
    return Measured(wall_s, max(sum(cpu_s.values()), _waited_cpu_s() - waited_s), peak / 2**30, output)


def _waited_cpu_s() -> float:
    """Return what the processor has worked on processes that have ended and were waited for, seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _family(root: int) -> set[int]:
    """Return a process and its descendants."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if fields := _stat(int(folder.name)):
            parents[int(folder.name)] = int(fields[1])
    family, grown = {root}, True
    while grown:
        grown = bool(more := {p for p, parent in parents.items() if parent in family} - family)
        family |= more
    return family


def _stat(pid: int) -> list[str]:
    """Return the fields of a process' state from the third on, none if it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except OSError:
        return []


def _cpu_s(family: set[int]) -> dict[int, float]:
    """Return what the processor has worked on each process so far, seconds."""
    ticks = os.sysconf("SC_CLK_TCK")
    return {pid: (int(fields[11]) + int(fields[12])) / ticks for pid in family if (fields := _stat(pid))}


def _held_bytes(family: set[int]) -> int:
    """Return the memory of some processes, shared pages counted once."""
    total = 0
    for pid in family:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += 1024 * int(rollup.split("Pss:")[1].split()[0]) if "Pss:" in rollup else 0
    return total
