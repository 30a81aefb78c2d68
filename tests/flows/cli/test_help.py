"""`--help` answers at once: it imports nothing that only a command needs."""

import subprocess
import sys

import pytest

from clean_corpus.flows.cli.app import COMMANDS

LARGE = ("boto3", "duckdb", "matplotlib", "numpy", "prefect", "pyarrow", "pydantic", "scipy", "torch")
CPU_LIMIT_S = 2.0  # 0.25 s here; the bound catches a large import on any machine, and no slow one by itself
CODE = """
import resource, sys
sys.argv[0] = "clean-corpus"
try:
    from clean_corpus.flows.cli.app import main
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print("cpu", used.ru_utime + used.ru_stime, file=sys.stderr)
    print("loaded", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize("arguments", [[], ["run"], ["train-enhancer"], ["listening-test"]], ids=lambda a: "".join(a))
def test_help_imports_nothing_large(arguments):
    command = [sys.executable, "-c", CODE, *arguments, "--help"]
    help_ = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Usage: clean-corpus" in help_.stdout
    cpu, loaded = help_.stderr.strip().splitlines()
    allowed = {"pydantic"} if arguments else set()  # typer itself imports it for the options of a command
    assert not set(loaded.split()) & (set(LARGE) - allowed)
    assert float(cpu.split()[1]) < CPU_LIMIT_S


def test_help_of_the_program_names_every_command():
    command = [sys.executable, "-c", CODE, "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(f" {name} " in text for name in COMMANDS)
