"""The report of a version, written anew from the version alone: audio is what lies in its tars."""

import shutil
from pathlib import Path
from typing import Literal

from clean_corpus.pipeline.core.child_processes import ScratchFolder
from clean_corpus.pipeline.core.types import Audio, Verdict
from clean_corpus.pipeline.corpus import embeddings, ledger
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.report import made_of, page, speaker_figures
from clean_corpus.pipeline.report.heard_clips import HeardClips
from clean_corpus.pipeline.report.listening_picks import picked
from clean_corpus.pipeline.report.own_names import is_of_report
from clean_corpus.pipeline.storage.base import Store


def write_version_report(store: Store, manifest: Manifest) -> None:
    """Write the HTML folder report/ of a version; of each clip it plays the audio that was published, or rejected.

    Raises: DataError if a tar's bytes are not those that were written; StorageError if the output is full.
    """
    tars = {shard.key: shard for shard in (*manifest.shards, *manifest.rejected)}
    with ScratchFolder() as temporary, store.folder("report", is_of_report) as folder:
        table = Path(temporary, "ledger.parquet")
        with store.opened(manifest.ledger.key) as file, table.open("wb") as copy:
            shutil.copyfileobj(file, copy)
        heard = picked(table) + (speaker_figures.picked(table) if manifest.embeddings else [])
        names = ["'" + clip_id.replace("'", "''") + "'" for clip_id in heard] or ["NULL"]
        question = f"SELECT clip_id, verdict, chosen, shard FROM ledger WHERE clip_id IN ({', '.join(names)})"
        lying = {str(row["clip_id"]): _lying(row) for row in ledger.query(table, question)}

        clips = HeardClips(store, ((tars[key], name) for name, (key, _) in lying.items() if key in tars))

        def audio_of(clip_id: str, version: Literal["raw", "enhanced"]) -> tuple[Audio, int] | None:
            key, there = lying.get(clip_id, ("", ""))
            return clips.audio(tars[key], clip_id) if there == version and key in tars else None

        voices = embeddings.read(store, manifest.embeddings.key) if manifest.embeddings else None
        page.write_report(table, manifest.run | {"version": manifest.version}, folder, audio_of, voices)
        (folder / made_of.NAME).unlink(missing_ok=True)  # the next run makes one that plays more


def _lying(row: dict[str, object]) -> tuple[str, str]:
    """Return the tar of a clip, and which version of it lies there."""
    kept = row["verdict"] == Verdict.KEPT.value
    return str(row["shard"]), str(row["chosen"] or "raw") if kept else "raw"
