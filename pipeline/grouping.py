"""Recordings to the groups that are read together. Who was grouped stays so: new ones come into groups of their own."""

import hashlib
import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.clip import Recording
from pipeline.storage import Store

GROUP_BYTES = 64 * 2**20
KEY = "work/groups.parquet"


def cut(recordings: Sequence[Recording], max_clips: int) -> list[list[Recording]]:
    """Recordings in order, cut where a hash of the name says so, and at max_clips or 64 MiB at the latest.

    Cuts depend on names and not on counts, so one new file changes one group and leaves the others as they are.
    """
    result: list[list[Recording]] = [[]]
    size = 0
    for recording in recordings:
        result[-1].append(recording)
        size += recording.size
        draw = int(hashlib.sha256(recording.key.encode()).hexdigest()[:8], 16)
        if len(result[-1]) >= max_clips or size >= GROUP_BYTES or draw % max(1, max_clips // 2) == 0:
            result.append([])
            size = 0
    return [group for group in result if group]


def regrouped(recordings: Sequence[Recording], earlier: dict[str, int], max_clips: int) -> list[list[Recording]]:
    """Groups of an earlier run (source -> group) with who is left of them, then those of recordings that are new."""
    known: dict[int, list[Recording]] = {}
    new = []
    for recording in recordings:
        if recording.source in earlier:
            known.setdefault(earlier[recording.source], []).append(recording)
        else:
            new.append(recording)
    return [known[number] for number in sorted(known)] + cut(new, max_clips)


def grouped(store: Store, recordings: Sequence[Recording], max_clips: int) -> list[list[Recording]]:
    """The groups of this run, kept in the store for the next before anything is read.

    Raises: StorageError if they cannot be kept.
    """
    earlier = _earlier(store, max_clips)
    result = regrouped(recordings, earlier, max_clips)
    now = {recording.source: number for number, group in enumerate(result) for recording in group}
    if now != earlier:
        table = pa.table({"source": list(now), "group": pa.array(now.values(), pa.int32())})
        buffer = io.BytesIO()
        pq.write_table(table.replace_schema_metadata({"max_clips": str(max_clips)}), buffer, compression="zstd")
        store.write(KEY, buffer.getvalue())
    return result


def _earlier(store: Store, max_clips: int) -> dict[str, int]:
    """Groups of the last run, none if it cut by another size."""
    try:
        table = pq.read_table(io.BytesIO(store.read(KEY)))
    except FileNotFoundError:
        return {}
    if (table.schema.metadata or {}).get(b"max_clips") != str(max_clips).encode():
        return {}
    return dict(zip(table["source"].to_pylist(), table["group"].to_pylist(), strict=True))
