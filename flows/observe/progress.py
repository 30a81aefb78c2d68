"""Progress for people: bars on a terminal, one plain line per tenth of a stage elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Advance(Protocol):
    """A function that is called with the number of pieces that were finished."""

    def __call__(self, pieces: int = 1) -> None: ...


@contextmanager
def stage(console: Console, name: str, total: int, unit: str) -> Iterator[Advance]:
    """Show one stage of `total` pieces while the block runs; on a terminal with pieces per second."""
    if not console.is_terminal:
        finished = 0

        def advance(pieces: int = 1) -> None:
            nonlocal finished
            before, finished = finished, finished + pieces
            if finished == total or finished * 10 // total != before * 10 // total:
                console.print(f"{name}: {finished}/{total} {unit}")

        yield advance
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TaskProgressColumn(text_format="", show_speed=True),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=total)
        yield lambda pieces=1: progress.advance(task, pieces)
