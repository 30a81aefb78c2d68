"""Every path of a command may be s3://: settings, clean references, curves, rooms, listening tests, exported files."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.training import recordings
from clean_corpus.enhancers.training.config import TrainConfig
from clean_corpus.flows import download_cache, worker_functions
from clean_corpus.flows import train_enhancer as training
from clean_corpus.flows.checks import check
from clean_corpus.flows.commands import parallel
from clean_corpus.flows.config import RunConfig
from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.storage import s3_client, s3_objects
from tests.support.commands import invoke
from tests.support.inline import Inline
from tests.support.listening import export, write_export
from tests.support.signals import speech

RATE = 16000
BUCKET = "paths"


@pytest.fixture
def there(client, request, monkeypatch, without_server):
    """A place of the test's own, as text, and how to put a file there and get it back."""
    monkeypatch.setattr(parallel, "LocalEngine", Inline)
    name = request.node.name.partition("[")[0]

    def put(key, content):
        body = content if isinstance(content, bytes) else content.encode()
        client.put_object(Bucket=BUCKET, Key=f"{name}/{key}", Body=body)

    def get(key):
        return client.get_object(Bucket=BUCKET, Key=f"{name}/{key}")["Body"].read()

    return SimpleNamespace(at=f"s3://{BUCKET}/{name}", put=put, get=get)


def command(*arguments):
    """What a command prints on standard output."""
    return invoke(*arguments).stdout


@pytest.fixture(scope="module")
def voice():
    return speech(2.5, seed=0)


def as_wav(x):
    return encode.encode_wav(x, RATE)


def noisy(x, seed=0):
    return x + np.random.default_rng(seed).normal(0, 0.01, len(x)).astype(np.float32)


# ---- settings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "IN", "OUT"],
        ["yield", "IN"],
        ["train-enhancer", "cgcrn", "--speech", "IN", "--noise", "IN", "--out", "OUT"],
        ["train-vocoder", "IN", "--out", "OUT"],
        ["compare", "--set", "raw=IN", "--out", "OUT"],
        ["deploy", "--server", "http://127.0.0.1:1", "--input", "IN", "--output", "OUT"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_settings_of_every_command_may_lie_in_a_bucket(there, arguments):
    with pytest.raises(ConfigError, match=f"^{there.at}/gone.yaml: no such object"):
        command(*arguments, "--config", f"{there.at}/gone.yaml")
    there.put("bad.yaml", "- no mapping")
    with pytest.raises(ConfigError, match=f"^config {there.at}/bad.yaml: expected a mapping of sections, got list"):
        command(*arguments, "--config", f"{there.at}/bad.yaml")


def test_yield_reads_and_draws_in_buckets(there, voice):
    there.put("in/a.wav", as_wav(voice))
    there.put("run.yaml", "gate: {snr_db_min: 77}")
    plot = f"{there.at}/plots/yield.png"
    printed = command("yield", f"{there.at}/in", "--config", f"{there.at}/run.yaml", "--plot", plot, "--workers", 1)
    assert printed.splitlines()[-1] == f"plot: {plot}" and " 77 " in printed
    assert there.get("plots/yield.png").startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="output s3://gone/: NoSuchBucket"):
        command("yield", f"{there.at}/in", "--plot", "s3://gone/yield.png")
    with pytest.raises(ConfigError, match=f"^s3://{BUCKET}: a whole bucket; add the name of a file"):
        command("yield", f"{there.at}/in", "--plot", f"s3://{BUCKET}")


# ---- clean references -----------------------------------------------------------------------------------------------


