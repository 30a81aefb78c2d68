"""`clean-corpus enhance`: every recording of a folder denoised into another, without flow or server."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows.commands.parallel import call_in_workers
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.discover.fetch import local_group
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.base import explain_disk_errors

RECORDINGS_PER_CALL = 8


def enhance_folder(
    source: Location, output: Location, name: str, workers: int, console: Console
) -> tuple[int, dict[str, str]]:
    """Denoise every recording below `source` to the same place below `output`; return their number, and failures.

    Failures are texts by the recording's name. Raises: ConfigError if there are no such weights or `output` is
    `source`.
    """
    checkpoints.card(name)
    recordings = find_all(source, exclude=output)
    names = output_names(recordings)
    groups = [recordings[i : i + RECORDINGS_PER_CALL] for i in range(0, len(recordings), RECORDINGS_PER_CALL)]
    failed: dict[str, str] = {}
    count = 0
    for group, result in call_in_workers(
        "enhance", groups, "groups", workers, console, _enhance_group, source, output, names, name
    ):
        if isinstance(result, WorkerDied):
            result = {recording.source: str(result) for recording in group}
        failed |= result
        count += len(group) - len(result)
    return count, failed


def output_names(recordings: Sequence[Recording]) -> dict[str, str]:
    """Return the path that each recording is written to, by the path it is read from.

    The suffix becomes .wav; where two files differ in their suffix alone, .wav is appended to the second.
    """
    taken: set[str] = set()
    names = {}
    for recording in recordings:
        name = str(Path(recording.path).with_suffix(".wav"))
        if name in taken:
            name = f"{recording.path}.wav"
        taken.add(name)
        names[recording.path] = name
    return names


def _enhance_group(
    group: Sequence[Recording], source: Location, output: Location, names: dict[str, str], name: str
) -> dict[str, str]:
    """Denoise and write some recordings in a worker; return failures by the recording's name."""
    from clean_corpus.flows.worker_functions import enhancer
    from clean_corpus.pipeline.corpus.enhance import enhance_files

    def write(path: str, data: bytes) -> None:
        if isinstance(output, S3Folder):
            open_store(output, DEFAULT_S3).write(names[path], data)
            return
        target = output / names[path]
        with explain_disk_errors(f"output {target}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)

    with local_group(source, group, DEFAULT_S3) as (folder, local_recordings):
        return enhance_files(local_recordings, folder, write, enhancer(name))
