"""A folder that `datasets.load_dataset` reads: audio and metadata.parquet a split, and the page of a dataset."""

from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from clean_corpus.pipeline.export.utterances import Lists, Side

SPLITS: dict[Side, str] = {"train": "train", "dev": "validation", "test": "test"}
"""Names of the splits as the library knows them."""

_ROWS = 10_000  # in memory
# A column of nulls alone keeps its type, which the library wants to be the same in all splits.
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("file_name", "id", "text", "speaker", "language", "licence", "consent")]
    + [("duration", pa.float64())]
)


def huggingface(lists: Lists) -> None:
    """Write metadata.parquet beside the audio of each split.

    Source: huggingface.co/docs/datasets/audio_dataset, AudioFolder (column file_name, relative to the metadata).
    """
    for side in lists.sides:
        rows = (
            {
                "file_name": str(u.path).rpartition("/")[2],
                "id": u.clip_id,
                "text": u.text,
                "speaker": u.speaker,
                "language": u.language,
                "licence": u.licence,
                "consent": u.consent,
                "duration": u.duration_s,
            }
            for u in lists.utterances(side)
        )
        first = list(islice(rows, _ROWS))
        if not first:
            continue  # a split without audio is none to the library
        with lists.binary_file(f"{SPLITS[side]}/metadata.parquet") as file, pq.ParquetWriter(file, _SCHEMA) as writer:
            batch = first
            while batch:
                writer.write_table(pa.Table.from_pylist(batch, _SCHEMA))
                batch = list(islice(rows, _ROWS))
