"""Forgetting: clips taken out of every version and of all else in an output, so that no later run brings them back.

A request is stored before anything is changed, so whatever dies afterwards, the next `forget`, run or `gc` completes
it. Everything that it takes is known by the request's digests alone.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from clean_corpus.pipeline.corpus import derived, forgotten, versions
from clean_corpus.pipeline.corpus.forget_look import holds
from clean_corpus.pipeline.corpus.forget_sweep import PROTOCOL, Swept, sweep
from clean_corpus.pipeline.corpus.forget_version import Without
from clean_corpus.pipeline.corpus.forgotten import CLEARED, SETTLED, Forgotten
from clean_corpus.pipeline.corpus.rewriting import rewrite_all
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.storage.base import Store

LOG = logging.getLogger("clean_corpus")


@dataclass(frozen=True)
class Completed:
    """What was done: the requests, the versions that were made in place of those before, and all else."""

    requests: list[str]
    before: list[int]
    made: list[Manifest]
    swept: Swept


def complete(store: Store) -> Completed | None:
    """Carry out all requests that are open; None if there are none.

    Requests that were carried out a day ago are looked after once more: a run that was halted before may have written
    since what it had read.
    Raises: StorageError if another run has taken over, or something cannot be deleted yet: call it again.
    """
    pending, late = forgotten.open_requests(store)
    if not (pending or late):
        return None
    known, before = forgotten.load(store), versions.numbers(store)
    made = rewrite_all(store, Without(store, known), always=bool(pending))
    swept = sweep(store, known)
    LOG.info("%s: requests %s are carried out, versions are %s", store.root, pending or late, versions.numbers(store))
    forgotten.mark(store, CLEARED, pending)
    forgotten.mark(store, SETTLED, late)
    return Completed([*pending, *late], before, made, swept)


def prepare(store: Store) -> Forgotten:
    """Complete what is open before a run, and return what the run must not take in.

    Raises: as `complete`.
    """
    complete(store)
    return forgotten.load(store)


def check(store: Store) -> Iterator[tuple[str, str | None]]:
    """Yield (key, what it holds of a forgotten recording) for every object of an output; nothing without requests.

    The words are empty for an object that holds none, and None for one that cannot be looked into.
    """
    known = forgotten.load(store)
    if not known:
        return
    for request, is_carried_out in forgotten.requests_of(store):
        key = f"{forgotten.REQUESTS}/{request.id}.json"
        yield key, "" if is_carried_out else "is not carried out; run `clean-corpus forget` on this output again"
    said = (
        *derived.folders(store.walk("")),
        "versions/",
    )  # whose pages and lists name the clips of all that lies there
    for key in store.walk(""):
        if not key.startswith(PROTOCOL):
            found = holds(store, key, known)
            yield key, "" if found is None and key.startswith(said) else found
