"""`clean-corpus decisions`: what people decided over clips, checked, and published as a version without another run."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from clean_corpus.flows.commands.forget import complete
from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.corpus import decisions, forgotten, ledger, republish, versions
from clean_corpus.pipeline.corpus.decisions import Entry
from clean_corpus.pipeline.corpus.forget_version import digest_of
from clean_corpus.pipeline.corpus.forgotten import Forgotten
from clean_corpus.pipeline.corpus.republish import Change, Pending, Republished
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.report import listening_picks, speaker_figures
from clean_corpus.pipeline.report.run_report import write_run_report
from clean_corpus.pipeline.storage import staging
from clean_corpus.pipeline.storage.base import Store


@dataclass(frozen=True)
class Standing:
    """What is decided over the newest version of a corpus and not in it."""

    version: int
    pending: Pending

    @property
    def effect_s(self) -> float:
        """Seconds that all changes together add to what is kept."""
        return sum(change.effect_s for change in self.pending.changes)


def standing(store: Store) -> Standing:
    """Return what is pending.

    Raises: ConfigError if there is no version, or an earlier release made it; DataError for a line that is no decision.
    """
    newest = _newest(store)
    with copied_ledger(store, newest) as table:
        return Standing(newest.version, republish.pending(table, decisions.load(store)))


def add_file(store: Store, where: Location, *, by: str) -> list[Entry]:
    """Store the decisions of a file of JSON lines; return them. Nothing is stored if one line is wrong.

    A line names its clip by `clip_id`, of the newest version, or by `source_sha256`, `offset_s` and `end_s`.
    Raises: ConfigError if the file cannot be read or there is no version; DataError that names the line.
    """
    try:
        with staging.local_input(where) as path:
            data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"--apply {where}: {error.strerror}") from None
    lines = list(decisions.json_lines(str(where), data))
    known = _clips(store, {str(values.get("clip_id")) for _, values in lines if "source_sha256" not in values})
    gone = forgotten.load(store)
    entries = [_entry(values, known, gone, by, f"{where}:{number}") for number, values in lines]
    if entries:
        decisions.append(store, entries)
    return entries


def _entry(values: dict[str, Any], known: dict[str, dict[str, Any]], gone: Forgotten, by: str, place: str) -> Entry:
    entry = decisions.entry_of(_completed(values, known, by, place), place)
    speaker = entry.value if entry.what == "speaker" else None
    if request := gone.request_of(entry.source, entry.source_sha256, speaker, entry.clip_id):
        raise DataError(f"{place}: {request.words}; remove the line")
    return entry


def _completed(values: dict[str, Any], known: dict[str, dict[str, Any]], by: str, place: str) -> dict[str, Any]:
    if "source_sha256" in values:
        return {"by": by, "clip_id": "", "source": "", **values}
    found = known.get(str(values.get("clip_id")))
    if found is None:
        raise DataError(
            f"{place}: clip_id: the newest version has no clip {values.get('clip_id')!r} of a recording that was read; "
            "name one of its ledger"
        )
    return {"by": by, **values, **found}


def place_of(row: dict[str, Any]) -> dict[str, Any]:
    """Return the fields by which an entry names the clip of a row of the ledger."""
    _, _, end_s = republish.place_of(row)
    return {name: row[name] for name in ("clip_id", "source", "source_sha256", "offset_s")} | {"end_s": end_s}


def _clips(store: Store, clip_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    columns = ("clip_id", "source", "source_sha256", "offset_s", "duration_s", "removed_s")
    table = versions.ledger_of(store, _newest(store), columns)
    wanted = pc.is_in(table["clip_id"], value_set=pa.array(sorted(set(clip_ids)), pa.string()))
    return {row["clip_id"]: place_of(row) for row in table.filter(wanted).to_pylist() if row["source_sha256"]}


def publish(store: Store) -> Republished:
    """Commit a version with all decisions applied, and write the report anew.

    Raises: as `republish.republish`; ConfigError if another run uses the output.
    """
    store.prepare()
    with store.only_run():
        complete(store)
        done = republish.republish(store, decisions.load(store))
        write_report(store, done.manifest)
        republish.write_facts(store, done.manifest)
    return done


def write_report(store: Store, manifest: Manifest) -> None:
    """Write the report of a version whose clips lie in work/ in both versions, as far as they still do."""
    with copied_ledger(store, manifest) as table:
        heard = listening_picks.picked(table) + (speaker_figures.picked(table) if manifest.embeddings else [])
        clip_shards = _clip_shards(store, table, heard)
    said = manifest.run["config"]
    config = PipelineConfig.model_validate({name: said[name] for name in PipelineConfig.model_fields if name in said})
    key = manifest.embeddings and manifest.embeddings.key
    write_run_report(store, manifest.run | {"version": manifest.version, "embeddings": key}, clip_shards, config)


def _clip_shards(store: Store, table: Path, clip_ids: Sequence[str]) -> dict[str, tuple[Shard, Shard | None]]:
    with ledger.opened(table) as connection:
        rows = connection.execute(
            "SELECT clip_id, raw_shard, enhanced_shard FROM ledger WHERE list_contains(?, clip_id)", [list(clip_ids)]
        ).fetchall()
    named = {key: digest_of(store, key) for key in {key for _, *keys in rows for key in keys if key}}
    found = ((clip_id, named.get(raw), named.get(enhanced)) for clip_id, raw, enhanced in rows)
    return {clip_id: (raw, enhanced) for clip_id, raw, enhanced in found if raw}


def _newest(store: Store) -> Manifest:
    newest = versions.latest(store)
    if newest is None:
        raise ConfigError(f"OUTPUT {store.root}: there is no version; `clean-corpus run` makes one")
    return newest


@contextmanager
def copied_ledger(store: Store, manifest: Manifest) -> Iterator[Path]:
    """Give a version's ledger as a local file for the length of the block."""
    with ScratchFolder() as folder, store.opened(manifest.ledger.key) as file:
        path = Path(folder, "ledger.parquet")
        with path.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        yield path


def words_of(change: Change) -> Iterator[str]:
    """Yield what a change does to its clip, in plain words."""
    old, new = change.old, change.new
    if old["verdict"] != new["verdict"]:
        yield f"{new['verdict']} instead of {old['verdict']}"
    if (chosen := new["chosen"]) and chosen != old["chosen"]:
        before = f" instead of the {old['chosen']} one" if old["chosen"] else ""
        yield f"the {chosen} version{before}"
    for name, quote in (("speaker", ""), ("text", '"')):
        if old[name] != new[name]:
            was, now = (f"{quote}{row[name]}{quote}" if row[name] else "" for row in (old, new))
            yield " ".join(filter(None, [f"{name} {now}" if now else f"no {name}", was and f"instead of {was}"]))
    if change.review is None:
        yield "taken back"
