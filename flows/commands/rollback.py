"""`clean-corpus rollback`: an old version of a corpus committed again, and ledger, report and run.json made its own."""

from clean_corpus.flows.commands.forget import complete
from clean_corpus.pipeline.corpus import republish, versions
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.report.version_report import write_version_report
from clean_corpus.pipeline.storage.base import Store


def rollback(store: Store, version: int) -> Manifest:
    """Commit an old version as the newest; where there is a run.json, write it and the report anew to say what is back.

    Where a process died after the commit, the same command writes what is left, and commits nothing. The report plays
    what was published, until the next run.
    Raises: as `versions.rollback`; ConfigError if another run uses the output; DataError if a tar of the version has
    other bytes than were written; StorageError if the output cannot be written.
    """
    store.prepare()
    with store.only_run():
        complete(store)
        is_told, newest = republish.told(store), versions.latest(store)
        if newest and newest.again == version and is_told not in (None, newest.version):
            versions.put_ledger(store, newest)
            manifest = newest
        else:
            manifest = versions.rollback(store, version)
        if is_told is not None:
            write_version_report(store, manifest)
            republish.write_facts(store, manifest)
    return manifest
