"""Collection of versions that are too old, of the objects that no version names, and of what runs keep in work/.

docs/ARCHITECTURE.md has the rules that keep a deletion and a commit of the same objects apart.
"""

from collections.abc import Iterable, Iterator, Sequence

from clean_corpus.pipeline.core import clock
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.corpus import announcements
from clean_corpus.pipeline.corpus.own_files import is_named_by_content
from clean_corpus.pipeline.corpus.versions import FOLDERS, dropped_key, latest, manifest_key, numbers, read, stored
from clean_corpus.pipeline.storage.base import Store


def gc(store: Store, keep: int) -> Iterator[str]:
    """Delete all but the newest versions, and the objects that only they name; yield each key.

    Objects that no version names are deleted if a run named them: those of others, whose names say so, are left alone.
    Versions of a rewriting that is not over stay too, and are not counted.
    Raises: ConfigError if none would be left; StorageError if another run has taken over.
    """
    if keep < 1:
        raise ConfigError(f"keep {keep} versions: at least 1 has to stay")
    known, newest = numbers(store), latest(store)
    if not (known and newest):
        return
    keep += sum(number > newest.version for number in known)
    kept = _named(store, known[-keep:])
    store.fence()
    for version in known[:-keep]:
        store.write(dropped_key(version), b"")  # first, so that no version names a missing object
        yield manifest_key(version)
    unnamed = [key for folder in FOLDERS for key in store.keys(folder) if key not in kept and is_named_by_content(key)]
    if unnamed:
        yield from _delete_announced(store, unnamed, known)
    _delete_dropped_manifests(store)


def _named(store: Store, chosen: Iterable[int]) -> set[str]:
    return {named.key for version in chosen for named in read(store, version).objects}


def _delete_announced(store: Store, keys: Sequence[str], known: Sequence[int]) -> Iterator[str]:
    """Delete objects that none of the `known` versions names, but for what a version since names or is about to."""
    start_s, doubtful = clock.now_s(), set[str]()
    announcement = announcements.announce_deletion(store, keys)
    try:
        # In this order: a commit that was announced no longer has been made, or never will be.
        spared = announcements.announced_commits(store, known[-1])
        spared |= _named(store, set(numbers(store)).difference(known))
        for key in announcements.while_held(store, [key for key in keys if key not in spared], start_s):
            doubtful.add(key)
            if store.try_delete(key):
                doubtful.remove(key)
                yield key
    finally:
        announcements.end_deletion(store, announcement, doubtful)


def _delete_dropped_manifests(store: Store) -> None:
    """Delete the manifests of versions that were dropped so long ago that nobody can still commit under their number.

    A run that read a version before the next was made, and was halted since, would take its number a second time.
    """
    manifests, dropped = stored(store)
    for version in sorted(dropped):
        age_s = store.age_s(dropped_key(version))
        if age_s is None or age_s <= store.lateness_s:
            continue
        if version not in manifests or store.try_delete(manifest_key(version)):
            store.delete(dropped_key(version))


def empty_work(store: Store) -> Iterator[str]:
    """Delete what runs keep so as to redo nothing; yield each key.

    Raises: StorageError if another run has taken over.
    """
    cached = [key for key in store.walk("work") if not key.startswith(("work/lease/", "work/tmp/", "work/.lock"))]
    for key in announcements.while_held(store, cached, clock.now_s()):
        store.delete(key)
        yield key
