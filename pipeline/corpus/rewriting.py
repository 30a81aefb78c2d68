"""Rewriting of all versions of a corpus at once: each is committed anew under a higher number, then the old ones go.

It breaks the rule that a reader of an old version is not broken before `keep_versions`, on purpose: clips that are
forgotten must not stay readable. All other rules of docs/ARCHITECTURE.md hold, and a reader of the newest version
never gets an older one, or a part of one, in its place.
"""

from collections.abc import Callable

from clean_corpus.pipeline.corpus import collection, versions
from clean_corpus.pipeline.corpus.own_files import is_named_by_content
from clean_corpus.pipeline.corpus.versions import FOLDERS, Manifest
from clean_corpus.pipeline.storage.base import StorageError, Store


def rewrite_all(store: Store, rewritten: Callable[[Manifest], Manifest], *, always: bool = True) -> list[Manifest]:
    """Commit what `rewritten` makes of each version under the next numbers, the oldest first; delete those before.

    With `always` one version is committed even where none changes: a run that was halted before its commit finds its
    number taken, and cannot bring back what it knew then. The rewritten versions count once the last of them is
    there; after a death in between, all versions that are there are rewritten again.
    Raises: StorageError if another run has taken over or published meanwhile, or something cannot be deleted yet: call
    it again.
    """
    known, newest = versions.numbers(store), versions.latest(store)
    if newest is None:
        return []
    chosen = [versions.read(store, number) for number in known if number <= newest.version]
    drafts = [rewritten(manifest) for manifest in chosen]
    is_changed = any(draft.objects != manifest.objects for draft, manifest in zip(drafts, chosen, strict=True))
    if not is_changed:
        chosen, drafts = ([newest], [newest]) if always else ([], [])
    made: list[Manifest] = []
    for manifest, draft in zip(chosen, drafts, strict=True):
        update = {"again": None, "rewrites": manifest.version, "follow": len(drafts) - len(made) - 1}
        made.append(versions.publish(store, draft.model_copy(update=update)))
        if made[-1].version != known[-1] + len(made):
            raise StorageError(f"output {store.root}: another run published version {known[-1] + 1} meanwhile")
    keep = len(made) if is_changed else len(versions.numbers(store))
    for _ in collection.gc(store, keep):
        pass
    _refuse_left_over(store)
    return made


def _refuse_left_over(store: Store) -> None:
    """Refuse objects that no version names: deletions without an answer, or that had got too late to be made.

    Raises: StorageError.
    """
    named = {named.key for number in versions.numbers(store) for named in versions.read(store, number).objects}
    left = [key for folder in FOLDERS for key in store.keys(folder) if is_named_by_content(key) and key not in named]
    if left:
        raise StorageError(f"output {store.root}: {len(left)} objects are not deleted yet, the first is {left[0]}")
