"""All clips that an output knows of: those in the ledgers of its versions, and those that lie in work/ alone."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from typing import Any

import pyarrow.parquet as pq

from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.corpus.ledger import ROWS_PER_GROUP
from clean_corpus.pipeline.quality.best_copy import kept_copy
from clean_corpus.pipeline.storage.base import Store

INGESTED = ("work/ingest", "work/listed")
READERS = 8  # parallel requests for records
_COLUMNS = (
    "clip_id", "source", "source_sha256", "speaker", "speaker_auto", "given_speaker", "reason", "detail", "duration_s",
    "shard",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KnownClip:
    """What an output knows of one clip that matters for forgetting; `copy_of` is the clip that is kept in its place."""

    clip_id: str
    source: str
    sha256: str | None
    speaker: str | None
    speaker_auto: str | None
    copy_of: str | None
    duration_s: float
    shard: str | None


def known_clips(store: Store) -> Iterator[KnownClip]:
    """Yield every clip of every version's ledger, each ledger once, then those of the records of `ingest` in work/."""
    ledgers = {versions.read(store, number).ledger.key for number in versions.numbers(store)}
    for key in sorted(ledgers):
        yield from clips_of_ledger(store, key)
    for _, record in records(store, INGESTED):
        yield from clips_of_record(record)


class Spool:
    """Clips that are read from an output once and may be gone through again, in a file without a name."""

    def __init__(self, clips: Iterable[KnownClip]) -> None:
        self._file = tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass")  # noqa: SIM115 - kept
        for clip in clips:
            self._file.write(json.dumps(astuple(clip)) + "\n")

    def __iter__(self) -> Iterator[KnownClip]:
        self._file.seek(0)
        for line in self._file:
            yield KnownClip(*json.loads(line))


def clips_of_ledger(store: Store, key: str) -> Iterator[KnownClip]:
    """Yield the clips of a ledger, in its order; columns that it lacks are None.

    A clip whose speaker somebody corrected comes twice, under the speaker that was given too.
    """
    with store.opened(key) as file:
        parquet = pq.ParquetFile(file)
        columns = [name for name in _COLUMNS if name in parquet.schema_arrow.names]
        for batch in parquet.iter_batches(ROWS_PER_GROUP, columns=columns):
            for row in batch.to_pylist():
                clip = KnownClip(
                    row["clip_id"],
                    row.get("source") or row["clip_id"],
                    row.get("source_sha256"),
                    row.get("speaker"),
                    row.get("speaker_auto"),
                    kept_copy(row.get("reason"), row.get("detail")),
                    row.get("duration_s") or 0.0,
                    row.get("shard"),
                )
                yield clip
                if given := row.get("given_speaker"):
                    yield replace(clip, speaker=given)


def clips_of_record(record: dict[str, Any]) -> Iterator[KnownClip]:
    """Yield the clips of a record of the stage `ingest`."""
    for clip in [*(clip for raw in record["shards"] for clip in raw["clips"]), *record["rest"]]:
        speaker = clip["metadata"]["speaker"]
        yield KnownClip(
            clip["clip_id"], clip["source"], clip["source_sha256"], speaker, None, None, clip["duration_s"], None
        )


def records(store: Store, folders: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the records of stages directly below some folders, with their keys; several are read at a time."""
    for key, text in texts(store, (key for folder in folders for key in store.keys(folder) if key.endswith(".json"))):
        yield key, json.loads(text)


def texts(store: Store, keys: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield objects and their text, in order; those that vanish meanwhile are passed over."""

    def read(key: str) -> tuple[str, str | None]:
        try:
            return key, store.read(key).decode(errors="replace")
        except FileNotFoundError:
            return key, None

    with ThreadPoolExecutor(READERS) as threads:
        window: list[str] = []
        for key in (*keys, None):
            if key is not None:
                window.append(key)
            if len(window) == 8 * READERS or key is None:
                yield from ((name, text) for name, text in threads.map(read, window) if text is not None)
                window.clear()
