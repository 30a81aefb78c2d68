"""Who may import whom, and what must stay cheap to import."""

import ast
import subprocess
import sys

import pytest
from conftest import REPOSITORY

ALLOWED = {
    "pipeline": {"pipeline"},
    "enhancers": {"enhancers", "pipeline"},
    "vocoder": {"vocoder", "pipeline"},
    "flows": {"flows", "enhancers", "vocoder", "pipeline"},
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_the_rooms_below_it(room):
    for path in (REPOSITORY / room).rglob("*.py"):
        used = {name.split(".")[0] for name in imported(path)} & set(ALLOWED)
        assert used <= ALLOWED[room], f"{path.relative_to(REPOSITORY)} imports {used - ALLOWED[room]}"


def test_only_audio_knows_soundfile_in_the_pipeline():
    users = {p.name for p in (REPOSITORY / "pipeline").glob("*.py") if "soundfile" in set(imported(p))}
    assert users <= {"audio.py", "demo.py"}  # demo.py writes formats that the pipeline only reads


@pytest.mark.parametrize("module", ["flows.cli", "flows.clean_corpus", "flows.evaluation"])
def test_the_flow_process_loads_no_network_library(module):
    """Two workers with torch and a server already fill a small laptop; the process that waits must stay small."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'librosa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
