"""Output that all commands share: progress and remarks on standard error, the end of a folder, an interruption."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from clean_corpus.flows.interruption import interruptible
from clean_corpus.pipeline.core.errors import CleanCorpusError

console = Console(stderr=True)


def ended_by_signals(message: str) -> AbstractContextManager[None]:
    """End the command at Ctrl-C or SIGTERM within the block, with a message and exit code 130."""
    return interruptible(_print_last, message)


def _print_last(message: str) -> None:
    console.show_cursor()  # a progress bar had hidden it
    console.print(message)


def print_failures(failed: Mapping[str, str]) -> None:
    """Print one line for each file or clip that failed, by its name."""
    for name, error in failed.items():
        console.print(f"failed: {name}: {error}", markup=False)


def print_end_of_folder(source: object, verb: str, count: int, failed: Mapping[str, str]) -> None:
    """Print how many files a command has worked through and which ones failed.

    Raises: CleanCorpusError if all of them failed.
    """
    print_failures(failed)
    console.print(f"{verb} {count}, failed {len(failed)}")
    if not count:
        raise CleanCorpusError(f"nothing could be read in {source}")


def shown(location: object) -> object:
    """Return a location as results name it: a path from the root, anything else as it is."""
    return location.absolute() if isinstance(location, Path) else location
