"""A version of a corpus written as a trainer reads it: audio first, then lists, and the card last."""

import hashlib
import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.hashing import content_name
from clean_corpus.pipeline.core.locations import Location, parse_location
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.corpus import forgotten, shards
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.export import card as cards
from clean_corpus.pipeline.export import texts
from clean_corpus.pipeline.export.audio import Written, write_unit
from clean_corpus.pipeline.export.config import ExportConfig
from clean_corpus.pipeline.export.destination import CARD, Destination, refuse_misplaced
from clean_corpus.pipeline.export.layouts import Layout, find
from clean_corpus.pipeline.export.plan import LISTS, VERSION, Plan, Unit
from clean_corpus.pipeline.export.split import sides
from clean_corpus.pipeline.export.utterances import Side, Utterance
from clean_corpus.pipeline.storage.base import Store

PAGE = "README.md"
THREADS = 8  # tars at once; most of their time is waiting for a disk or a bucket

Progress = Callable[[int], AbstractContextManager[Callable[[], None]]]
"""Given the number of tars to write, a block in which the function that it gives is called once a tar."""


@dataclass(frozen=True)
class Exported:
    """What lies in DEST; `changed` is false if it lay there before."""

    where: Location
    card: dict[str, Any]
    changed: bool

    @property
    def summary(self) -> dict[str, Any]:
        """Return what a run says of it."""
        told = ("layout", "sample_rate", "clips", "sides", "left_out")
        about = {key: self.card[key] for key in told}
        return about | {"to": str(self.where), "changed": self.changed, "remarks": self.remarks}

    @property
    def remarks(self) -> list[str]:
        """Return what a user should know of it."""
        layout = find(self.card["layout"])
        return [*cards.remarks(self.card, layout), *filter(None, [layout.warning])]


def export(
    source: Store,
    manifest: Manifest,
    root: Location,
    options: ExportConfig,
    s3: S3Config,
    *,
    progress: Progress = lambda _: nullcontext(lambda: None),
    threads: int = THREADS,
) -> Exported:
    """Write the kept clips of a version to `root` in the layout that `options` names; a second time nothing is done.

    Files of an earlier export that this one does not name are deleted at the end; files that no export wrote stay.

    Raises: ConfigError if the corpus has a lower rate than the layout, or `root` is no place for it; DataError if no
    clip can be exported, or the version is damaged; StorageError if `root` cannot be written.
    """
    given = manifest.run.get("input")
    refuse_misplaced(root, parse_location(given) if given else None, source.root)
    name = options.layout or ""
    layout = find(name)
    options = options.with_language(manifest.run.get("config", {}).get("text", {}).get("language"))
    rate = _sample_rate(source, manifest, layout, options)
    prefix = _prefix(root, layout, options)
    destination = Destination(root, s3)
    with scratch_database() as database:
        plan = Plan(database, layout, options, rate, manifest.shards)
        with _ledger(source, manifest) as table:
            plan.read(table)
        if not (clips := database.execute("SELECT count(*) FROM clip").fetchone()[0]):
            counted = ", ".join(f"{n} {why}" for why, n in plan.left_out.most_common()) or "none is kept"
            raise DataError(f"no clip of version {manifest.version} can be exported for {name}: {counted}")
        identity = _identity(manifest, layout, options, rate, prefix, clips)
        with destination.locked(name):
            speakers = plan.name_speakers(destination.speakers(), forgotten.load(source))
            work = _Export(source, destination, database, plan, layout, prefix)
            if (found := destination.card()) and found.get("identity") == identity and work.is_complete(found["lists"]):
                return Exported(root, found, False)
            work.write_audio(progress, threads)
            destination.write_speakers(speakers)
            made = work.write_lists(lambda lists: cards.card(name, layout, plan, manifest, identity, lists))
            work.commit(made["lists"])
    return Exported(root, made, True)


def _sample_rate(source: Store, manifest: Manifest, layout: Layout, options: ExportConfig) -> int:
    """Return the rate of the export, Hz.

    Raises: ConfigError if the corpus has a lower one; DataError if its first tar is damaged.
    """
    found = manifest.run.get("config", {}).get("audio", {}).get("sample_rate")
    if found is None and manifest.shards:
        found = decode.length(next(iter(shards.read_flac(source, manifest.shards[0])))[1])[1]
    wanted = options.rate(layout) or found
    if found and wanted and found < wanted:
        raise ConfigError(
            f"OUTPUT {source.root}: version {manifest.version} has {found} Hz, {options.layout} takes {wanted} Hz; run "
            f"it again with --for {options.layout} or --set audio.sample_rate={wanted}, or export with --sample-rate "
            f"{found}"
        )
    return int(wanted or 0)


