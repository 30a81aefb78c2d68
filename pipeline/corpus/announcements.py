"""Announcements of commits and of deletions, which keep a commit and a deletion of the same objects apart.

A lease alone cannot do that: a run that is halted for longer than its lease lasts goes on afterwards, and a request may
be late. So a writer announces what its version will name, then looks for deletions, then for the objects, and commits;
a collector announces what it deletes, then looks for commits, and then deletes. Each announces before it looks, so of
two that meet at least one sees the other.

Source: Michael, "Hazard pointers: safe memory reclamation for lock-free objects", IEEE TPDS 15 (6), 2004; the hazards
are the announced commits.
"""

import json
import logging
import uuid
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from clean_corpus.pipeline.core import clock
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.storage.base import Store

COMMITS, DELETIONS = "fence/commits", "fence/deletions"
LOOK_S = 1.0  # between two looks at the lease while objects are deleted
LOG = logging.getLogger("clean_corpus")


# ---- commits


def announce_commit(store: Store, base: int, keys: Collection[str]) -> str:
    """Announce a version that is to follow version `base` and names these objects; return the announcement's key."""
    return _announce(store, COMMITS, {"base": base, "keys": sorted(keys)})


def withdraw(store: Store, announcement: str) -> None:
    """Take an announcement back once its commit has been made, or can no longer be; a failure is logged."""
    try:
        store.delete(announcement)
    except CleanCorpusError as error:
        LOG.warning("%s", error)


def announced_commits(store: Store, newest: int) -> set[str]:
    """Return the objects that announced commits may still name.

    A commit on a base older than the newest version can no longer succeed, and its announcement is deleted.
    """
    keys: set[str] = set()
    for key, announced in _announced(store, COMMITS):
        if announced["base"] < newest:
            store.delete(key)
        else:
            keys.update(announced["keys"])
    return keys


# ---- deletions


def announce_deletion(store: Store, keys: Collection[str]) -> str:
    """Announce that objects are going to be deleted; return the announcement's key."""
    return _announce(store, DELETIONS, {"keys": sorted(keys)})


def end_deletion(store: Store, announcement: str, doubtful: Collection[str]) -> None:
    """Take an announcement back but for the objects whose deletion may still take effect."""
    if doubtful:
        LOG.warning("%s: %d deletions got no answer, and may still happen", store.root, len(doubtful))
        store.write(announcement, canonical_json({"keys": sorted(doubtful)}))
    else:
        withdraw(store, announcement)


def announced_deletions(store: Store) -> set[str]:
    """Return the objects that are being deleted, or may be by a request that is late.

    An announcement that is older than any request can be late is deleted.
    """
    keys: set[str] = set()
    for key, announced in _announced(store, DELETIONS):
        age_s = store.age_s(key)
        if age_s is None:
            continue
        if age_s > store.lateness_s:
            store.delete(key)
        else:
            keys.update(announced["keys"])
    return keys


def while_held(store: Store, keys: Iterable[str], start_s: float) -> Iterator[str]:
    """Yield keys to delete, with a look at the lease before the first and then every second.

    End early where it has got late since `start_s`: a request must not outlive the announcement that was made then.

    Raises: StorageError if another run has taken over.
    """
    looked_s = -LOOK_S
    for key in keys:
        while clock.now_s() - looked_s >= LOOK_S:
            looked_s = clock.now_s()
            store.fence()
        if clock.now_s() - start_s > store.lateness_s / 2:
            return
        yield key


def _announce(store: Store, folder: str, content: dict[str, Any]) -> str:
    key = f"{folder}/{uuid.uuid4().hex}.json"
    store.write(key, canonical_json(content))
    return key


def _announced(store: Store, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for key in list(store.keys(folder)):
        try:
            yield key, json.loads(store.read(key))
        except FileNotFoundError:  # taken back in between
            continue
