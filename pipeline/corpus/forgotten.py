"""What was asked to be forgotten: requests as they are stored, without a name, and what later runs know them by.

A request holds digests alone: of names of recordings, of their bytes, of the part of a clip's name that stands for its
recording, and of speakers' labels. They are keyed with a random number of this corpus, so that nobody can look them up
in a table of digests or compare two corpora; who has the corpus can still try names, which is why they count as
personal data, and as the least that keeps a recording out. docs/OPERATIONS.md says more.
"""

import hmac
import json
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.storage.base import Store

FOLDER = "forgotten"
SALT, REQUESTS, CLEARED, SETTLED = (f"{FOLDER}/{name}" for name in ("salt", "requests", "cleared", "settled"))
DIGITS = re.compile(r"-([0-9a-f]{64}|[0-9a-f]{16})(?![0-9a-f])")
"""The digits in a clip's name that stand for its recording, wherever such names are written."""
PREFIX = "forgotten-"


class Request(BaseModel):
    """One request to forget, as it is stored; `asked` tells it from requests for something else.

    `clips`, `recordings` and `seconds` are how much it found.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    id: str
    made: str
    reference: str | None = None
    asked: str
    speakers: list[str] = []
    names: list[str] = []
    contents: list[str] = []
    keys: list[str] = []
    clips: int
    recordings: int
    seconds: float

    @property
    def words(self) -> str:
        """What the ledger says of a recording that went with this request."""
        return f"forgotten: request {self.id} of {self.made[:10]}"


def new_id() -> tuple[str, str]:
    """Return the name and the time of a request that is made now."""
    made = datetime.now(UTC)
    return f"{made:%Y%m%d}-{secrets.token_hex(4)}", made.isoformat(timespec="seconds")


@lru_cache(maxsize=2**14)
def _digest(salt: bytes, kind: str, text: str) -> str:
    return hmac.digest(salt, f"{kind}\0{text}".encode("utf-8", "surrogatepass"), "sha256").hex()[:32]


def stem_of(source: str) -> str:
    """Return the name of a recording by which a copy in another format is known too: composed, without its extension.

    The line of a manifest that came to nothing is a row of its own, and has all of its name.

    >>> stem_of("a/b.1.wav"), stem_of("metadata.csv:7")
    ('a/b.1', 'metadata.csv:7')
    """
    source = unicodedata.normalize("NFC", source)
    return source if re.search(r"\.\w+:\d+'*$", source) else os.path.splitext(source)[0]


def label_of(speaker: str) -> str:
    """Return a speaker's label as labels are compared."""
    return unicodedata.normalize("NFC", speaker).strip()


def digits_of(clip_id: str) -> str | None:
    """Return the digits that stand for the recording in a clip's name.

    >>> digits_of("RiBen-55c3fb1c2b6ef0e5-00003")
    '55c3fb1c2b6ef0e5'
    """
    found = DIGITS.findall(clip_id)
    return found[-1] if found else None


class Forgotten:
    """All requests of a corpus, and which recordings they cover."""

    def __init__(self, salt: bytes, requests: Iterable[Request]) -> None:
        self.salt = salt
        self.requests = sorted(requests, key=lambda request: (request.made, request.id))
        self._by: dict[tuple[str, str], Request] = {}
        for request in self.requests:
            parts = (("speaker", request.speakers), ("name", request.names), ("content", request.contents))
            for kind, digests in (*parts, ("key", request.keys)):
                for digest in digests:
                    self._by.setdefault((kind, digest), request)
        self._kinds = {kind for kind, _ in self._by}

    def __bool__(self) -> bool:
        return bool(self.requests)

    def digest(self, kind: str, text: str) -> str:
        """Return the keyed digest of a name, a content's hash, a key's digits or a label."""
        return _digest(self.salt, kind, text)

    def request_of(
        self, source: str | None, sha256: str | None, speaker: str | None, clip_id: str | None = None
    ) -> Request | None:
        """Return the request that covers a recording, by any of what is known of it; None if there is none."""
        known = (
            ("name", source and stem_of(source)),
            ("content", sha256),
            ("speaker", speaker and label_of(speaker)),
            ("key", clip_id and digits_of(clip_id)),
        )
        for kind, text in known:
            if text and kind in self._kinds and (found := self._by.get((kind, self.digest(kind, text)))):
                return found
        return None

    def named_in(self, text: str) -> Request | None:
        """Return the request that covers a recording whose clip's name occurs in a text; None if there is none."""
        for digits in set(DIGITS.findall(text)) if "key" in self._kinds else ():
            if found := self._by.get(("key", self.digest("key", digits))):
                return found
        return None

    def hidden(self, source: str, sha256: str | None, speaker: str | None) -> tuple[str, str] | None:
        """Return what stands for a recording that a run finds, and why; None if the run may take it in."""
        request = self.request_of(source, sha256, speaker)
        return (self.pseudonym(source), request.words) if request else None

    def pseudonym(self, source: str) -> str:
        """Return what stands for the name of a recording that is forgotten."""
        return PREFIX + self.digest("source", source)


