"""Where real recordings are, and what several tests share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
DATA = Path(os.environ.get("CLEAN_CORPUS_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings; tests that need it are skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real recordings at {DATA}; set CLEAN_CORPUS_DATA")
    return DATA
