"""Trainings whose --out lies in a bucket: they work in a local folder that is fetched before and sent as it grows.

What lies in the bucket is at every moment something that a training can go on from, on any machine:

- `run.json`, which says what is trained there, goes first; `last.ckpt`, which a resume begins with, after the
  `best.ckpt` that it names and is of the same validation; cards, facts and pages after what they describe.
- Checkpoints are put in place whole by Lightning. Any other file is sent once it has not changed for a while, and
  logs, which grow all the time, with whatever else is sent.
- A folder has another name on each machine. Checkpoints that name it are changed when they are fetched; in the bucket,
  `run.json` has "{out}" in its place.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from clean_corpus.flows import staging
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage.base import StorageError, explained
from clean_corpus.pipeline.storage.s3 import S3Store
from clean_corpus.pipeline.storage.s3_client import DEFAULTS

POLL_S = 1.0  # between two looks at the folder
FOLDER = "CLEAN_CORPUS_FOLDER"  # tells processes that Lightning starts for further GPUs where the training is
CLAIM, LAST, CHECKPOINT, LOG_PREFIX = "run.json", "last.ckpt", ".ckpt", "events.out.tfevents"
LOG = logging.getLogger("clean_corpus")

_SWEEPER = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"


class Stamp(NamedTuple):
    """What tells one content of a file from the next without reading it."""

    mtime_ns: int
    size: int
    inode: int


class Sent(NamedTuple):
    """A file as it lies in the bucket."""

    stamp: Stamp
    sha256: str


@contextmanager
def mirrored(root: S3Folder, leave_out: Collection[str] = ()) -> Iterator[Path]:
    """A local folder with all that lies below `root`; what changes in it is sent, at the latest when the block ends.

    Only one process has a place at a time. Subfolders `leave_out` stay here, and are lost with the folder.
    Raises: ConfigError if another process trains there, or there is no such bucket; StorageError if at the end it
    cannot be written. If it cannot be meanwhile, that is logged and tried again.
    """
    staging.check(root)
    store = S3Store(root, DEFAULTS)
    with _scratch() as folder, store.only_run():
        mirror = Mirror(store, folder, leave_out)
        mirror.fetch()
        os.environ[FOLDER] = str(folder)
        try:
            with staging.named(folder, root), mirror.following():
                yield folder
        finally:
            os.environ.pop(FOLDER, None)


def helper_folder() -> Path:
    """The folder of the training whose helper this process is."""
    return Path(os.environ[FOLDER])


@contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder that goes with the block, and with this process if that is killed."""
    with explained("temporary folder"):
        folder = os.path.realpath(tempfile.mkdtemp(prefix="clean-corpus-"))
    command = [sys.executable, "-I", "-S", "-c", _SWEEPER, folder]
    sweeper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        yield Path(folder)
    finally:
        sweeper.communicate()


