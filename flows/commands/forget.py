"""`clean-corpus forget`: clips taken out of a corpus for good, and the report written anew without them."""

from collections.abc import Callable
from dataclasses import dataclass

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.corpus import forget as forgetting
from clean_corpus.pipeline.corpus import forgotten, versions
from clean_corpus.pipeline.corpus.forget import Completed
from clean_corpus.pipeline.corpus.forget_selection import Asked, Selection, select
from clean_corpus.pipeline.corpus.forgotten import Request
from clean_corpus.pipeline.corpus.known_clips import Spool, known_clips
from clean_corpus.pipeline.report.version_report import write_version_report
from clean_corpus.pipeline.storage.base import Store


@dataclass(frozen=True)
class Ended:
    """What a command came to: the request and what was done for it, or the earlier request that left nothing to do."""

    request: Request
    done: Completed | None


def plan(store: Store, asked: Asked, *, allow_unmatched: bool = False) -> Selection:
    """Return what a request would cover; nothing is changed.

    Raises: ConfigError if there is no version, or something that is asked for matches nothing.
    """
    return _select(store, asked, forgotten.salt_of(store, make=False), None, allow_unmatched)


def forget(
    store: Store,
    asked: Asked,
    *,
    reference: str | None,
    allow_unmatched: bool,
    confirm: Callable[[Selection], None],
) -> Ended:
    """Store a request and carry it out; `confirm` raises to change nothing.

    Raises: ConfigError as `plan`, or if another run uses the output; StorageError if something cannot be deleted yet.
    """
    store.prepare()
    with store.only_run():
        complete(store)
        salt = forgotten.salt_of(store, make=True)
        same = [one for one in forgotten.load(store).requests if one.asked == asked.digest(salt)]
        try:
            selection = _select(store, asked, salt, reference, allow_unmatched)
        except ConfigError:
            if not same or not versions.numbers(store):
                raise
            return Ended(same[-1], None)
        if same and not selection.request.recordings:
            return Ended(same[-1], None)
        confirm(selection)
        forgotten.add(store, selection.request)
        return Ended(selection.request, complete(store))


def complete(store: Store) -> Completed | None:
    """Carry out requests that are open, and write a report anew where it was dropped for them; None if there are none.

    Raises: StorageError as `forget`.
    """
    done = forgetting.complete(store)
    newest = versions.latest(store)
    was_reported = store.size("run.json") is not None and store.size("report/index.html") is None
    if done and newest and was_reported:
        write_version_report(store, newest)
    return done


def complete_alone(store: Store) -> Completed | None:
    """Carry out requests that are open, as the only run on this output."""
    store.prepare()
    with store.only_run():
        return complete(store)


def _select(store: Store, asked: Asked, salt: bytes, reference: str | None, allow_unmatched: bool) -> Selection:
    if not versions.numbers(store):
        raise ConfigError(
            f"OUTPUT {store.root}: there is no version, so nothing was published; delete the whole of it instead"
        )
    return select(Spool(known_clips(store)), asked, salt, reference=reference, allow_unmatched=allow_unmatched)
