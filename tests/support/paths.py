"""Paths that several tests share."""

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DATA = Path(os.environ.get("CLEAN_CORPUS_DATA", REPOSITORY.parent / "shared" / "data"))
COMMAND = str(Path(sys.executable).parent / "clean-corpus")
