"""Local folders of trainings whose --out lies in a bucket: downloaded before, uploaded as they grow.

The objects in the bucket are at every moment something that a training can resume from, on any machine:

- `run.json`, which says what is trained there, goes first; `last.ckpt`, which a resume begins with, after the
  `best.ckpt` that it names and is of the same validation; cards, facts and pages after the files they describe.
- Lightning puts checkpoints in place whole. Any other file is uploaded once it has not changed for a while, and logs,
  which grow all the time, together with the next other file.
- A folder has another name on each machine. Checkpoints that name it are changed when they are downloaded; in the
  bucket, `run.json` has "{out}" in its place.
"""

import hashlib
import json
import logging
import os
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from clean_corpus.pipeline.core.child_processes import temporary_folder
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import lease, staging
from clean_corpus.pipeline.storage.base import explain_disk_errors
from clean_corpus.pipeline.storage.s3 import S3Store

POLL_S = 1.0  # between two looks at the folder
RUN, LAST, CHECKPOINT, LOG_PREFIX = "run.json", "last.ckpt", ".ckpt", "events.out.tfevents"
LOG = logging.getLogger("clean_corpus")


class Stamp(NamedTuple):
    """Time, size and inode of a file, which tell one content from the next without reading it."""

    mtime_ns: int
    size: int
    inode: int


class Uploaded(NamedTuple):
    """A file as it was when it was uploaded or downloaded."""

    stamp: Stamp
    sha256: str


