"""A look into objects of any kind for clips of forgotten recordings."""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from clean_corpus.pipeline.corpus.forgotten import PREFIX, Forgotten
from clean_corpus.pipeline.storage.base import Store

TEXT = (".json", ".jsonl", ".html", ".csv", ".tsv", ".txt", ".md", ".yaml", ".yml", ".list", ".svg", ".css", ".js")
SAMPLED = 2**22  # bytes of a text that are looked at together
_COLUMNS = ("clip_id", "source", "source_sha256", "speaker")


def holds(store: Store, key: str, forgotten: Forgotten) -> str | None:
    """Return which forgotten recording an object holds, in words; "" if none, None if it cannot be looked into.

    Names of objects and texts are searched for names of clips; of tars the members, of Parquet files the columns.
    """
    if request := forgotten.named_in(key):
        return f"is named by a clip that is {request.words}"
    suffix = "." + key.rpartition("/")[2].rpartition(".")[2].lower()
    if suffix not in (*TEXT, ".tar", ".parquet"):
        return None
    try:
        with store.opened(key) as file:
            if suffix == ".tar":
                return next((words for _, words in members(file, forgotten) if words), "")
            if suffix == ".parquet":
                return _in_table(file, forgotten)
            return _in_text(file, forgotten)
    except FileNotFoundError:
        return ""
    except (tarfile.TarError, pa.ArrowInvalid):
        return None


def members(file: BinaryIO, forgotten: Forgotten) -> Iterator[tuple[str, str]]:
    """Yield the clips of a tar, by name, with words on those of forgotten recordings; a clip may come twice."""
    file.seek(0)
    with tarfile.open(fileobj=file) as tar:
        for member in tar:
            clip_id, _, extension = member.name.partition(".")
            request = forgotten.named_in(member.name)
            if not request and extension == "json" and (content := tar.extractfile(member)):
                request = _in_facts(json.load(io.BytesIO(content.read())), forgotten)
            yield clip_id, f"holds {clip_id}, {request.words}" if request else ""


def _in_facts(facts: Any, forgotten: Forgotten) -> Any:
    if not isinstance(facts, dict):
        return None
    return forgotten.request_of(facts.get("source"), facts.get("source_sha256"), facts.get("speaker"))


def _in_table(file: BinaryIO, forgotten: Forgotten) -> str:
    parquet = pq.ParquetFile(file)
    columns = [name for name in _COLUMNS if name in parquet.schema_arrow.names]
    for batch in parquet.iter_batches(columns=columns) if columns else ():
        for row in batch.to_pylist():
            if (row.get("source") or "").startswith(PREFIX):
                continue
            request = forgotten.request_of(*(row.get(name) for name in (*_COLUMNS[1:], "clip_id")))
            if request:
                return f"has a row of {row.get('clip_id') or row.get('source')}, {request.words}"
    return ""


def _in_text(file: BinaryIO, forgotten: Forgotten) -> str:
    rest = ""
    while data := file.read(SAMPLED):
        text = rest + data.decode(errors="replace")
        if request := forgotten.named_in(text):
            return f"names a clip that is {request.words}"
        rest = text[-80:]  # a name that the next piece goes on with
    return ""