def _prefix(root: Location, layout: Layout, options: ExportConfig) -> str:
    """Return what stands in front of whole paths in lists: where the trainer finds DEST.

    Raises: ConfigError if the layout takes no spaces there, or would split the path.
    """
    if not layout.prefix:
        return ""
    in_bucket = str(root) if layout.shar else ""  # lhotse alone opens s3://
    where = options.prefix or (root.absolute().as_posix() if isinstance(root, Path) else in_bucket)
    if layout.prefix_without_spaces and len(where.split()) > 1:
        raise ConfigError(f"DEST {where}: {layout.reader} takes no spaces in paths; choose another, or set --prefix")
    if layout.clean is texts.without_bar and "|" in where:
        raise ConfigError(f"DEST {where}: {layout.reader} splits lines at |; choose another, or set --prefix")
    return f"{where.rstrip('/')}/" if where else ""


def _identity(manifest: Manifest, layout: Layout, options: ExportConfig, rate: int, prefix: str, clips: int) -> str:
    made_of = [shard.sha256 for shard in manifest.shards], manifest.ledger.sha256, manifest.version
    chosen = options.model_dump(mode="json", exclude={"to"})
    return content_name("export", VERSION, LISTS, *made_of, chosen, layout.split, rate, prefix, clips)


@contextmanager
def _ledger(source: Store, manifest: Manifest) -> Iterator[Path]:
    """Give the block a version's ledger as a file.

    Raises: DataError if it is not what was written.
    """
    where = f"{source.root}: {manifest.ledger.key} of version {manifest.version}"
    with ScratchFolder() as folder:
        table = Path(folder, "ledger.parquet")
        try:
            with source.opened(manifest.ledger.key) as file, table.open("wb") as copy:
                if hashlib.file_digest(file, "sha256").hexdigest() != manifest.ledger.sha256:
                    raise DataError(f"{where} has other bytes; roll back, or run again")
                file.seek(0)
                shutil.copyfileobj(file, copy)
        except FileNotFoundError:
            raise DataError(f"{where} is gone; roll back, or run again") from None
        yield table


_TABLES = """
    CREATE TABLE written (unit TEXT PRIMARY KEY, body TEXT);
    CREATE TABLE present (path TEXT PRIMARY KEY, size INTEGER);
    CREATE TABLE known (path TEXT PRIMARY KEY);
    CREATE TABLE wanted (path TEXT PRIMARY KEY);
    CREATE TABLE unit (name TEXT PRIMARY KEY, complete INTEGER);
"""