# ---- stored ----------------------------------------------------------------------------------------------------


def load(store: Store) -> Forgotten:
    """Return all requests of a corpus.

    Raises: DataError if one is damaged.
    """
    place = str(store.root), tuple(key for key in store.keys(REQUESTS) if key.endswith(".json"))
    if not place[1]:
        return Forgotten(b"", ())
    if _loaded.get("place") != place:
        salt = store.read(SALT)
        requests = [_read(store, key) for key in place[1]]
        _loaded.update(place=place, forgotten=Forgotten(salt, requests))
    return _loaded["forgotten"]


def _read(store: Store, key: str) -> Request:
    try:
        return Request.model_validate_json(store.read(key))
    except ValidationError as error:
        words = f"{store.root}/{key}: is no request to forget: {error.errors()[0]['msg']}; restore it from a backup"
        raise DataError(f"{words}, or remove it and forget again what it was for") from None


_loaded: dict[str, Any] = {}
"""The last that were loaded, and from where; requests are written once, so that their names tell them."""


def salt_of(store: Store, *, make: bool) -> bytes:
    """Return the random number that digests of this corpus are keyed with; without `make` any one if there is none."""
    try:
        return store.read(SALT)
    except FileNotFoundError:
        salt = secrets.token_hex(32).encode()
    if make and not store.create(SALT, salt):
        return store.read(SALT)
    return salt


def add(store: Store, request: Request) -> None:
    """Store a request: from here on it is completed by whatever comes next, and no run takes in what it covers."""
    store.write(f"{REQUESTS}/{request.id}.json", canonical_json(request.model_dump(mode="json")))


def open_requests(store: Store) -> tuple[list[str], list[str]]:
    """Return the ids of requests that are not carried out, and of those to be looked after once more.

    The latter were carried out so long ago that no run that was halted then can still write what it knew.
    """
    asked, cleared, settled = (
        {key.rpartition("/")[2].removesuffix(".json") for key in store.keys(folder) if key.endswith(".json")}
        for folder in (REQUESTS, CLEARED, SETTLED)
    )
    ages = ((name, store.age_s(f"{CLEARED}/{name}.json")) for name in sorted(asked & cleared - settled))
    return sorted(asked - cleared), [name for name, age_s in ages if age_s is not None and age_s > store.lateness_s]


def mark(store: Store, folder: str, names: Iterable[str]) -> None:
    """Write down that requests are carried out (CLEARED), or for good (SETTLED)."""
    for name in names:
        store.write(f"{folder}/{name}.json", canonical_json({"at": datetime.now(UTC).isoformat(timespec="seconds")}))


def requests_of(store: Store) -> Iterator[tuple[Request, bool]]:
    """Yield the requests of a corpus, and whether each is carried out."""
    pending = set(open_requests(store)[0])
    for request in load(store).requests:
        yield request, request.id not in pending


def asked_digest(salt: bytes, asked: object) -> str:
    """Return what tells a request from one for something else, without what was asked for."""
    return _digest(salt, "asked", json.dumps(asked, sort_keys=True))
