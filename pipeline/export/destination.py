"""The folder or bucket that an export goes to: what earlier exports wrote there, and what no export wrote.

All names of audio change with their content, so files of a new export lie beside those of the old one until its lists
and its card are in place; then those that the new one does not name are deleted. Below .export/ lies what an export
needs of the last one, and of one that was killed: the names of all files that it may have begun (pending), and a record
of each unit that it finished (done).
"""

import contextlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.core.locations import Location, is_within
from clean_corpus.pipeline.corpus.own_files import EXPORTS, own_folder
from clean_corpus.pipeline.discover.outputs import EXPORT_STATE
from clean_corpus.pipeline.export.audio import Written
from clean_corpus.pipeline.export.manifests import read_lines, write_lines
from clean_corpus.pipeline.export.speakers import Speakers
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.local import LocalStore

CARD = "card.json"
READERS = 8  # parallel requests for records


def refuse_misplaced(root: Location, source: Location | None, output: Location, name: str = "DEST") -> None:
    """Refuse an export into what the next run reads, or among the files of the corpus itself.

    `source` and `output` are INPUT and OUTPUT of the corpus, `name` is what the user calls `root`.
    Raises: ConfigError.
    """
    own = own_folder(root, output)
    if is_within(output, root) or own not in (None, EXPORTS):
        place = f"lies in {own}/ of OUTPUT {output}" if own else f"holds OUTPUT {output}"
        raise ConfigError(
            f"{name} {root} {place}, where the corpus keeps its own files; choose another, such as "
            f"{output / EXPORTS}/NAME"
        )
    is_left_out = is_within(root, output) and not (source and is_within(source, output))
    if source and is_within(root, source) and not is_left_out:
        raise ConfigError(
            f"{name} {root} lies in INPUT {source}, whose next run would take the clips for recordings; choose another"
        )


class Destination:
    """DEST of an export, locked while an export writes there."""

    def __init__(self, root: Location, s3: S3Config) -> None:
        self.root = root
        self.state = open_store(root / EXPORT_STATE, s3)
        self.files = (
            LocalStore(root, root / EXPORT_STATE / "work/tmp") if isinstance(root, Path) else open_store(root, s3)
        )

    @contextmanager
    def locked(self, layout: str) -> Iterator[None]:
        """Keep other exports out for the length of the block.

        Raises: ConfigError if DEST holds something that no export wrote, an export for another reader, or another
        process exports there.
        """
        earlier = self._read("layout.json")
        if earlier is None and (foreign := next(self._visible(), None)):
            raise ConfigError(
                f"DEST {self.root}: holds {foreign}, which no export wrote; choose an empty folder or a new one"
            )
        if earlier is not None and earlier["layout"] != layout:
            raise ConfigError(
                f"DEST {self.root}: holds an export for {earlier['layout']}, this one is for {layout}; choose another"
            )
        self.state.prepare()
        with self.state.only_run():
            self.state.write("layout.json", canonical_json({"layout": layout}))
            yield

    def _visible(self) -> Iterator[str]:
        """Yield the names of files that are neither hidden nor in a hidden folder."""
        for key in self.files.walk(""):
            if not any(part.startswith(".") for part in PurePosixPath(key).parts):
                yield key

    def card(self) -> dict[str, Any] | None:
        """Return the card of the export that lies there, None if there is none."""
        try:
            return json.loads(self.files.read(CARD))
        except (FileNotFoundError, ValueError):
            return None

    def speakers(self) -> dict[str, Any]:
        """Return what the last export stored of its speakers, nothing if there is none."""
        return self._read("speakers.json") or {}

    def write_speakers(self, speakers: Speakers) -> None:
        """Keep the labels and numbers of speakers for the next export."""
        self.state.write("speakers.json", canonical_json({"speakers": speakers.stored, "next": speakers.next}))

    # ---- records of units

    def recorded(self) -> Iterator[Written]:
        """Yield the units that the last export, or one that was killed since, has finished."""
        try:
            with self.state.opened("units.jsonl.gz") as file:
                yield from (Written(**found) for found in read_lines(file))
        except FileNotFoundError:
            pass
        with ThreadPoolExecutor(READERS) as threads:
            for data in threads.map(self.state.read, list(self.state.keys("done"))):
                yield Written(**json.loads(data))

    def record(self, written: Written) -> None:
        """Record a unit whose files are in place."""
        self.state.write(f"done/{written.unit}.json", canonical_json(asdict(written)))

    def pending(self) -> Iterator[str]:
        """Yield the names of files that an export which did not end may have begun."""
        try:
            with self.state.opened("pending.jsonl.gz") as file:
                yield from (found["path"] for found in read_lines(file))
        except FileNotFoundError:
            pass

    def announce(self, paths: Iterable[str]) -> None:
        """Write down the names of all files that are there, or will be, before any is begun."""
        self._write_lines("pending.jsonl.gz", ({"path": path} for path in paths))

    def commit(self, units: Iterable[Written], obsolete: Iterable[str]) -> None:
        """Delete what the export that has just been written does not name, and forget how it came about."""
        for path in obsolete:
            self.files.delete(path)
            if isinstance(self.root, Path):
                with contextlib.suppress(OSError):  # not empty, or gone
                    (self.root / path).parent.rmdir()
        self._write_lines("units.jsonl.gz", map(asdict, units))
        for key in list(self.state.keys("done")):
            self.state.delete(key)
        self.state.delete("pending.jsonl.gz")

    def _write_lines(self, key: str, values: Iterable[dict[str, Any]]) -> None:
        with self.state.writer(key) as file:
            write_lines(file, values)

    def _read(self, key: str) -> dict[str, Any] | None:
        try:
            return json.loads(self.state.read(key))
        except FileNotFoundError:
            return None
