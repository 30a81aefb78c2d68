"""Trainings whose --out lies in a bucket: killed, gone on with elsewhere, alone there; what else goes to buckets."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import boto3
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from clean_corpus.flows import compare_vocoders as comparison
from clean_corpus.flows import download_cache, training_folder
from clean_corpus.flows import train_vocoder as training
from clean_corpus.flows.commands import evaluate as evaluating
from clean_corpus.flows.commands import vocode as vocoding
from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.locations import parse_location
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.storage import lease, staging
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.storage.s3 import S3Store
from clean_corpus.vocoder.training import train
from clean_corpus.vocoder.training.config import VocoderConfig

RATE = 16000
BUCKET = "trainings"
CONSOLE = Console(quiet=True)
SETTINGS = {
    "steps": 8, "steps_per_epoch": 2, "batch_size": 2, "frames": 20, "validation_share": 0.2, "workers": 0,
    "validation_clips": 2, "heard_s": 0, "ema_decay": 0.5, "shuffle_clips": 4,
    "sizes": {"layers": 2, "stacks": 1, "residual_channels": 8, "gate_channels": 16, "skip_channels": 8,
              "conditioning_channels": 8},
}  # fmt: skip


@pytest.fixture
def out(client, request):
    """A place of the test's own."""
    return parse_location(f"s3://{BUCKET}/{request.node.name}")


@pytest.fixture
def store(out):
    return S3Store(out, S3Config())


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Twelve tones in two versions of a corpus."""
    store, time_s = LocalStore(tmp_path_factory.mktemp("shards")), np.arange(RATE) / RATE
    for name, level in (("raw", 0.2), ("gated", 0.3)):
        tones = [(level * np.sin(2 * np.pi * (150 + 15 * i) * time_s)).astype(np.float32) for i in range(12)]
        samples = [{"__key__": f"u{i:02}", "flac": encode.encode_flac(x, RATE, bits=16), "json": b"{}"}
                   for i, x in enumerate(tones)]  # fmt: skip
        write_shard(store, f"{name}/0.tar", samples)
    return store.root


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where temporary folders go."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


@pytest.fixture
def flow(monkeypatch):
    """The flow as a function: no server."""
    monkeypatch.setattr(training, "train_wavenet", training.train_wavenet.fn)
    return training.train_vocoder.fn


def named(store):
    """What lies in the bucket, but for the lease."""
    page = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{store.root.prefix}/")
    names = (entry["Key"].removeprefix(f"{store.root.prefix}/") for entry in page.get("Contents", ()))
    return {name for name in names if not name.startswith(("work/lease/", "fence/"))}


def logs(names):
    return {name for name in names if "tfevents" in name}


def until(true, within_s=60.0):
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


TRAIN = """
import json, pathlib, sys, torch
from clean_corpus.flows.training_folder import exclusive_folder
from clean_corpus.pipeline.core.locations import parse_location
from clean_corpus.vocoder.training.config import VocoderConfig
from clean_corpus.vocoder.training.train import train
shards, out, settings, threads = sys.argv[1:]
torch.set_num_threads(int(threads))  # sums in another order would differ
with exclusive_folder(parse_location(out)) as folder:
    train([*pathlib.Path(shards).glob("*.tar")], folder, VocoderConfig.model_validate_json(settings), force=True)
