"""What the benchmark scripts share: where things are, and the README's figures between their markers."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("CLEAN_CORPUS_DATA", REPOSITORY.parent / "shared" / "data"))
TOOLS = DATA.parent / "tools"
COMMAND = str(Path(sys.executable).parent / "clean-corpus")


def machine() -> str:
    """The machine that figures were taken on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return f"{len(os.sched_getaffinity(0))} cores of {model}, no GPU, {date.today():%Y-%m-%d}"


def put(name: str, text: str, file: str = "README.md") -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->` in a file of the repository.

    Raises: ValueError if the file has no such markers.
    """
    readme = REPOSITORY / file
    old = readme.read_text()
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if begin not in old or end not in old:
        raise ValueError(f"{readme} has no {begin.strip()} ... {end}")
    head, rest = old.split(begin, 1)
    readme.write_text(head + begin + text.strip() + "\n" + end + rest.split(end, 1)[1])
    print(text)


def table(head: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


@dataclass(frozen=True)
class Measured:
    """A command's time and the most memory its process tree held at once (proportional set size: shared pages once)."""

    wall_s: float
    peak_gib: float
    output: str


def measure(*command: object) -> Measured:
    """Run a command and watch its tree.

    Raises: subprocess.CalledProcessError with the output if it fails.
    """
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, _tree_memory(process.pid))
            time.sleep(0.5)  # reading PSS holds the processes up
        log.seek(0)
        output = log.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Measured(time.perf_counter() - start, peak / 2**30, output)


def _tree_memory(root: int) -> int:
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rsplit(") ", 1)[1].split()[1])
        except OSError:  # ended meanwhile
            continue
    family, grown = {root}, True
    while grown:
        grown = bool(more := {p for p, parent in parents.items() if parent in family} - family)
        family |= more
    total = 0
    for pid in family:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += 1024 * int(rollup.split("Pss:")[1].split()[0]) if "Pss:" in rollup else 0
    return total
