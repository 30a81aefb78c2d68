"""Progress for people: bars on a terminal, one plain line per tenth of a stage elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Advance(Protocol):
    """Called once for each finished piece."""

    def __call__(self) -> None: ...


@contextmanager
def stage(console: Console, name: str, total: int, unit: str) -> Iterator[Advance]:
    """Show one stage of `total` pieces while the block runs."""
    if not console.is_terminal:
        done = 0

        def say() -> None:
            nonlocal done
            done += 1
            if done == total or done * 10 // total != (done - 1) * 10 // total:
                console.print(f"{name}: {done}/{total} {unit}")

        yield say
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=total)
        yield lambda: progress.advance(task)
