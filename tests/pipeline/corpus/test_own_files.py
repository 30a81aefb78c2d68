"""Files of others in an output: a first run refuses to start among them, and no later one takes them."""

import json

import pytest

from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import collection, rewriting, versions
from clean_corpus.pipeline.corpus.own_files import OWN_FOLDERS, own_folder, refuse_foreign
from clean_corpus.pipeline.storage import open_store
from tests.support.versions import draft, row, tar_key

BUCKET = "own-files"
NAME = "0123456789abcdef01234567"
KILLED = (
    "work/.lock", "work/lease/00000001", "fence/00000001", "work/groups.parquet", f"work/raw/{NAME}-000.tar",
    f"shards/{NAME}.tar", f"rejected/{NAME}.tar", f"ledgers/{NAME}.parquet", f"embeddings/{NAME}.parquet",
    f"variants/raw/{NAME}.tar",
)  # fmt: skip
FOREIGN = (
    "shards/train-000.tar", "rejected/take 1.wav", "rejected/deep/a.wav", "ledgers/2025.parquet", "embeddings/x.npy",
    "report/q3.pdf", "report/index.html", "variants/raw/mine.tar", "versions/v1/a.wav", "work/a.wav", "run.json",
    "ledger.parquet", f"shards/{NAME}.flac", f"shards/{NAME}.tar/a.wav",
)  # fmt: skip


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path):
    if request.param == "folder":
        return open_store(tmp_path, DEFAULT_S3)
    request.getfixturevalue("client")
    return open_store(S3Folder(BUCKET, tmp_path.name), DEFAULT_S3)


def everything(store) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.walk("") if not key.startswith("fence/")}


@pytest.mark.parametrize("key", FOREIGN)
def test_a_first_run_does_not_start_where_files_of_others_lie(store, key):
    store.write("notes.txt", b"beside")
    store.write("shards/.DS_Store", b"hidden")
    refuse_foreign(store)
    store.write(key, b"mine")
    before = everything(store)
    with pytest.raises(ConfigError, match=f"^output {store.root}: holds {key}, which no run wrote, .* move what is"):
        refuse_foreign(store)
    assert everything(store) == before


def test_a_run_goes_on_where_one_was_killed(store):
    for key in KILLED:
        store.write(key, b"")
        refuse_foreign(store)


def test_a_folder_that_a_console_made_is_no_file(client):
    for key in ("out/", "out/shards/", "out/work/", "out/report/"):
        client.put_object(Bucket=BUCKET, Key=f"console/{key}", Body=b"")
    refuse_foreign(open_store(S3Folder(BUCKET, "console/out"), DEFAULT_S3))


def test_an_output_of_a_release_without_versions_is_ours(store):
    store.write("report/index.html", b"<html>")
    store.write("ledger.parquet", b"PAR1")
    store.write("run.json", json.dumps({"enhancer": "crn", "config": {}, "counts": {}}).encode())
    refuse_foreign(store)


def test_what_others_put_beside_versions_stays(store):
    """Of our own what no version names goes: tars of a killed run, and what dropped versions named."""
    foreign = {"shards/train-000.tar": b"1", "rejected/mine.wav": b"2", "ledgers/all.parquet": b"3"}
    versions.publish(store, draft(store, row("a")))
    for key, data in foreign.items():
        store.write(key, data)
    store.write(f"rejected/{NAME}.tar", b"of a run that was killed")
    versions.publish(store, draft(store, row("b")))
    refuse_foreign(store)
    gone = set(collection.gc(store, 1))
    assert {tar_key("a"), f"rejected/{NAME}.tar"} <= gone and not gone & foreign.keys()
    rewriting.rewrite_all(store, lambda _: draft(store, row("c")))
    assert {key: store.read(key) for key in foreign} == foreign
    assert set(store.keys("shards")) == {tar_key("c"), "shards/train-000.tar"}


def test_a_location_in_a_folder_of_the_corpus_is_known(tmp_path):
    for output in (tmp_path / "out", S3Folder("b", "out"), S3Folder("b")):
        for folder in OWN_FOLDERS:
            assert own_folder(output / folder, output) == own_folder(output / folder / "x/y", output) == folder
        for other in (output, output.parent, output / "rec", output / "shards2"):
            assert own_folder(other, output) is None
    (tmp_path / "out").mkdir()
    (tmp_path / "out/rejected").symlink_to(tmp_path / "rec")
    assert own_folder(tmp_path / "rec", tmp_path / "out") == "rejected"
