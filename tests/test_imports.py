"""The processes that wait import no heavy library; `make lint` checks who may import whom, by pyproject.toml."""

import subprocess
import sys

import pytest

from tests.support.paths import REPOSITORY


@pytest.mark.parametrize(
    "module", ["clean_corpus.flows.cli.app", "clean_corpus.flows.clean_corpus", "clean_corpus.flows.commands.evaluate"]
)
def test_the_flow_process_loads_no_network_library(module):
    """Two workers with torch and a server already fill a small laptop; the process that waits must stay small."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'librosa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0