@contextmanager
def synced_folder(
    root: S3Folder, leave_out: Collection[str] = (), placeholders: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """Give a local folder with all that lies below `root`, and upload what changes in it, at the latest at the end.

    Only one process has a location at a time. Subfolders `leave_out` are neither downloaded nor uploaded.
    `placeholders` stand in `run.json` of the bucket for folders of this machine, as "{out}" does.

    Raises: ConfigError if another process trains there, or there is no such bucket; StorageError if the bucket cannot
    be written at the end. A failure before the end is logged and tried again.
    """
    staging.require_bucket(root)
    store = S3Store(root, DEFAULT_S3)
    with ExitStack() as stack:
        with explain_disk_errors("temporary folder"):
            folder = stack.enter_context(temporary_folder("clean-corpus-"))
        stack.enter_context(store.only_run())
        sync = FolderSync(store, folder, leave_out, placeholders)
        sync.download()
        with staging.rename_in_errors(folder, root), sync.running():
            yield folder


class FolderSync:
    """A local folder and its copy in a bucket."""

    def __init__(
        self,
        store: S3Store,
        folder: Path,
        leave_out: Collection[str] = (),
        placeholders: Mapping[str, str] | None = None,
    ) -> None:
        self.store, self.folder, self._leave_out = store, folder, {"work", lease.FENCE, *leave_out}
        self._folders = {"{out}": str(folder), **(placeholders or {})}
        self._uploaded: dict[str, Uploaded] = {}
        self._previous: dict[str, Stamp] = {}

    def download(self) -> None:
        """Write all objects to files, with the folder's name on this machine in those that hold it.

        Raises: DataError if an object cannot be read.
        """
        for key in staging.download_folder(self.store.root, self.folder, self._is_synced):
            path = self.folder / key
            if path.name == RUN:
                path.write_bytes(_replace_folders(path.read_bytes(), self._folders))
            elif path.name == LAST:
                relocate(path)
            with path.open("rb") as file:
                self._uploaded[key] = Uploaded(_stamp(os.fstat(file.fileno())), _sha256(file))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Upload what changes while the block runs, and everything at its end, even one by an error.

        Raises: StorageError if the block ends well and the rest cannot be uploaded.
        """
        stop = threading.Event()
        thread = threading.Thread(target=self._poll, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            stop.set()
            thread.join()
            try:
                self.upload(everything=True)
            except CleanCorpusError as error:
                LOG.warning("%s", error)
            raise
        stop.set()
        thread.join()
        self.upload(everything=True)

    def _poll(self, stop: threading.Event) -> None:
        last_warning = ""
        while not stop.wait(POLL_S):
            try:
                self.upload()
            except (CleanCorpusError, OSError) as error:
                if str(error) != last_warning:
                    LOG.warning("%s", error)
                last_warning = str(error)

    def upload(self, *, everything: bool = False) -> None:
        """Upload what has changed, in an order that may break off anywhere; `everything` once nobody writes any more.

        Raises: StorageError if the bucket cannot be written, or another process has the location by now; ConfigError
        if the credentials may not write it.
        """
        stamps = self._stamps()
        previous, self._previous = self._previous, stamps
        changed = [k for k, stamp in stamps.items() if k not in self._uploaded or self._uploaded[k].stamp != stamp]
        if not everything:
            changed = _ready(changed, stamps, previous)
        if not everything and all(map(_is_log, changed)):
            return
        self.store.fence()
        with ExitStack() as stack:
            opened = self._open_checkpoints(changed, stack, everything)
            keys = {key for key in changed if not key.endswith(CHECKPOINT)} | opened.keys()
            for key in sorted(keys, key=lambda key: (_rank(key), key)):
                self._upload_file(key, opened.get(key))
        if everything:
            for key in self._uploaded.keys() - stamps.keys():
                self.store.delete(key)
                del self._uploaded[key]

    def _is_synced(self, key: str) -> bool:
        return key.split("/")[0] not in self._leave_out

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

    def _open_checkpoints(self, changed: Collection[str], stack: ExitStack, everything: bool) -> dict[str, BinaryIO]:
        """Open all checkpoints of each folder where one has changed, as one validation has left them."""
        opened: dict[str, BinaryIO] = {}
        for folder in {Path(self.folder, key).parent for key in changed if key.endswith(CHECKPOINT)}:
            # last.ckpt first, since it is written last. A newer one beside it waits for its own last.ckpt.
            paths = sorted(folder.glob(f"*{CHECKPOINT}"), key=lambda path: path.name != LAST)
            files = [stack.enter_context(path.open("rb")) for path in paths]
            written_ns = [os.fstat(file.fileno()).st_mtime_ns for file in files]
            if everything or (paths[0].name == LAST and max(written_ns) == written_ns[0]):
                opened |= {p.relative_to(self.folder).as_posix(): f for p, f in zip(paths, files, strict=True)}
        return opened

    def _upload_file(self, key: str, opened: BinaryIO | None) -> None:
        try:
            with opened or (self.folder / key).open("rb") as file:
                stamp, sha256 = _stamp(os.fstat(file.fileno())), _sha256(file)
                if key not in self._uploaded or self._uploaded[key].sha256 != sha256:
                    if Path(key).name == RUN:
                        placeholders = {folder: name for name, folder in self._folders.items()}
                        self.store.write(key, _replace_folders(file.read(), placeholders))
                    else:
                        staging.upload(file, self.store.root, key)
        except FileNotFoundError:  # a temporary name
            return
        self._uploaded[key] = Uploaded(stamp, sha256)


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest


def _is_log(key: str) -> bool:
    return key.rpartition("/")[2].startswith(LOG_PREFIX)


def _rank(key: str) -> int:
    """Return a file's place in the order of uploading.

    >>> [_rank(key) for key in ("run.json", "best.safetensors", "checkpoints/last.ckpt", "best.json")]
    [0, 1, 2, 3]
    """
    name = key.rpartition("/")[2]
    if name == RUN:
        return 0
    if name == LAST:
        return 2
    return 3 if name.endswith((".json", ".html")) else 1


def _ready(changed: Collection[str], stamps: dict[str, Stamp], previous: dict[str, Stamp]) -> list[str]:
    """Return the files that may be uploaded while others are written: none half written, none that comes after one."""
    written = {k for k in changed if not (k.endswith(CHECKPOINT) or _is_log(k)) and stamps[k] != previous.get(k)}
    first = min(map(_rank, written), default=_rank(".html"))
    return [key for key in changed if key not in written and _rank(key) <= first]


def _replace_folders(data: bytes, names: Mapping[str, str]) -> bytes:
    """Replace names of folders in JSON text, where a slash follows them.

    >>> _replace_folders(b'["/data/x.tar", "/database"]', {"/data": "{out}"})
    b'["{out}/x.tar", "/database"]'
    """
    for old, new in names.items():
        data = data.replace(f"{json.dumps(old)[1:-1]}/".encode(), f"{json.dumps(new)[1:-1]}/".encode())
    return data


def relocate(path: Path) -> None:
    """Have a checkpoint name the folder that it lies in: only then Lightning remembers which one was best so far."""
    import torch

    folder = os.path.realpath(path.parent)
    state = torch.load(path, map_location="cpu", weights_only=True)
    for callback in state["callbacks"].values():
        if "dirpath" in callback:
            callback.update(_replace_start(callback, str(callback["dirpath"]), folder))
    torch.save(state, path)


def _replace_start(value: Any, old: str, new: str) -> Any:
    """Replace the start of every text in a nested dictionary, keys too, that begins with `old`."""
    if isinstance(value, dict):
        return {_replace_start(k, old, new): _replace_start(v, old, new) for k, v in value.items()}
    return new + value[len(old) :] if isinstance(value, str) and value.startswith(old) else value
