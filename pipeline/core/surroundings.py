"""What a process needs of the machine it starts on: a folder to keep things in, semaphores, memory, names in UTF-8.

Each either is made to work or ends in one sentence with the remedy.
"""

import errno
import io
import locale
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from clean_corpus.pipeline.core import memory
from clean_corpus.pipeline.core.child_processes import temporary_folder
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError

_LIBRARY_CACHES = {"MPLCONFIGDIR": "matplotlib", "NUMBA_CACHE_DIR": "numba", "TRITON_CACHE_DIR": "triton"}


def user_cache() -> Path:
    """Return the folder for what stays between this user's commands; it may not exist yet.

    Raises: ConfigError if the user has no home.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        raise ConfigError(
            "this user has no home folder; set HOME or XDG_CACHE_HOME to one that can be written"
        ) from None
    return base / "clean-corpus"


@contextmanager
def writable_cache() -> Iterator[None]:
    """Give the block, and processes it starts, a user's cache: a temporary one where the user's cannot be written.

    Libraries put their caches there too, for each would complain, or refuse to work, by itself.
    Raises: ConfigError if no temporary folder can be written either.
    """
    if folder := _writable_user_cache():
        os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))
        yield
        return
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(temporary_folder("clean-corpus-cache-"))
        except OSError as error:
            raise ConfigError(
                f"neither the home folder nor a temporary one can be written ({error.strerror}); set XDG_CACHE_HOME "
                "and TMPDIR to folders that can"
            ) from None
        for name, library in _LIBRARY_CACHES.items():
            os.environ.setdefault(name, str(folder / library))
        os.environ["XDG_CACHE_HOME"] = str(folder)
        yield


def _writable_user_cache() -> Path | None:
    """Return the user's cache if files can be made there, or it can be made itself."""
    try:
        folder = user_cache()
    except ConfigError:
        return None
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return folder if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK) else None


def require_semaphores() -> None:
    """Refuse to start worker processes where they cannot share semaphores.

    Raises: CleanCorpusError with the remedy.
    """
    try:
        multiprocessing.get_context("forkserver").Lock()
    except (OSError, ImportError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CleanCorpusError(
            f"worker processes need semaphores, which lie in /dev/shm: {reason}; have it mounted with room and "
            "permission to write (containers: --tmpfs /dev/shm, or --shm-size=64m)"
        ) from None


WORKERS_BYTES = 700e6  # one worker and what starts it, measured: with less it is killed in its first call
RUN_BYTES = 950e6  # and the flow with its server
ADDRESSES = 4e9  # torch's libraries alone take 3.5e9 of them in each worker


def require_memory(least: float = WORKERS_BYTES) -> None:
    """Refuse to start worker processes where the system would kill them, or where their libraries cannot be loaded.

    Raises: CleanCorpusError with the remedy.
    """
    limit, addresses = memory.memory_limit(), memory.address_space_limit()
    if addresses < ADDRESSES:
        raise CleanCorpusError(
            f"worker processes need {ADDRESSES / 1e9:.0f} GB of address space each, this process may have "
            f"{addresses / 1e9:.1f} GB; raise the limit (ulimit -v unlimited), and limit memory by a cgroup instead"
        )
    if limit < least:
        raise CleanCorpusError(
            f"there are {limit / 1e6:.0f} MB of memory, one worker and what it needs take {least / 1e6:.0f} MB; give "
            "this machine or container more (containers: --memory=2g)"
        )


_OF_A_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


def explained(error: BaseException) -> str | None:
    """Return the sentence for an error that says what the system refuses: memory, threads, a file or a folder.

    >>> explained(PermissionError(errno.EACCES, "Permission denied", "out/a"))
    'out/a: Permission denied; make room, mend the permissions or choose another place'
    """
    no_thread = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    if isinstance(error, MemoryError) or no_thread or getattr(error, "errno", None) == errno.ENOMEM:
        return "the system gives this command no more memory or threads; raise its limits (ulimit -a, the container's)"
    if isinstance(error, OSError) and error.errno in _OF_A_PLACE and error.filename is not None:
        place = os.fsdecode(error.filename) if not isinstance(error.filename, int) else error.filename
        return f"{place}: {error.strerror}; make room, mend the permissions or choose another place"
    if isinstance(error, OSError) and error.errno in _NO_ROOM:  # a write names no file
        return f"{error.strerror}; make room where this command writes: its output, and the temporary folder (TMPDIR)"
    return None


def speak_utf8() -> None:
    """Have this process use UTF-8 for names, files and output; start it anew where its locale says another encoding.

    What still cannot be printed is written as backslash escapes: no output ends a command.
    """
    encodings = {sys.getfilesystemencoding().lower(), locale.getpreferredencoding(False).lower()}
    if not sys.flags.utf8_mode and encodings != {"utf-8"}:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONUTF8": "1"})
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