class _Export:
    """One export at work: what lies in DEST, what is missing, and the lists."""

    def __init__(
        self, source: Store, destination: Destination, database: sqlite3.Connection, plan: Plan, layout: Layout,
        prefix: str,
    ) -> None:  # fmt: skip
        self.source, self.destination, self.database = source, destination, database
        self.plan, self.layout, self.prefix, self.sample_rate = plan, layout, prefix, plan.sample_rate
        self.speakers, self.n_speakers = plan.speakers, plan.n_speakers
        self.lists: list[str] = []
        for statement in filter(str.strip, _TABLES.split(";")):
            database.execute(statement)
        self.interrupted = self._add("known", destination.pending()) > 0
        for written in destination.recorded():
            self._keep(written)
            self._add("known", written.files)
        self._add("known", (destination.card() or {}).get("lists", ()))
        self._look()

    def _add(self, table: str, paths: Any) -> int:
        rows = ((path,) for path in paths)
        return self.database.executemany(f"INSERT OR IGNORE INTO {table} VALUES (?)", rows).rowcount

    def _keep(self, written: Written) -> None:
        row = written.unit, json.dumps(asdict(written))
        self.database.execute("INSERT OR REPLACE INTO written VALUES (?, ?)", row)

    def _recorded(self, columns: str = "name, body") -> Iterator[tuple[str, ...]]:
        """Yield what is recorded of this export's units."""
        sql = f"SELECT {columns} FROM unit JOIN written ON unit.name = written.unit ORDER BY name"
        yield from self.database.cursor().execute(sql)

    def _look(self) -> None:
        """See which units are complete: recorded, with each of their files in its size."""
        for unit in self.plan.units():
            self._add("wanted", unit.files(self.layout))
            self.database.execute("INSERT INTO unit VALUES (?, 0)", (unit.name,))
        every = "SELECT path FROM known UNION SELECT path FROM wanted"
        folders = {path.rpartition("/")[0] for (path,) in self.database.execute(every) if "/" in path}
        for folder in sorted(folders):
            found = self.destination.files.sizes(folder)
            self.database.executemany("INSERT OR REPLACE INTO present VALUES (?, ?)", found)
        complete = [(name,) for name, body in self._recorded() if self._is_there(json.loads(body)["files"])]
        self.database.executemany("UPDATE unit SET complete = 1 WHERE name = ?", complete)

    def _is_there(self, files: Mapping[str, int]) -> bool:
        find = self.database.cursor().execute
        return all(
            find("SELECT 1 FROM present WHERE path = ? AND size = ?", found).fetchone() for found in files.items()
        )

    def is_complete(self, lists: Sequence[str]) -> bool:
        """Return whether nothing is left to do: all files and lists are there, and no export was killed since."""
        if self.interrupted or self.database.execute("SELECT 1 FROM unit WHERE NOT complete").fetchone():
            return False
        return all(self.destination.files.size(name) is not None for name in lists)

    # ---- audio

    def write_audio(self, progress: Progress, threads: int) -> None:
        """Write the audio of all units that are not complete, several at once."""
        self.destination.announce(
            path for (path,) in self.database.cursor().execute("SELECT path FROM known UNION SELECT path FROM wanted")
        )
        missing = {name for (name,) in self.database.execute("SELECT name FROM unit WHERE NOT complete")}
        with progress(len(missing)) as advance, ThreadPoolExecutor(threads) as pool:
            running: set[Future[Written]] = set()
            for unit in self.plan.units():
                if unit.name in missing:
                    running.add(pool.submit(self._write_unit, unit))
                if len(running) > 2 * threads:
                    running = self._take(running, advance)
            while running:
                running = self._take(running, advance)
        for (body,) in self._recorded("body"):
            self.plan.measured(json.loads(body)["n_samples"])

    def _write_unit(self, unit: Unit) -> Written:
        written = write_unit(self.source, self.destination.files, unit, self.layout, self.sample_rate)
        self.destination.record(written)
        return written

    def _take(self, running: set[Future[Written]], advance: Callable[[], None]) -> set[Future[Written]]:
        done, rest = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            self._keep(future.result())
            advance()
        return rest

    # ---- lists

    @property
    def sides(self) -> Sequence[Side]:
        return sides(self.plan.shares)

    def utterances(self, side: Side, *, by_speaker: bool = False) -> Iterator[Utterance]:
        return self.plan.utterances(side, by_speaker=by_speaker)

    @contextmanager
    def binary_file(self, name: str) -> Iterator[BinaryIO]:
        self.lists.append(name)
        with self.destination.files.writer(name) as file:
            yield file

    @contextmanager
    def text_file(self, name: str) -> Iterator[TextIO]:
        with self.binary_file(name) as file:
            text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
            yield text
            text.flush()
            text.detach()

    def write_lists(self, card: Callable[[list[str]], dict[str, Any]]) -> dict[str, Any]:
        """Write the lists, then the page, and last the card; return the card."""
        self.layout.write(self)
        made = card(sorted([*self.lists, PAGE, CARD]))
        self.destination.files.write(PAGE, cards.page(made, self.layout, str(self.destination.root)).encode())
        data = json.dumps(made, indent=2, ensure_ascii=False).encode() + b"\n"
        self.destination.files.write(CARD, data)
        return made

    def commit(self, lists: Sequence[str]) -> None:
        """Delete what earlier exports wrote and this one does not name."""
        self._add("wanted", lists)
        obsolete = self.database.cursor().execute("SELECT path FROM known EXCEPT SELECT path FROM wanted")
        units = (Written(**json.loads(body)) for (body,) in self._recorded("body"))
        self.destination.commit(units, (path for (path,) in obsolete))
