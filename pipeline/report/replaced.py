"""Replace a folder of generated files as one, and keep what others put into it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replaced(out: Path, is_own: Callable[[str], bool]) -> Iterator[Path]:
    """Give an empty folder for the block to fill, which takes the place of `out` at its end.

    Files for whose path below `out` `is_own` is false move along. Where the block raises, `out` stays as it was; what a
    process that died in between left is completed or removed by the next call.
    """
    fresh, stale = out.with_name(f".{out.name}.new"), out.with_name(f".{out.name}.old")
    if stale.exists() and not out.exists():  # of a process that died between the two renames below
        stale.rename(out)
    for leftover in filter(Path.exists, (fresh, stale)):
        shutil.rmtree(leftover)
    fresh.mkdir(parents=True)
    yield fresh
    _keep_foreign(out, fresh, is_own)
    if out.exists():
        out.rename(stale)
    fresh.rename(out)
    if stale.exists():
        shutil.rmtree(stale)


def _keep_foreign(out: Path, fresh: Path, is_own: Callable[[str], bool]) -> None:
    """Link what others put into a folder into the new one too, so that a death in between loses none."""
    for folder, folders, names in os.walk(out):
        for name in (*names, *(name for name in folders if Path(folder, name).is_symlink())):
            path = Path(folder, name)
            target = fresh / path.relative_to(out)
            if is_own(path.relative_to(out).as_posix()) or os.path.lexists(target):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, target, follow_symlinks=False)
            except OSError:  # of a file system without hard links
                shutil.copy2(path, target, follow_symlinks=False)
