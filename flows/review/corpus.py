"""The version of a corpus that the page shows, read once, and the next one when it was published, here or elsewhere."""

import threading
import time
from pathlib import Path
from typing import Any

from clean_corpus.flows.commands import decisions as command
from clean_corpus.flows.review import queries
from clean_corpus.flows.review.deciding import Deciding
from clean_corpus.flows.review.filters import Filter
from clean_corpus.flows.review.scores import config_of
from clean_corpus.flows.review.sounds import Sounds
from clean_corpus.flows.review.surroundings import Surroundings
from clean_corpus.flows.review.table import FACETS, Table
from clean_corpus.flows.review.tars import Tars
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.corpus.decisions import Review
from clean_corpus.pipeline.corpus.republish import Republished
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.storage.base import Store

LOOK_S = 3.0  # from one look for a version of another process to the next
NEIGHBOURS = 100  # clips of the same recording that are listed, on either side of one


class NoClip(CleanCorpusError):
    """A request names a clip that the version does not have."""


class Corpus:
    """One version: its clips, their sounds, and what is decided over them.

    Raises: ConfigError if there is no such version; DataError if its ledger cannot be read.
    """

    def __init__(self, store: Store, s3: S3Config, reviewer: str, version: int | None = None) -> None:
        self.manifest = _manifest(store, version)
        self._root = str(store.root.absolute() if isinstance(store.root, Path) else store.root)
        self.config = config_of(self.manifest.run)
        with command.copied_ledger(store, self.manifest) as path:
            self.table = Table(path, self.config)  # the file stays open when its name is gone
        self.deciding = Deciding(store, self.table, reviewer)
        self.sounds = Sounds(Tars(store), self.config)
        self.surroundings = Surroundings(str(self.manifest.run.get("input", "")), self.config, s3)

    def facts(self, output: str) -> dict[str, Any]:
        """Return what the page is told of the version."""
        gate = self.config.gate
        return {
            "output": output,
            "root": self._root,
            "version": self.manifest.version,
            "made": self.manifest.made,
            "clips": (totals := queries.totals(self.table, Filter()))["total"],
            "hours": totals["hours"],
            "kept_hours": totals["kept_hours"],
            "reviewer": self.deciding.reviewer,
            "sample_rate": self.config.audio.sample_rate,
            "enhancer": self.manifest.run["enhancer"],
            "prefer": gate.prefer,
            "pending": self.deciding.count(),
            "reasons": [reason for reason in self.table.values["reason"] if reason],
            "facets": list(FACETS),
            "scores": [score.facts(gate) for score in self.table.scores.values()],
        }

    def clips(self, rows: list[int]) -> list[dict[str, Any]]:
        """Return what the page's table says of clips, with what is decided over each, published or not."""
        found = queries.clips(self.table, rows)
        for row, clip in zip(rows, found, strict=True):
            clip["decided"] = decided(self.deciding.review_of(row))
        return found

    def row_of(self, clip_id: str) -> int:
        """Return the number of a clip's row.

        Raises: NoClip.
        """
        if (row := self.table.row_of(clip_id)) is None:
            raise NoClip(f"version {self.manifest.version} has no clip {clip_id!r}")
        return row

    def whole(self, clip_id: str) -> dict[str, Any]:
        """Return all that the ledger says of a clip.

        Raises: NoClip.
        """
        row = self.row_of(clip_id)
        return self.table.whole([row])[row]

    def close(self) -> None:
        """Let go of the memory."""
        self.table.close()


def decided(review: Review | None) -> dict[str, Any] | None:
    """Return what is decided over a clip as the page is told; None if nothing is."""
    if review is None:
        return None
    return {
        "verdict": review.verdict,
        "why": review.why,
        "chosen": review.version,
        "text": review.fields.get("text"),
        "speaker": review.fields.get("speaker"),
        "corrected": sorted(review.fields),
        "note": review.note,
        "by": review.by,
        "at": review.at,
        "words": review.words or "note",
    }


class Open:
    """The corpus that is open, and what replaces it: a publishing here, or a version that another process made.

    Requests take the corpus once, so that one that is under way ends on the version that it began with. A version that
    was asked for by its number stays until something is published here.
    """

    def __init__(self, store: Store, s3: S3Config, reviewer: str, version: int | None = None) -> None:
        self.store, self._s3, self._reviewer = store, s3, reviewer
        self._known = max(versions.numbers(store), default=0)  # before it is read: a newer one is not missed
        self.corpus = Corpus(store, s3, reviewer, version)
        self._follows, self._looked_s = version is None, time.monotonic()
        self._replacing = threading.Lock()

    def look(self) -> Corpus:
        """Return the corpus, the newest version if another process has published one and some seconds have gone by.

        Raises: as `Corpus`.
        """
        if self._follows and time.monotonic() - self._looked_s >= LOOK_S and self._replacing.acquire(blocking=False):
            try:
                self._open_newest()
            finally:
                self._replacing.release()
        return self.corpus

    def publish(self) -> Republished:
        """Commit a version with all decisions applied, and open it; open the newest where another has all of them.

        Raises: as `commands.decisions.publish`; ConfigError if a publishing is under way.
        """
        if not self._replacing.acquire(blocking=False):
            raise ConfigError("a publishing is under way; wait for it")
        try:
            try:
                done = command.publish(self.store)
            except ConfigError:
                if self._follows:
                    self._open_newest()
                raise
            self._follows = True
            self._open_newest()
        finally:
            self._replacing.release()
        return done

    def _open_newest(self) -> None:
        """Read the newest version unless it is the one that is open; requests may still read the one before."""
        known = max(versions.numbers(self.store), default=0)
        if known != self._known:  # of a `forget` that is under way, the newest is still the one before
            newest = versions.latest(self.store)
            if newest and newest.version != self.corpus.manifest.version:
                self.corpus = Corpus(self.store, self._s3, self._reviewer)
            self._known = known
        self._looked_s = time.monotonic()


def _manifest(store: Store, version: int | None) -> Manifest:
    manifest = versions.latest(store) if version is None else versions.read(store, version)
    if manifest is None:
        raise ConfigError(f"OUTPUT {store.root}: there is no version; `clean-corpus run` makes one")
    return manifest
