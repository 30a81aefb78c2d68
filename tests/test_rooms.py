"""Who may import whom, and what must stay cheap to import."""

import ast
import subprocess
import sys

import pytest

from tests.support.paths import REPOSITORY


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_only_audio_knows_soundfile_in_the_pipeline():
    users = {p for p in (REPOSITORY / "pipeline").rglob("*.py") if "soundfile" in set(imported(p))}
    assert {p.parent.name for p in users} <= {"audio", "demo"}  # the demo writes formats that the pipeline only reads


@pytest.mark.parametrize(
    "module", ["clean_corpus.flows.cli.app", "clean_corpus.flows.clean_corpus", "clean_corpus.flows.evaluation"]
)
def test_the_flow_process_loads_no_network_library(module):
    """Two workers with torch and a server already fill a small laptop; the process that waits must stay small."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'librosa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
