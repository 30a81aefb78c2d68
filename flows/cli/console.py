"""Output that all commands share: progress and remarks on standard error, the end of a folder, an interruption."""

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from clean_corpus.flows.interruption import interruptible
from clean_corpus.pipeline.core.errors import CleanCorpusError

STDOUT = "standard output"


def one_line(name: str) -> str:
    r"""Return a name of somebody else's as one line shows it: what moves a terminal's cursor as an escape.

    >>> print(one_line("take 1\n2\x1b[2J.wav"))
    take 1\n2\x1b[2J.wav
    """
    return re.sub(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]", lambda found: ascii(found[0])[1:-1], name)


class _Remarks(Console):
    """Prints texts as they are, names in brackets too, and in lines that only a terminal breaks."""

    def print(self, *objects: Any, **options: Any) -> None:
        shown = ("\n".join(map(one_line, one.split("\n"))) if isinstance(one, str) else one for one in objects)
        super().print(*shown, **{"soft_wrap": not self.is_terminal, **options})


console = _Remarks(stderr=True, markup=False)


def ended_by_signals(message: str) -> AbstractContextManager[None]:
    """End the command at Ctrl-C or SIGTERM within the block, with a message and exit code 130."""
    return interruptible(_print_last, message)


def _print_last(message: str) -> None:
    console.show_cursor()  # a progress bar had hidden it
    console.print(message)


class _StandardOutput(io.FileIO):
    """A file whose errors say that it is standard output; the system's say only that some disk is full."""

    def write(self, data: Any) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STDOUT
            raise


@contextmanager
def whole_output() -> Iterator[None]:
    """Have what the block prints on standard output written when it ends; another error of the block goes before.

    Raises: CleanCorpusError if standard output cannot be written, whatever the block printed it with; SystemExit with
    code 1 and no word if who read it has ended, as `head` does.
    """
    before = sys.stdout
    with suppress(OSError, AttributeError):  # there is none, or it is a test's
        raw = _StandardOutput(before.fileno(), "w", closefd=False)
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding=before.encoding, errors=before.errors, line_buffering=before.isatty()
        )
    try:
        try:
            yield
        except SystemExit as end:
            if not end.code:
                _flush()
            raise
        _flush()
    except OSError as error:
        if error.filename != STDOUT:
            raise
        if isinstance(error, BrokenPipeError):
            raise SystemExit(1) from None
        raise CleanCorpusError(
            f"{STDOUT}: {error.strerror}; what is missing of it was not printed: make room there"
        ) from None
    finally:
        if sys.stdout is not before:
            try:
                _flush()  # of an error that goes before
            except OSError:
                _discard(sys.stdout)
            sys.stdout = before


def _flush() -> None:
    if sys.stdout:
        sys.stdout.flush()


def _discard(stream: TextIO) -> None:
    """Send what a stream holds back, and could not write, nowhere: Python would try again at its end, and say so."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def print_last(words: str) -> None:
    """Print what a command ends with on standard error, as it is; where that fails, the exit code is left."""
    try:
        console.print(words, highlight=False, soft_wrap=True)
    except OSError:
        with suppress(OSError, ValueError):
            _discard(sys.stderr)


def print_failures(failed: Mapping[str, str]) -> None:
    """Print one line for each file or clip that failed, by its name."""
    for name, error in failed.items():
        console.print(one_line(f"failed: {name}: {error}"))


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