"""


def test_killed_midway_and_gone_on_with_elsewhere_gives_what_was_to_come(shards, out, store, flow, scratch, tmp_path):
    """SIGKILL once a checkpoint is in the bucket. What goes on has nothing but the bucket."""
    settings = json.dumps(SETTINGS | {"steps": 4000, "patience": 4000})
    (tmp_path / "first").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", TRAIN, shards / "raw", str(out), settings, str(torch.get_num_threads())],
        env=os.environ | {"TMPDIR": str(tmp_path / "first")},
    )
    last = "checkpoints/last.ckpt"
    until(lambda: store.size(last) is not None or process.poll() is not None)
    first = torch.load(io.BytesIO(store.read(last)), weights_only=True)["global_step"]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not list((tmp_path / "first").glob("clean-corpus-*")), 20)  # its folder goes with it
    there = named(store)
    assert {"run.json", "checkpoints/best.ckpt"} <= there and "best.safetensors" not in there
    begun = torch.load(io.BytesIO(store.read(last)), weights_only=True)["global_step"]
    assert begun >= first

    settled = VocoderConfig.model_validate(SETTINGS | {"steps": begun + 4, "patience": 4000})
    claimed = json.loads(store.read("run.json")) | {"steps": settled.steps, "patience": settled.patience}
    store.write("run.json", json.dumps(claimed).encode())  # as if it had been asked for no more than that
    seen, step = [], train.VocoderModule.training_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            train.VocoderModule, "training_step", lambda self, *b: seen.append(self.global_step) or step(self, *b)
        )
        weights = flow([str(shards / "raw")], out, settled, force=True)
    assert seen == list(range(begun, begun + 4)), "it began anew"
    assert str(weights) == f"{out}/best.safetensors" and not list(scratch.glob("clean-corpus-*"))
    twin = flow([str(shards / "raw")], tmp_path / "twin", settled, force=True)
    expected, got = load_file(twin), load_file(download_cache.weights(str(out)))
    assert all(torch.equal(expected[k], got[k]) for k in expected)
    assert json.loads(store.read("best.json")) == json.loads((tmp_path / "twin" / "best.json").read_text())
    files = {p.relative_to(twin.parent).as_posix() for p in twin.parent.rglob("*") if p.is_file()} - {".lock"}
    assert [{n for n in names if "tfevents" not in n} for names in (files, named(store))] == [files - logs(files)] * 2
    assert len(logs(named(store))) == 2, "the curve of before and of after"


def test_one_at_a_time_and_the_next_when_it_has_ended(out, scratch, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.2)
    with (
        training_folder.exclusive_folder(out),
        pytest.raises(ConfigError, match=r"another run is writing there \(process \d+"),
    ):
        training_folder.exclusive_folder(out).__enter__()
    with training_folder.exclusive_folder(out):
        pass
    assert not list(scratch.iterdir())


def test_a_bucket_that_is_not_there_is_named_before_any_work(s3_server, flow, shards):
    nowhere = parse_location("s3://nowhere-at-all/voice")
    with pytest.raises(ConfigError, match="s3://nowhere-at-all/voice/: NoSuchBucket; choose a bucket that is there"):
        flow([str(shards / "raw")], nowhere, VocoderConfig.model_validate(SETTINGS), force=True)
    with pytest.raises(ConfigError, match="s3://nowhere-at-all/voice"), staging.output_folder(nowhere):
        pass


def test_what_fails_is_sent_too_and_named_by_its_place(out, store):
    with pytest.raises(CleanCorpusError, match=f"^{out}/x is bad"), training_folder.exclusive_folder(out) as folder:
        (folder / "x").write_text("here")
        raise CleanCorpusError(f"{folder}/x is bad")
    assert store.read("x") == b"here"


# ---- other commands ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def voice(client, shards, tmp_path_factory):
    """A tiny vocoder in the bucket."""
    folder = tmp_path_factory.mktemp("voice")
    train.train([shards / "raw" / "0.tar"], folder, VocoderConfig.model_validate(SETTINGS | {"steps": 2}), force=True)
    for name in ("best.safetensors", "best.json"):
        client.upload_file(str(folder / name), BUCKET, f"voice/{name}")
    return f"s3://{BUCKET}/voice"


def test_a_voice_of_a_bucket_speaks_what_lies_in_one(client, voice, out, store, tmp_path):
    encode.write_wav(tmp_path / "a.wav", np.zeros(1600, np.float32), RATE)
    client.upload_file(str(tmp_path / "a.wav"), BUCKET, f"{out.prefix}/in/a.wav")
    store.write("in/bad.wav", b"no audio")
    store.write("said/kept.wav", b"was there")
    done, failed = vocoding.vocode(
        [out / "in"], parse_location(voice), out / "said", CONSOLE, seed=0, speaker=None, batch_size=1, threads=1
    )
    assert done == 1 and list(failed) == [f"{out}/in/bad.wav"]
    assert {"said/a.wav", "said/kept.wav"} <= named(store)
    one, _ = vocoding.vocode(
        [out / "in" / "a.wav"],
        parse_location(voice),
        out / "alone",
        CONSOLE,
        seed=0,
        speaker=None,
        batch_size=1,
        threads=1,
    )
    assert one == 1 and store.read("alone/a.wav") == store.read("said/a.wav")
    with pytest.raises(ConfigError, match="absent: no such object, and nothing lies below it"):
        staging.local_input(out / "absent").__enter__()


def test_pairs_of_a_bucket_are_evaluated_into_one(client, out, store, monkeypatch, tmp_path):
    """The measuring itself is that of test_evaluate.py."""
    encode.write_wav(tmp_path / "a.wav", np.zeros(RATE, np.float32), RATE)
    for kind in ("noisy", "clean"):
        client.upload_file(str(tmp_path / "a.wav"), BUCKET, f"{out.prefix}/pairs/{kind}/a.wav")
    monkeypatch.setattr(
        evaluating,
        "call_in_workers",
        lambda stage, jobs, *_: [
            (job, dict.fromkeys(evaluating.evaluation.metrics(naturalness=False), 1.0)) for job in jobs
        ],
    )
    report, failed = evaluating.evaluate(["default-causal"], out / "pairs", out / "scores", 1, CONSOLE)
    assert (str(report), failed) == (f"{out}/scores/report.md", {})
    assert {"scores/report.md", "scores/scores.csv", "scores/stoi.png"} <= named(store)


def test_a_comparison_in_a_bucket_goes_on_where_it_was(shards, out, store, monkeypatch, scratch):
    """Trained twice in another folder each; scores and report are those of test_compare_vocoders.py."""

    def write(*given):
        (given[-1] / "report").mkdir()
        (given[-1] / "report" / "index.html").write_text("page")
        return given[-1] / "report" / "index.html"

    monkeypatch.setattr(comparison, "train_one", comparison.train_one.fn)
    monkeypatch.setattr(comparison, "score_all", lambda *_: [])
    monkeypatch.setattr(comparison, "_jobs", lambda *_: [])
    monkeypatch.setattr(comparison.report, "write", write)
    config = comparison.CompareConfig.model_validate({"spoken": 2, "vocoder": SETTINGS | {"steps": 2}})
    sets = {name: [str(shards / name)] for name in ("raw", "gated")}
    page = comparison.compare_vocoders.fn(sets, out, config, force=True)
    assert str(page) == f"{out}/report/index.html"
    there = named(store)
    assert {"runs/raw/seed0/best.safetensors", "runs/gated/seed0/best.json", "report/index.html"} <= there
    assert not any(key.startswith("sets/") for key in there)
    store.delete("runs/gated/seed0/best.json")
    store.delete("report/index.html")
    monkeypatch.setattr(train.VocoderModule, "training_step", lambda *_: pytest.fail("trained again"))
    comparison.compare_vocoders.fn(sets, out, config, force=True)
    assert {"runs/gated/seed0/best.json", "report/index.html"} <= named(store)
