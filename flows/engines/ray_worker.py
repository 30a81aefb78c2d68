"""The actor of a Ray cluster that calls functions for `ray_engine`, several at a time.

Ray imports it by name on every machine of the cluster, so each has this package installed.
"""

import hashlib
import os
import pickle
import socket
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("pipeline", "enhancers", "vocoder", "flows")


@dataclass(frozen=True)
class Arrival:
    """A worker that is ready: its machine, process and version."""

    node: str
    host: str
    pid: int
    code: str


def code_sha256() -> str:
    """Return a hash of this package's source, which must be the same on all machines: shards are named by what made
    them."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Worker:
    """A process that keeps its models loaded. Its methods run in threads, as many at a time as the engine allows."""

    def __init__(self, *, gpu: bool) -> None:
        if not gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves them all in sight of who asked for none
        os.environ["OMP_NUM_THREADS"] = "1"  # before torch is loaded: each thread that calls it has its own count

    def ready(self, preload: list[str]) -> Arrival:
        """Import what calls need, so that the first one does not wait for it."""
        import importlib

        import ray

        from clean_corpus.pipeline.storage import s3_client

        for name in preload:
            importlib.import_module(name)
        s3_client.go_on()
        return Arrival(ray.util.get_node_ip_address(), socket.gethostname(), os.getpid(), code_sha256())

    def wait_forever(self) -> None:
        """Never return: Ray tells whoever waits for this call when the process ends."""
        threading.Event().wait()

    def call(self, pickled: bytes) -> bytes:
        """Call a pickled (function, arguments); return (True, result) or (False, exception), pickled.

        A result that cannot be pickled comes back as an error here, and not as a dead worker.
        """
        from clean_corpus.pipeline.core import memory

        try:
            function, args = pickle.loads(pickled)
            return pickle.dumps((True, function(*args)))
        except Exception as error:
            return _pickled(error)
        finally:
            memory.return_freed_memory()


def _pickled(error: Exception) -> bytes:
    """Return (False, error), pickled; an error that cannot be pickled becomes a CleanCorpusError of the same text."""
    from clean_corpus.pipeline.core.errors import CleanCorpusError

    if not isinstance(error, CleanCorpusError):
        error.add_note("in the worker: " + traceback.format_exc())
    try:
        pickled = pickle.dumps((False, error))
        pickle.loads(pickled)  # one whose __init__ takes other arguments than its `args` fails here
        return pickled
    except Exception:
        return pickle.dumps((False, CleanCorpusError(f"{type(error).__name__}: {error}")))
