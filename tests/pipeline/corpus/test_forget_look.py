"""Objects of others in an output: values of any type and damaged files neither hide the forgotten nor stop anything."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clean_corpus.pipeline.corpus.forget_look import holds
from clean_corpus.pipeline.corpus.forgotten import Forgotten, Request
from clean_corpus.pipeline.storage.local import LocalStore

SALT = b"salt"
DIGITS = "0123456789abcdef"


@pytest.fixture
def known():
    """A request for speaker 7 and for the recording of some clips."""
    digest = Forgotten(SALT, ()).digest
    speakers, keys = [digest("speaker", "7")], [digest("key", DIGITS)]
    counts = {"clips": 1, "recordings": 1, "seconds": 1.0}
    return Forgotten(SALT, [Request(id="r", made="2026-01-01", asked="x", speakers=speakers, keys=keys, **counts)])


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def link(name: str, target: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = tarfile.SYMTYPE, target
        archive.addfile(info)
    return file.getvalue()


def parquet(**columns) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def damaged(data: bytes) -> bytes:
    return data[:4] + b"\xff" * 40 + data[44:]


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("a.tar", tar({"x.json": json.dumps({"speaker": 3}).encode()}), ""),
        ("a.tar", tar({"x.json": json.dumps({"speaker": 7}).encode()}), "holds x"),
        ("a.tar", tar({"x.json": json.dumps({"speaker": ["7"], "source": 1.5}).encode()}), ""),
        ("a.tar", tar({"x.json": b"\xff no JSON"}), None),
        ("a.tar", tar({"x.json": b"\xff no JSON", f"y-{DIGITS}.flac": b""}), f"holds y-{DIGITS}"),
        ("a.tar", link("x.json", "elsewhere.json"), ""),
        ("a.tar", b"no tar at all", None),
        ("a.parquet", parquet(speaker=[3], clip_id=["x"]), ""),
        ("a.parquet", parquet(speaker=[3, 7], clip_id=["x", "y"]), "has a row of y"),
        ("a.parquet", parquet(source=[1.5], clip_id=[b"\xff"], speaker=[["7"]]), ""),
        ("a.parquet", damaged(parquet(source=["x" * 100])), None),
        ("a.parquet", b"no table at all", None),
    ],
)
def test_what_others_wrote_is_looked_into_or_named(store, known, name, data, found):
    store.write(name, data)
    told = holds(store, name, known)
    assert told == found if not found else told.startswith(f"{found}, {known.requests[0].words}")


def test_what_may_not_be_read_is_named(store, known, monkeypatch):
    store.write("a.csv", b"x")

    def refused(key):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store, "opened", refused)
    assert holds(store, "a.csv", known) is None
