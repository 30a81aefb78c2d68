"""`clean-corpus enhance`: every recording of a folder denoised into another, without flow or server."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows.commands.parallel import call_in_workers
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.flows.worker_functions import enhancer
from clean_corpus.pipeline.audio.sound_files import SUFFIXES
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.files import write_whole
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.discover.fetch import base_folder, base_prefix, local_group
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.base import explain_disk_errors

if TYPE_CHECKING:
    from clean_corpus.pipeline.corpus.enhance import Enhancer

RECORDINGS_PER_CALL = 8
WAV = ".wav"


def enhance_folder(
    source: Location,
    output: Location,
    name: str,
    workers: int,
    console: Console,
    *,
    upper_band: str | None = None,
    sample_rate: int | None = None,
    keep_channels: bool = False,
) -> tuple[int, dict[str, str]]:
    """Denoise every recording below `source` to the same place below `output`; return their number, and failures.

    Each keeps its own rate unless one is given, and becomes mono unless its channels are kept.
    `upper_band` names the weights for what lies above the enhancer's own band, None for its own gains.
    Failures are texts by the recording's name. Raises: ConfigError if there are no such weights, or a recording would
    be overwritten.
    """
    checkpoints.require_enhancer(name)
    recordings = find_all(source, exclude=output)
    names = output_names(recordings)
    _refuse_overwriting(source, output, names, [recording.path for recording in recordings])
    groups = [recordings[i : i + RECORDINGS_PER_CALL] for i in range(0, len(recordings), RECORDINGS_PER_CALL)]
    failed: dict[str, str] = {}
    count = 0
    while groups:
        alone: list[list[Recording]] = []  # of groups that killed their worker: only the one at fault is to fail
        for group, result in call_in_workers(
            "enhance",
            groups,
            "groups",
            workers,
            console,
            _enhance_group,
            source,
            output,
            names,
            partial(enhancer, name, upper_band),
            sample_rate,
            keep_channels,
        ):
            if isinstance(result, WorkerDied) and len(group) > 1:
                alone += [[recording] for recording in group]
                continue
            if isinstance(result, WorkerDied):
                result = {group[0].source: str(result)}
            failed |= result
            count += len(group) - len(result)
        groups = alone
    return count, failed


def output_names(recordings: Sequence[Recording]) -> dict[str, str]:
    """Return the path that each recording is written to, by the path it is read from; no two have one.

    A .wav keeps its name, so that a pair is found by name whatever lies beside it. Of any other file the suffix becomes
    .wav; where several sound files share a stem, .wav is appended to the name of each that is none.
    """
    paths = [recording.path for recording in recordings if not recording.error]
    taken = {path for path in paths if path.endswith(WAV)}
    names = {path: path for path in taken}
    sound = Counter(_stem(path) for path in paths if Path(path).suffix.lower() in SUFFIXES)
    for path in sorted(set(paths) - taken, key=lambda path: (Path(path).suffix.lower() not in SUFFIXES, path)):
        name = _stem(path) + WAV
        if name in taken or (sound[_stem(path)] > 1 and Path(path).suffix.lower() in SUFFIXES):
            name = path + WAV
        while name in taken:
            name += WAV
        taken.add(name)
        names[path] = name
    return names


def _stem(path: str) -> str:
    return str(Path(path).with_suffix(""))


def _refuse_overwriting(source: Location, output: Location, names: dict[str, str], found: Sequence[str]) -> None:
    """Refuse to write where a recording of the input lies, by whatever name or link.

    `found` are the paths of all recordings, of which those that cannot be read have no name.
    Raises: ConfigError.
    """
    if isinstance(source, Path) and isinstance(output, Path):
        there = {path: name for path, name in names.items() if os.path.lexists(output / name)}
        folder = base_folder(source)
        inputs = {_identity(folder / path) for path in found} - {None} if there else set()
        overwriting = (path for path, name in there.items() if _identity(output / name) in inputs)
    elif isinstance(source, S3Folder) and isinstance(output, S3Folder):
        prefix = base_prefix(source, DEFAULT_S3)
        keys = {prefix.key(path) for path in found} if prefix.bucket == output.bucket else set()
        overwriting = (path for path, name in names.items() if output.key(name) in keys)
    else:
        return
    if path := next(overwriting, None):
        raise ConfigError(
            f"OUT_DIR {output}: {output / names[path]}, which {path} would become, is a recording of the input itself; "
            "choose another folder"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _enhance_group(
    group: Sequence[Recording],
    source: Location,
    output: Location,
    names: dict[str, str],
    enhancer_at: "Callable[[int], Enhancer]",
    sample_rate: int | None,
    keep_channels: bool,
) -> dict[str, str]:
    """Denoise and write some recordings in a worker; return failures by the recording's name."""
    from clean_corpus.flows.worker_functions import has_gpu
    from clean_corpus.pipeline.corpus.enhance_files import enhance_files

    def write(path: str, data: bytes) -> None:
        if isinstance(output, S3Folder):
            open_store(output, DEFAULT_S3).write(names[path], data)
            return
        target = output / names[path]
        with explain_disk_errors(f"output {target}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, data)

    with local_group(source, group, DEFAULT_S3) as (folder, local_recordings):
        return enhance_files(
            local_recordings,
            folder,
            write,
            enhancer_at,
            sample_rate=sample_rate,
            keep_channels=keep_channels,
            on_gpu=has_gpu(),
        )
