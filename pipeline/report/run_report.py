"""The report of a finished run, written into its store from its ledger and its shards."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.corpus import embeddings
from clean_corpus.pipeline.report import made_of, page
from clean_corpus.pipeline.report.heard_clips import HeardClips
from clean_corpus.pipeline.report.own_names import is_of_report
from clean_corpus.pipeline.storage.base import Store


def write_run_report(
    store: Store, run: dict[str, Any], clip_shards: Mapping[str, tuple[Shard, Shard | None]], config: PipelineConfig
) -> None:
    """Write the HTML folder report/ of a run.

    `clip_shards` holds the raw and the enhanced shard of each clip that the report plays. Where voices are embedded,
    `run` has the key of the version's embeddings, and in `made_of` that by which `made_of.is_of` knows the report.
    Raises: DataError if a shard's bytes are not those that were written; StorageError if the output is full.
    """

    heard = HeardClips(store, ((shard, clip_id) for clip_id, pair in clip_shards.items() for shard in pair if shard))

    def audio_of(clip_id: str, version: Literal["raw", "enhanced"]) -> tuple[Audio, int] | None:
        raw, enhanced = clip_shards.get(clip_id, (None, None))
        shard = raw if version == "raw" else enhanced
        found = heard.audio(shard, clip_id) if shard else None
        return found and (found[0], config.audio.sample_rate)

    with ScratchFolder() as temporary, store.folder("report", is_of_report) as folder:
        ledger = Path(temporary, "ledger.parquet")
        with store.opened("ledger.parquet") as file, ledger.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        key = run.get("embeddings")
        page.write_report(ledger, run, folder, audio_of, embeddings.read(store, key) if key else None)
        if "made_of" in run:
            (folder / made_of.NAME).write_bytes(canonical_json(run["made_of"]))
        else:
            (folder / made_of.NAME).unlink(missing_ok=True)  # of the version before
