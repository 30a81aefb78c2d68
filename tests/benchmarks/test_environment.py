"""Processes that benchmarks start: none outlives the benchmark, and what the processor worked on them is counted."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
PARENT = """
import signal, subprocess, sys
from environment import own_children
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background takes away
own_children()
python = [sys.executable, "-S", "-c"]
code = "import time; print(1, flush=True); time.sleep(60)"
subprocess.run([*python, f"import subprocess; subprocess.run({[*python, code]})"])
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_a_benchmark_starts_ends_with_it(end):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent / "src")])}
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, env=environment)
    assert process.stdout.readline() == b"1\n"
    mark = f"CLEAN_CORPUS_BENCHMARK_{process.pid}="
    assert len(marked(mark)) == 2, "child and grandchild"
    process.send_signal(end)
    process.wait(timeout=20)
    deadline = time.monotonic() + 20
    while marked(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not marked(mark)


def marked(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            found += [path.parent.name] if mark.encode() in path.read_bytes() else []
        except OSError:
            continue
    return found


def test_every_benchmark_that_starts_processes_owns_them():
    starts = re.compile(r"^import subprocess|\bCOMMAND\b|\bmake_pairs\b.*environment|environment.*\bmeasure\b", re.M)
    scripts = [p for p in BENCHMARKS.glob("*.py") if "__main__" in (text := p.read_text()) and starts.search(text)]
    assert len(scripts) > 10
    assert [path.name for path in scripts if "    own_children()\n" not in path.read_text()] == []


def test_the_work_of_a_process_is_counted_to_its_end(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import environment

    code = "import time\nwhile time.process_time() < 0.3: pass"
    took = environment.measure(sys.executable, "-S", "-c", code)
    assert 0.29 < took.cpu_s < 0.6 and took.wall_s >= 0.3


def test_a_command_that_fails_says_why(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import environment

    with pytest.raises(subprocess.CalledProcessError) as failed:
        environment.measure(sys.executable, "-S", "-c", "raise SystemExit('no such folder')")
    assert "no such folder" in failed.value.output and "no such folder" in failed.value.__notes__[0]
