"""A watch over what the processes of a command look up and connect to, natively or by Python."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


class Connections:
    """Environment that has every process of a command watched, and what was seen.

    Connections beyond this machine are refused and look-ups fail, so nothing leaves it even if a test fails.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler:
            pytest.skip("no C compiler, with which pesq is installed too")
        library, self._log = folder / "connections.so", folder / "connections.log"
        command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"]
        subprocess.run(command, check=True)
        self.environment = {"LD_PRELOAD": str(library), "CONNECTIONS_LOG": str(self._log)}

    def seen(self) -> list[str]:
        """Return look-ups of names and connections beyond this machine, in their order."""
        return self._log.read_text().splitlines() if self._log.exists() else []
