"""The flow `clean-corpus`: a folder of recordings in; shards, a ledger in which every clip ends, and a report out."""

from typing import Any

from prefect import flow
from prefect.runtime import flow_run

from clean_corpus.flows import checks
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.corpus_run import CorpusRun
from clean_corpus.flows.engines import open_engine
from clean_corpus.flows.observe import hooks
from clean_corpus.flows.observe.observer import Observer
from clean_corpus.flows.task_runs import TaskRuns
from clean_corpus.pipeline.core.scratch_database import scratch_database


@flow(
    name="clean-corpus",
    on_completion=[hooks.notify],
    on_failure=[hooks.notify],
    on_crashed=[hooks.notify],
)
def clean_corpus(config: RunConfig) -> dict[str, Any]:
    """Clean every recording below config.input into config.output; return what run.json says.

    Raises: ConfigError before any work if a setting cannot work or another run uses the output; StorageError if the
    output cannot be written.
    """
    networks = checks.check(config)
    store = checks.prepared_store(config)
    run = flow_run.get_id() or "local"
    with (
        store.only_run(),
        Observer(config.observe, run=run, output=config.output) as observer,
        open_engine(config.engine) as engine,
        scratch_database() as database,
    ):
        observer.set_workers(engine.workers)
        work = TaskRuns(engine, observer)
        return CorpusRun(config, networks, store, engine, observer, database, work).all_stages()
