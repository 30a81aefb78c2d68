"""A look into objects of any kind for clips of forgotten recordings.

Whatever lies in an output may be others' work: values of any type, and damaged objects, which cannot be looked into.
"""

import json
import tarfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from clean_corpus.pipeline.corpus.forgotten import PREFIX, Forgotten, Request
from clean_corpus.pipeline.storage.base import Store

TEXT = (".json", ".jsonl", ".html", ".csv", ".tsv", ".txt", ".md", ".yaml", ".yml", ".list", ".svg", ".css", ".js")
SAMPLED = 2**22  # bytes of a text that are looked at together
_COLUMNS = ("source", "source_sha256", "speaker", "clip_id")


def holds(store: Store, key: str, forgotten: Forgotten) -> str | None:
    """Return which forgotten recording an object holds, in words; "" if none, None if it cannot be looked into.

    Names of objects and texts are searched for names of clips; of tars the members, of Parquet files the columns.
    Raises: StorageError if the output cannot be read.
    """
    if request := forgotten.named_in(key):
        return f"is named by a clip that is {request.words}"
    if key.endswith("/"):  # the empty object that stands for a folder
        return ""
    suffix = "." + key.rpartition("/")[2].rpartition(".")[2].lower()
    if suffix not in (*TEXT, ".tar", ".parquet"):
        return None
    try:
        with store.opened(key) as file:
            if suffix == ".tar":
                return _in_tar(file, forgotten)
            if suffix == ".parquet":
                return _in_table(file, forgotten)
            return _in_text(file, forgotten)
    except FileNotFoundError:
        return ""
    except (tarfile.TarError, pa.ArrowException, PermissionError):
        return None
    except OSError as error:
        if error.errno is None:  # a damaged Parquet file, by Arrow; the disk's errors have a number
            return None
        raise


def members(file: BinaryIO, forgotten: Forgotten) -> Iterator[tuple[str, str | None]]:
    """Yield the clips of a tar, by name, with words on those of forgotten recordings; a clip may come twice.

    The words are None for facts that are no JSON.
    """
    file.seek(0)
    with tarfile.open(fileobj=file) as tar:
        for member in tar:
            clip_id, _, extension = member.name.partition(".")
            request, is_read = forgotten.named_in(member.name), True
            if not request and extension == "json" and member.isfile() and (content := tar.extractfile(member)):
                try:
                    request = _in_facts(json.load(content), forgotten)
                except (ValueError, RecursionError):
                    is_read = False
            yield clip_id, f"holds {clip_id}, {request.words}" if request else "" if is_read else None


def _in_tar(file: BinaryIO, forgotten: Forgotten) -> str | None:
    found: str | None = ""
    for _, words in members(file, forgotten):
        if words:
            return words
        found = None if words is None else found
    return found


def _in_facts(facts: Any, forgotten: Forgotten) -> Request | None:
    if not isinstance(facts, dict):
        return None
    return _request_of({name: facts.get(name) for name in _COLUMNS if name != "clip_id"}, forgotten)


def _in_table(file: BinaryIO, forgotten: Forgotten) -> str:
    parquet = pq.ParquetFile(file)
    columns = [name for name in _COLUMNS if name in parquet.schema_arrow.names]
    for batch in parquet.iter_batches(columns=columns) if columns else ():
        for row in batch.to_pylist():
            if str(row.get("source")).startswith(PREFIX):
                continue
            if request := _request_of(row, forgotten):
                return f"has a row of {row.get('clip_id') or row.get('source')}, {request.words}"
    return ""


def _request_of(row: Mapping[str, Any], forgotten: Forgotten) -> Request | None:
    """Return the request that covers a row; a label that was a number for its writer is one, other values are none."""
    values = (row.get(name) for name in _COLUMNS)
    return forgotten.request_of(*(str(value) if isinstance(value, str | int) else None for value in values))


def _in_text(file: BinaryIO, forgotten: Forgotten) -> str:
    rest = ""
    while data := file.read(SAMPLED):
        text = rest + data.decode(errors="replace")
        if request := forgotten.named_in(text):
            return f"names a clip that is {request.words}"
        rest = text[-80:]  # a name that the next piece goes on with
    return ""
