"""What lies below INPUT: one Recording per file or object, or per name in a manifest, whether or not it can be read."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipeline import manifests
from pipeline.clip import Metadata, Recording
from pipeline.config import S3Config
from pipeline.errors import ConfigError
from pipeline.places import Place, S3Folder

_HASH_THREADS = 4
WITHOUT = S3Config()
_ERRORS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "symlink loop",
    errno.ENOENT: "broken link",
}


def discover(root: Place, *, exclude: Place | None, s3: S3Config = WITHOUT) -> list[Recording]:
    """Every file below a folder, or one file, or what one manifest names; sorted by path.

    Paths are relative to `root`, or to its folder if it is a file. Hidden files and folders (leading dot) and the
    folder `exclude` are passed over; links are followed. Manifests and sidecars (see manifests.py) have no row of
    their own unless they are malformed; what they name and is not there has one. Any other file is a recording until
    its decoding says otherwise.
    Raises: ConfigError if `root` is missing or is `exclude`.
    """
    if isinstance(root, S3Folder):
        from pipeline.s3_sources import discover_objects

        return discover_objects(root, exclude if isinstance(exclude, S3Folder) else None, s3)
    return _discover_files(root, exclude if isinstance(exclude, Path) else None)


def _discover_files(root: Path, exclude: Path | None) -> list[Recording]:
    if not os.path.exists(root):
        raise ConfigError(f"input {root}: no such file or folder")
    if exclude is not None and root.resolve() == exclude.resolve():
        raise ConfigError(f"output {exclude} is the input folder itself; choose another folder, which may lie inside")
    make = partial(_recording, base(root))
    if root.is_dir():
        return recordings(root, dict(_walk(root, exclude)), make)
    if not manifests.is_manifest(root.name):
        beside = [root, *(note for suffix in (".txt", ".json") if (note := root.with_suffix(suffix)).is_file())]
        return recordings(root.parent, {path.name: None for path in beside}, make)
    return recordings(root.parent, dict(_walk(root.parent, exclude)), make, only=root.name)


Make = Callable[[str, Metadata, str | None], Recording]
"""(path, what is said of it, why it cannot be read) -> the recording."""


def recordings(base: Path, found: dict[str, str | None], make: Make, *, only: str | None = None) -> list[Recording]:
    """Rows for the files found (path -> why it cannot be read); with `only`, for what that manifest names.

    Below `base` lie at least the manifests and sidecars among them.
    """
    read = manifests.read_all(base, [path for path, error in found.items() if error is None])
    metadata: dict[str, Metadata] = {}
    for manifest in read:
        for path, says in manifest.metadata.items():
            metadata[path] = manifests.overlay(metadata.get(path, Metadata()), says)
    errors = dict(found)
    for manifest in read:
        del errors[manifest.path]
    wanted = [manifest for manifest in read if only in (None, manifest.path)]
    if only is not None:
        errors = {path: errors[path] for manifest in wanted for path in manifest.metadata}
    for manifest in wanted:
        for path in manifest.missing:
            errors.setdefault(path, f"named in {printable(manifest.path)} but not found")
        if manifest.errors:
            others = f" (and {len(manifest.errors) - 1} more)" if len(manifest.errors) > 1 else ""
            errors[manifest.path] = f"malformed manifest: {manifest.errors[0]}{others}"
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        return list(pool.map(lambda path: make(path, metadata.get(path, Metadata()), errors[path]), sorted(errors)))


def _recording(base: Path, path: str, metadata: Metadata, error: str | None) -> Recording:
    size, sha256 = 0, None
    if error is None:
        try:
            with (base / path).open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
        except OSError as problem:
            error = _reason(problem)
    return Recording(path, printable(path), size, sha256, metadata, error)


def still_there(base: Path, recording: Recording) -> Recording:
    """The recording as it was found, or with an error if it was changed or taken away since."""
    if recording.error:
        return recording
    now = _recording(base, recording.path, recording.metadata, None)
    if now.sha256 == recording.sha256:
        return recording
    return replace(recording, error=f"source changed: {now.error or 'it is not what was found'}; run again")


def printable(path: str) -> str:
    r"""A path as valid UTF-8: bytes that are not UTF-8 become \xNN.

    >>> printable("caf\udce9.wav")
    'caf\\xe9.wav'
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return path if text == path else text  # of a million names each is held once


def _reason(error: OSError) -> str:
    return _ERRORS.get(error.errno, (error.strerror or str(error)).lower())


def _walk(base: Path, exclude: Path | None) -> Iterator[tuple[str, str | None]]:
    """Path relative to `base`, and why it cannot be read or None, of every file."""
    excluded = _identity(os.stat(exclude)) if exclude is not None and exclude.exists() else None
    folders = [("", (_identity(os.stat(base)),))]
    while folders:
        folder, ancestors = folders.pop()
        try:
            names = [name for name in os.listdir(base / folder) if not name.startswith(".")]
        except OSError as error:
            yield folder or ".", _reason(error)
            continue
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.stat(base / path)
            except OSError as error:
                yield path, _reason(error)
                continue
            if stat.S_ISREG(status.st_mode):
                yield path, None
            elif not stat.S_ISDIR(status.st_mode):
                yield path, "not a regular file"
            elif _identity(status) in ancestors:
                yield path, "symlink loop"
            elif _identity(status) != excluded:
                folders.append((path, (*ancestors, _identity(status))))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def base(root: Path) -> Path:
    """The folder that the paths of `discover(root)` are relative to, of a file or folder."""
    return root if root.is_dir() else root.parent
