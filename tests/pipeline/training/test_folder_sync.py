"""The order of uploads lets a training resume wherever it breaks off; what moved still knows its best checkpoint."""

import json
import os
import time
from contextlib import nullcontext

import boto3
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.files import write_json
from clean_corpus.pipeline.core.locations import parse_location
from clean_corpus.pipeline.storage import staging
from clean_corpus.pipeline.storage.base import StorageError
from clean_corpus.pipeline.storage.s3 import S3Store
from clean_corpus.pipeline.training.folder_sync import FolderSync, relocate

BUCKET = "synced"


@pytest.fixture
def store(client, request):
    """A place of the test's own."""
    return S3Store(parse_location(f"s3://{BUCKET}/{request.node.name}"), S3Config())


def named(store):
    """What lies in the bucket, but for the lease."""
    page = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{store.root.prefix}/")
    names = (entry["Key"].removeprefix(f"{store.root.prefix}/") for entry in page.get("Contents", ()))
    return {name for name in names if not name.startswith(("work/lease/", "fence/"))}


@pytest.fixture
def sent(monkeypatch):
    """Names of what is sent, in order; `limit` of them go through."""
    done, send = [], staging.upload

    def counted(file, root, name):
        if len(done) == counted.limit:
            raise StorageError("the network is gone")
        send(file, root, name)
        done.append(name)

    counted.limit, counted.done = 1000, done
    monkeypatch.setattr(staging, "upload", counted)
    return counted


@pytest.fixture
def copy(store, tmp_path):
    """A folder and its copy in the bucket."""
    (tmp_path / "here" / "checkpoints").mkdir(parents=True)
    return FolderSync(store, tmp_path / "here")


def validation(folder, number, better=True):
    """What a validation leaves, as Lightning writes it: by renaming, the best one first."""
    for name in (["best.ckpt"] if better else []) + ["last.ckpt"]:
        (folder / "new").write_text(f"{number}")
        time.sleep(0.01)  # the clock of files has ticks
        os.replace(folder / "new", folder / "checkpoints" / name)


@pytest.mark.parametrize("cut", range(7))
def test_wherever_sending_is_cut_a_training_can_go_on(copy, store, sent, cut):
    """Two validations, then the end; the network goes away after `cut` objects of what the last two leave."""
    write_json(copy.folder / "run.json", {"steps": 3})
    validation(copy.folder, 1)
    (copy.folder / "events.out.tfevents.1").write_text("1")
    copy.upload()
    copy.upload()
    assert sent.done == ["checkpoints/best.ckpt", "events.out.tfevents.1", "checkpoints/last.ckpt"]
    sent.limit = len(sent.done) + cut
    with pytest.raises(StorageError) if cut < 2 else nullcontext():
        validation(copy.folder, 2)
        copy.upload()
    if cut >= 2:
        (copy.folder / "best.safetensors").write_text("2")
        write_json(copy.folder / "facts.json", {"best": 2})
        validation(copy.folder, 3, better=False)
        with pytest.raises(StorageError) if cut < 5 else nullcontext():
            copy.upload(everything=True)
    best, last = (int(store.read(f"checkpoints/{name}.ckpt")) for name in ("best", "last"))
    there = named(store)
    assert "run.json" in there and last <= {1: 1, 2: 3}[best]
    assert "facts.json" not in there or (best, last, "best.safetensors" in there) == (2, 3, True)


def test_what_is_being_written_waits_and_what_comes_after_it_too(copy, store, sent):
    write_json(copy.folder / "run.json", {})
    copy.upload()
    assert not named(store)
    copy.upload()
    assert named(store) == {"run.json"}
    (copy.folder / "events.out.tfevents.1").write_text("1")
    copy.upload()
    copy.upload()
    assert not sent.done, "a log alone is not worth a request"
    (copy.folder / "best.safetensors").write_text("half")
    validation(copy.folder, 1)
    (copy.folder / "checkpoints" / "best.ckpt").write_text("of a validation whose last.ckpt is still to come")
    write_json(copy.folder / "best.json", {})
    copy.upload()
    assert sent.done == ["events.out.tfevents.1"]
    (copy.folder / "best.safetensors").write_text("whole")
    copy.upload()
    assert "best.json" not in named(store) and "best.safetensors" not in named(store)
    copy.upload()
    assert {"best.safetensors", "best.json"} <= named(store)
    assert not {name for name in named(store) if name.endswith(".ckpt")}
    validation(copy.folder, 2)
    copy.upload()
    assert store.read("checkpoints/best.ckpt") == store.read("checkpoints/last.ckpt") == b"2"


def test_nothing_is_sent_twice_and_what_is_gone_goes(copy, store, sent, tmp_path):
    write_json(copy.folder / "run.json", {"shards": [str(copy.folder / "sets" / "0.tar"), "s3://b/0.tar"]})
    for name in ("a", "b", ".lock"):
        (copy.folder / name).write_text(name)
    copy.upload(everything=True)
    (copy.folder / "a").write_text("a")
    copy.upload(everything=True)
    assert sent.done == ["a", "b"]
    assert json.loads(store.read("run.json"))["shards"] == ["{out}/sets/0.tar", "s3://b/0.tar"]
    again = FolderSync(store, tmp_path / "elsewhere")
    again.download()
    claimed = json.loads((again.folder / "run.json").read_text())
    assert claimed["shards"] == [str(again.folder / "sets" / "0.tar"), "s3://b/0.tar"]
    (again.folder / "b").unlink()
    again.upload(everything=True)
    assert sent.done == ["a", "b"] and named(store) == {"run.json", "a"}


def test_a_place_that_another_has_taken_over_is_left_alone(copy, store, monkeypatch):
    with store.only_run():
        mine = FolderSync(store, copy.folder)
        (copy.folder / "a").write_text("a")
        mine.upload(everything=True)
        store.write("work/lease/00000009.json", b"{}")
        (copy.folder / "a").write_text("b")
        with pytest.raises(StorageError, match="another has taken the place over"):
            mine.upload(everything=True)
    assert store.read("a") == b"a"


def test_a_checkpoint_that_moved_knows_its_best(tmp_path):
    """Lightning forgets the best score if the folder has another name; the next validation would be the best one."""
    old, new = (ModelCheckpoint(tmp_path / name, "best", "val/loss") for name in ("old", "new"))
    old.best_model_score, old.best_model_path = torch.tensor(0.5), f"{old.dirpath}/best.ckpt"
    old.best_k_models = {old.best_model_path: old.best_model_score}
    (tmp_path / "new").mkdir()
    torch.save({"callbacks": {"x": old.state_dict(), "y": {"rises": 1}}}, tmp_path / "new" / "last.ckpt")
    relocate(tmp_path / "new" / "last.ckpt")
    state = torch.load(tmp_path / "new" / "last.ckpt", weights_only=True)["callbacks"]
    new.load_state_dict(state["x"])
    assert new.best_model_score == 0.5 and state["y"] == {"rises": 1}
    assert list(new.best_k_models) == [new.best_model_path] == [f"{tmp_path}/new/best.ckpt"]