def test_clean_references_of_a_command_may_lie_in_a_bucket(there, voice, tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    for name in ("deep/a.flac", "deep/a.b.flac", "alone.flac"):
        (tmp_path / "in" / name).write_bytes(as_wav(noisy(voice)))
    there.put("clean/deep/a.wav", as_wav(voice))
    there.put("clean/deep/a.b.flac", as_wav(noisy(voice)))
    score = ("score", tmp_path / "in", "--json", "--workers", 1, "--clean")
    files = json.loads(command(*score, f"{there.at}/clean"))["files"]
    clean = decode.decode(as_wav(voice))[0].astype(np.float64)
    error = decode.decode(as_wav(noisy(voice)))[0] - clean
    expected_db = 10 * np.log10(np.sum(clean**2) / np.sum(error**2))  # 0.1 dB: SI-SDR scales the reference first
    assert files["deep/a.flac"]["si_sdr_db"] == pytest.approx(expected_db, abs=0.1)
    assert files["deep/a.b.flac"]["si_sdr_db"] > 60, "its own reference, and not that of a.flac"
    assert files["alone.flac"].get("si_sdr_db") is None
    with pytest.raises(ConfigError, match=f"^--clean {there.at}/gone: no such folder"):
        command(*score, f"{there.at}/gone")
    with pytest.raises(ConfigError, match="--clean gone: no such folder"):
        command(*score, "gone")


def test_clean_references_of_a_run_are_fetched_a_shard_at_a_time_and_name_what_was_made_of_them(
    there, voice, s3_server, tmp_path, monkeypatch
):
    """References in a folder and in a bucket give the same names; the bucket is reached by the run's own setting."""
    for folder in ("in", "clean"):
        (tmp_path / folder).mkdir()
    (tmp_path / "in/a.wav").write_bytes(as_wav(noisy(voice)))
    (tmp_path / "clean/a.wav").write_bytes(as_wav(voice))
    there.put("clean/a.wav", as_wav(voice))
    there.put("clean/other.wav", as_wav(voice))
    about = {"input": tmp_path / "in", "output": tmp_path / "out", "s3": S3Config(endpoint_url=s3_server)}
    local = RunConfig.model_validate({**about, "score": {"clean_dir": str(tmp_path / "clean")}})
    config = RunConfig.model_validate({**about, "score": {"clean_dir": f"{there.at}/clean"}})
    assert config.model_dump(mode="json")["score"]["clean_dir"] == f"{there.at}/clean"
    (raw,) = worker_functions.ingest(local, find_all(local.input, exclude=None)).result.shards
    made = worker_functions.clean(local, raw)
    assert not made.before.reused and made.before.result.scores[raw.wanted[0].clip_id]["pesq_wb"] > 1

    fetched = []
    monkeypatch.setattr(
        s3_objects, "download", lambda o, *rest, get=s3_objects.download: (fetched.append(o.key), get(o, *rest))
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    s3_client._client_of.cache_clear()
    try:
        again = worker_functions.clean(config, raw)
        assert (again.before.name, again.after.name) == (made.before.name, made.after.name)
        assert again.before.reused and again.after.reused
        assert [key.rpartition("/")[2] for key in fetched] == ["a.wav"], "once, and no other"
        check(config)
        gone = RunConfig.model_validate({**about, "score": {"clean_dir": f"{there.at}/g"}})
        with pytest.raises(ConfigError, match=f"^score.clean_dir {there.at}/g: no such folder"):
            check(gone)
    finally:
        monkeypatch.undo()
        s3_client._client_of.cache_clear()
    there.put("clean/a.wav", as_wav(0.9 * voice))
    changed = worker_functions.clean(config, raw)
    assert changed.before.name != made.before.name and not changed.before.reused and not changed.after.reused
    assert changed.enhanced.reused


# ---- trainings -------------------------------------------------------------------------------------------------


def test_recorded_rooms_of_a_training_may_lie_in_a_bucket(there, tmp_path, monkeypatch):
    """They have the same name at each start, else a training could not go on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, at in (("hall/a.wav", 3), ("cell/b.wav", 5)):
        path = tmp_path / "rooms" / name
        path.parent.mkdir(parents=True)
        soundfile.write(path, np.eye(1, 800, at)[0], RATE, "FLOAT")
        there.put(f"rooms/{name}", path.read_bytes())
    given = []
    monkeypatch.setattr(training.train, "train", lambda *arguments: given.append(arguments[4]) or tmp_path)
    config = TrainConfig(mix={"rirs": f"{there.at}/rooms", "room_share": 0.3})
    for _ in range(2):
        training.train_row.fn("cgcrn", [], [], tmp_path, config)
    first, second = (settled.mix.rirs for settled in given)
    assert first == second and first.startswith(f"{tmp_path}/cache/") and given[0].mix.room_share == 0.3
    found, expected = (recordings.load_rirs(tmp_path / folder, RATE) for folder in (first, "rooms"))
    assert found.keys() == expected.keys() == {"hall", "cell"}
    there.put("rooms/hall/c.wav", path.read_bytes())
    assert download_cache.rooms(f"{there.at}/rooms") != first
    with pytest.raises(ConfigError, match=f"^mix.rirs {there.at}/gone: no such folder"):
        download_cache.rooms(f"{there.at}/gone")
    assert [download_cache.rooms(name) for name in ("simulated", "a/folder")] == ["simulated", "a/folder"]


# ---- listening tests and exported files ------------------------------------------------------------------------


def test_listening_tests_and_their_results_lie_in_buckets(there, tmp_path, voice):
    for system in ("one", "two"):
        there.put(f"systems/{system}/u.wav", as_wav(voice[:RATE] if system == "one" else noisy(voice[:RATE])))
    begin = ("listening-test", f"{there.at}/systems", "--mode", "ab", "--out", f"{there.at}/page")
    with pytest.raises(ConfigError, match="--key FILE says where its key goes"):
        command(*begin)
    with pytest.raises(ConfigError, match=f"--key {there.at}/page/k.json lies in --out {there.at}/page"):
        command(*begin, "--key", f"{there.at}/page/k.json")
    secret = f"{there.at}/keys/k.json"
    assert command(*begin, "--key", secret) == f"page: {there.at}/page/index.html\n"
    assert b"<html" in there.get("page/index.html")
    key = json.loads(there.get("keys/k.json"))
    with pytest.raises(ConfigError, match=f"--key {secret} belongs to study {key['study']}, this one is"):
        command(*begin, "--seed", 1, "--out", f"{there.at}/other", "--key", secret)
    assert json.loads(there.get("keys/k.json")) == key, "not overwritten"

    key["clips"] = {name: {k: clip[k] for k in ("system", "utterance")} for name, clip in key["clips"].items()}
    saved = write_export(tmp_path / "a.csv", export(key, "listener", lambda system, _: float(system == "one")))
    there.put("saved/a.csv", saved.read_bytes())
    finish = ("listening-results", f"{there.at}/saved/a.csv", "--out", f"{there.at}/results")
    assert command(*finish, "--key", secret) == f"results: {there.at}/results/results.md\n"
    results = json.loads(there.get("results/results.json"))
    assert (results["study"], results["listeners"]) == (key["study"], ["listener"])
    assert there.get("results/results.png").startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match=f"^{there.at}/keys/gone.json: no such object"):
        command(*finish, "--key", f"{there.at}/keys/gone.json")
    there.put("saved/b.csv", "no answers")
    with pytest.raises(DataError, match=f"^{there.at}/saved/b.csv: no column"):
        command("listening-results", f"{there.at}/saved/b.csv", "--out", tmp_path / "r", "--key", secret)


def test_names_that_training_heard_may_lie_in_a_bucket(there, tmp_path):
    there.put("names.txt", "anne\n")
    systems = "evaluate", "no-such-system", "--pairs", tmp_path, "--out", tmp_path / "out"
    for option in ("--trained-speakers", "--trained-noises"):
        with pytest.raises(ConfigError, match="no-such-system"):  # the names were read before
            invoke(*systems, option, f"{there.at}/names.txt")
        with pytest.raises(ConfigError, match=rf"{there.at}/none: no such object"):
            invoke(*systems, option, f"{there.at}/none")


def test_an_exported_file_may_go_to_a_bucket(there, monkeypatch):
    monkeypatch.setattr(
        "clean_corpus.enhancers.serving.onnx_export.export_streaming",
        lambda _, path, upper: path.write_bytes(b"network"),
    )
    where = f"{there.at}/live/x.onnx"
    assert command("export-onnx", checkpoints.DEFAULT, where, "--streaming").endswith(f"written and checked: {where}\n")
    assert there.get("live/x.onnx") == b"network"


def test_a_demo_may_go_to_a_bucket(there, monkeypatch):
    monkeypatch.setattr(
        "clean_corpus.pipeline.demo.corpus.write_corpus", lambda out, **_: (out / "a.wav").write_bytes(b"speech")
    )
    command("demo", f"{there.at}/demo")
    assert there.get("demo/a.wav") == b"speech"
