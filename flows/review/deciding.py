"""Decisions over the clips on the page: stored at once, marked in the table, and what of them is not published yet."""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from clean_corpus.flows.commands.decisions import place_of, words_of
from clean_corpus.flows.review.table import Table
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.corpus import decisions, forgotten
from clean_corpus.pipeline.corpus.decisions import Decided, Entry, Review
from clean_corpus.pipeline.corpus.republish import Pending, pending_of
from clean_corpus.pipeline.corpus.republish import place_of as content_of
from clean_corpus.pipeline.storage.base import Store

LOOK_S = 2.0  # from one look for what other reviewers decided to the next


class Deciding:
    """All decisions over a corpus, as they concern the clips of one version.

    Every decision is an entry of `corpus.decisions`, so reviewers in other processes lose nothing; what they decide is
    seen here a few seconds later.
    """

    def __init__(self, store: Store, table: Table, reviewer: str) -> None:
        self.reviewer = reviewer
        self._store, self._table = store, table
        self._decided, self._reader = Decided(), decisions.Reader(store)
        self._rows: dict[int, dict[str, Any]] = {}
        self._reviews: dict[int, Review] = {}
        self._pending: Pending | None = None
        self._looked_s = -LOOK_S
        self._lock = threading.RLock()
        with self._lock:
            self._hold(row for (row,) in table.rows("SELECT row FROM clips WHERE is_reviewed"))
            self.look()

    def look(self) -> None:
        """Take in what was decided elsewhere since the last look, if that is some seconds ago.

        Raises: DataError if something below decisions/ is no decision.
        """
        with self._lock:
            if time.monotonic() - self._looked_s < LOOK_S:
                return
            self._take(self._reader.news())
            self._looked_s = time.monotonic()

    def review_of(self, row: int) -> Review | None:
        """Return what is decided over a clip, published or not, by the number of its row."""
        return self._reviews.get(row)

    def reviewed(self) -> dict[int, Review]:
        """Return what is decided over clips of this version, by the numbers of their rows."""
        with self._lock:
            return dict(self._reviews)

    def held(self, rows: Iterable[int]) -> dict[int, dict[str, Any]]:
        """Return all that the ledger says of clips over which something is decided."""
        return {row: self._rows[row] for row in rows}

    def history(self, record: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the entries over a clip, the oldest first; `stands` says whether one counts."""
        with self._lock:
            entries = self._decided.entries_of(*content_of(record))
        standing = {entry.id for entry in decisions.standing(entries)}
        fields = {"id", "at", "by", "what", "value"}
        return [entry.model_dump(mode="json", include=fields) | {"stands": entry.id in standing} for entry in entries]

    # ---- deciding

    def decide(self, rows: Sequence[int], what: str, value: str | Sequence[str] | None) -> list[Entry]:
        """Store a decision over some clips, given by the numbers of their rows; return its entries.

        An undo takes back the entry that `value` names, of each clip its own where it is a list, or without a value the
        reviewer's last over each clip.
        Raises: ConfigError if there is no such decision, or a clip over which nobody decides.
        """
        is_one = value is None or isinstance(value, str)
        values = [value] * len(rows) if is_one else list(value)
        if not is_one and (what != "undo" or len(values) != len(rows)):
            words = f"{len(values)} values of {what} for {len(rows)} clips"
            raise ConfigError(f"decision: {words}; undo alone takes a list, one for each clip")
        records = self._table.whole(rows)
        gone = forgotten.load(self._store)
        with self._lock:
            entries = [self._entry(records[row], what, one) for row, one in zip(rows, values, strict=True)]
            for entry in entries:
                speaker = entry.value if entry.what == "speaker" else None
                if request := gone.request_of(entry.source, entry.source_sha256, speaker, entry.clip_id):
                    raise ConfigError(f"clip {entry.clip_id}: {request.words}; nobody decides over it")
            decisions.append(self._store, entries)
            self._take(entries)
        return entries

    def _entry(self, record: dict[str, Any], what: str, value: str | None) -> Entry:
        if not record["source_sha256"]:
            raise ConfigError(f"clip {record['clip_id']}: its recording was not read, so nobody decides over it")
        if what == "undo":
            value = self._undone(record, value)
        try:
            return Entry.model_validate({"by": self.reviewer, "what": what, "value": value, **place_of(record)})
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(f"decision: {'.'.join(map(str, first['loc'])) or what}: {first['msg']}") from None

    def _undone(self, record: dict[str, Any], value: str | None) -> str:
        """Return the id of the entry over a clip that an undo takes back."""
        standing = decisions.standing(self._decided.entries_of(*content_of(record)))
        mine = [entry.id for entry in standing if (entry.id == value if value else entry.by == self.reviewer)]
        if not mine:
            what = f"no decision {value} that stands" if value else f"no decision of {self.reviewer} that stands"
            raise ConfigError(f"clip {record['clip_id']}: {what}, so there is nothing to undo")
        return mine[-1]

    # ---- what is there

    def _take(self, entries: Iterable[Entry]) -> None:
        contents = set()
        for entry in entries:
            self._decided.add(entry)
            contents.add(entry.source_sha256)
        if not contents:
            return
        question = "SELECT row FROM clips WHERE list_contains($contents, source_sha256)"
        rows = [row for (row,) in self._table.rows(question, {"contents": sorted(contents)})]
        self._hold(row for row in rows if row not in self._rows)
        marks = {}
        for row in rows:
            review = self._decided.of(*content_of(self._rows[row]))
            if review != self._reviews.get(row):
                marks[row] = (review.words or "note") if review else ""
            if review:
                self._reviews[row] = review
            else:
                self._reviews.pop(row, None)
        self._table.mark(marks)
        self._pending = None

    def _hold(self, rows: Iterable[int]) -> None:
        self._rows |= self._table.whole(rows)

    # ---- what is pending

    def pending(self) -> dict[str, Any]:
        """Return what is decided and not in this version, with its effect in hours kept."""
        found = self._found()
        changes = [
            {
                "clip_id": change.old["clip_id"],
                "effect": list(words_of(change)),
                "hours": change.effect_s / 3600,
                "by": change.review.by if change.review else None,
                "words": (change.review.words or "note") if change.review else "undone",
            }
            for change in found.changes
        ]
        left = [{"clip_id": clip_id, "why": f"nobody can keep it: {why}"} for clip_id, why in found.barred]
        left += [
            {"clip_id": entry.clip_id or entry.source_sha256[:12], "why": "this version lacks it"}
            for entry in found.absent
        ]
        hours = sum(change["hours"] for change in changes)
        return {"changes": changes, "clips": len(changes), "hours": hours, "left": left}

    def count(self) -> dict[str, float]:
        """Return how many clips a publishing would change, and the hours that it would add to what is kept."""
        changes = self._found().changes
        return {"clips": len(changes), "hours": sum(change.effect_s for change in changes) / 3600}

    def _found(self) -> Pending:
        with self._lock:
            if self._pending is None:
                self._pending = pending_of((self._rows[row] for row in sorted(self._rows)), self._decided)
            return self._pending