class Mirror:
    """A local folder and its copy in a bucket."""

    def __init__(self, store: S3Store, folder: Path, leave_out: Collection[str] = ()) -> None:
        self.store, self.folder, self._leave_out = store, folder, {"work", *leave_out}
        self._names = {"{out}": str(folder), "{weights}": str(staging.weights_cache())}
        self._lease = max(store.keys("work/lease"), default="")
        self._sent: dict[str, Sent] = {}
        self._seen: dict[str, Stamp] = {}

    def fetch(self) -> None:
        """Everything that lies there."""
        for key in staging.fetch(self.store.root, self.folder, lambda key: key.split("/")[0] not in self._leave_out):
            path = self.folder / key
            if path.name == CLAIM:
                path.write_bytes(_renamed(path.read_bytes(), self._names))
            elif path.name == LAST:
                relocate(path)
            with path.open("rb") as file:
                self._sent[key] = Sent(_stamp(os.fstat(file.fileno())), _sha256(file))

    @contextmanager
    def following(self) -> Iterator[None]:
        """Send while the block runs, and everything at its end, however that comes."""
        stop = threading.Event()
        thread = threading.Thread(target=self._follow, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            stop.set()
            thread.join()
            try:
                self.send(everything=True)
            except CleanCorpusError as error:
                LOG.warning("%s", error)
            raise
        stop.set()
        thread.join()
        self.send(everything=True)

    def _follow(self, stop: threading.Event) -> None:
        said = ""
        while not stop.wait(POLL_S):
            try:
                self.send()
            except (CleanCorpusError, OSError) as error:
                if str(error) != said:
                    LOG.warning("%s", error)
                said = str(error)

    def send(self, *, everything: bool = False) -> None:
        """What has changed, in an order that can be cut anywhere; `everything` when nobody writes any more.

        Raises: StorageError if it cannot be written, or another process has the place by now; ConfigError.
        """
        stamps = self._stamps()
        before, self._seen = self._seen, stamps
        changed = [key for key, stamp in stamps.items() if key not in self._sent or self._sent[key].stamp != stamp]
        if not everything:
            changed = _ready(changed, stamps, before)
        if not everything and all(map(_is_log, changed)):
            return
        self._check_lease()
        with ExitStack() as stack:
            opened = self._checkpoints(changed, stack, everything)
            keys = {key for key in changed if not key.endswith(CHECKPOINT)} | opened.keys()
            for key in sorted(keys, key=lambda key: (_rank(key), key)):
                self._send_file(key, opened.get(key))
        if everything:
            for key in self._sent.keys() - stamps.keys():
                self.store.delete(key)
                del self._sent[key]

    def _stamps(self) -> dict[str, Stamp]:
        found = {}
        for folder, names, files in os.walk(self.folder):
            top = Path(folder) == self.folder
            names[:] = [n for n in names if not n.startswith(".") and not (top and n in self._leave_out)]
            for path in (Path(folder, name) for name in files if not name.startswith(".")):
                try:
                    found[path.relative_to(self.folder).as_posix()] = _stamp(path.stat())
                except FileNotFoundError:  # a temporary name
                    continue
        return found

    def _checkpoints(self, changed: Collection[str], stack: ExitStack, everything: bool) -> dict[str, BinaryIO]:
        """All checkpoints of the folders where one has changed, opened, as one validation has left them."""
        opened: dict[str, BinaryIO] = {}
        for folder in {Path(self.folder, key).parent for key in changed if key.endswith(CHECKPOINT)}:
            # The last one first: it is the one written last. A newer one beside it waits for its own last one.
            paths = sorted(folder.glob(f"*{CHECKPOINT}"), key=lambda path: path.name != LAST)
            files = [stack.enter_context(path.open("rb")) for path in paths]
            written = [os.fstat(file.fileno()).st_mtime_ns for file in files]
            if everything or (paths[0].name == LAST and max(written) == written[0]):
                opened |= {p.relative_to(self.folder).as_posix(): f for p, f in zip(paths, files, strict=True)}
        return opened

    def _send_file(self, key: str, opened: BinaryIO | None) -> None:
        try:
            with opened or (self.folder / key).open("rb") as file:
                stamp, sha256 = _stamp(os.fstat(file.fileno())), _sha256(file)
                if key not in self._sent or self._sent[key].sha256 != sha256:
                    if Path(key).name == CLAIM:
                        self.store.write(key, _renamed(file.read(), {old: new for new, old in self._names.items()}))
                    else:
                        staging.send(file, self.store.root, key)
        except FileNotFoundError:  # a temporary name
            return
        self._sent[key] = Sent(stamp, sha256)

    def _check_lease(self) -> None:
        if max(self.store.keys("work/lease"), default=self._lease) != self._lease:
            raise StorageError(
                f"output {self.store.root}: this run gave no sign of life for long, and another has taken the place "
                "over; what this one made since is not kept"
            )


def _stamp(about: os.stat_result) -> Stamp:
    return Stamp(about.st_mtime_ns, about.st_size, about.st_ino)


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def _is_log(key: str) -> bool:
    return key.rpartition("/")[2].startswith(LOG_PREFIX)


def _rank(key: str) -> int:
    """Place in the order of sending.

    >>> [_rank(key) for key in ("run.json", "best.safetensors", "checkpoints/last.ckpt", "best.json")]
    [0, 1, 2, 3]
    """
    name = key.rpartition("/")[2]
    if name == CLAIM:
        return 0
    if name == LAST:
        return 2
    return 3 if name.endswith((".json", ".html")) else 1


def _ready(changed: Collection[str], stamps: dict[str, Stamp], before: dict[str, Stamp]) -> list[str]:
    """What may be sent while others write: no file that is being written, and nothing that comes after one."""
    written = {k for k in changed if not (k.endswith(CHECKPOINT) or _is_log(k)) and stamps[k] != before.get(k)}
    first = min(map(_rank, written), default=_rank(".html"))
    return [key for key in changed if key not in written and _rank(key) <= first]


def _renamed(data: bytes, names: dict[str, str]) -> bytes:
    """JSON text with other names of folders in it.

    >>> _renamed(b'["/there/x.tar", "/thereafter"]', {"/there": "{out}"})
    b'["{out}/x.tar", "/thereafter"]'
    """
    for old, new in names.items():
        data = data.replace(f"{json.dumps(old)[1:-1]}/".encode(), f"{json.dumps(new)[1:-1]}/".encode())
    return data


def relocate(path: Path) -> None:
    """Have a checkpoint name the folder that it lies in: only then Lightning remembers which one was best so far."""
    import torch

    there = os.path.realpath(path.parent)
    state = torch.load(path, map_location="cpu", weights_only=True)
    for kept in state["callbacks"].values():
        if "dirpath" in kept:
            kept.update(_moved(kept, str(kept["dirpath"]), there))
    torch.save(state, path)


def _moved(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {_moved(k, old, new): _moved(v, old, new) for k, v in value.items()}
    return new + value[len(old) :] if isinstance(value, str) and value.startswith(old) else value
