"""Refuse to build a package without its rooms, which is what a zip unpacked without its symbolic links would give."""

from pathlib import Path

from setuptools import setup

PACKAGE = Path(__file__).parent / "src" / "clean_corpus"

missing = [room for room in ("enhancers", "flows", "pipeline", "vocoder") if not (PACKAGE / room).is_dir()]
if missing:
    raise SystemExit(
        f"{PACKAGE} has no folder {', '.join(missing)}: unpack the sources with their symbolic links "
        "(git, tar or unzip keep them, Python's zipfile does not)"
    )

setup()
