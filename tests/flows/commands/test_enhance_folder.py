"""`clean-corpus enhance`: names of files written, whole files in place of none, and recordings whose worker dies."""

import dataclasses
import errno
import os

import numpy as np
import pytest
import soundfile
from rich.console import Console

from clean_corpus.flows import worker_functions
from clean_corpus.flows.commands import enhance_folder, parallel
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.base import StorageError
from tests.support.inline import Inline

QUIET = Console(quiet=True)
BUCKET = "enhanced"


def recording(path: str) -> Recording:
    return Recording(path, path, 1, "0" * 64)


@pytest.mark.parametrize(
    "names",
    [
        {"a.flac": "a.flac.wav", "a.wav": "a.wav"},
        {"a/x.mp3": "a/x.mp3.wav", "a/x.flac": "a/x.flac.wav", "b/x.wav": "b/x.wav", "y.tar.ogg": "y.tar.wav"},
        {"a.flac": "a.flac.wav.wav", "a.wav": "a.wav", "a.flac.wav": "a.flac.wav"},
        {"A.WAV": "A.WAV.wav", "A.wav": "A.wav"},
        {"A.WAV": "A.wav", "a.wav": "a.wav"},
        {"a.flac": "a.wav", "a.lab": "a.lab.wav", "a.TextGrid": "a.TextGrid.wav"},
        {"a": "a.wav", "b/a": "b/a.wav"},
        {"a.flac": "a.flac.wav", "a.wav": "a.wav", "a": "a.wav.wav"},
        {".wav": ".wav"},
    ],
)
def test_a_wav_keeps_its_name_and_no_two_recordings_are_written_to_one(names):
    for order in (sorted(names), sorted(names, reverse=True)):
        found = enhance_folder.output_names([recording(path) for path in order])
        assert found == names and len(set(found.values())) == len(names)


def test_a_recording_that_cannot_be_read_takes_no_name():
    broken = dataclasses.replace(recording("a.wav"), error="broken link")
    assert enhance_folder.output_names([broken, recording("a.flac")]) == {"a.flac": "a.wav"}


@pytest.fixture
def enhance(monkeypatch, tmp_path):
    """Enhance by a network that halves everything, in this process."""
    monkeypatch.setattr(parallel, "LocalEngine", Inline)
    monkeypatch.setattr(worker_functions, "network", lambda _: Halving())

    def call(source, output):
        return enhance_folder.enhance_folder(source, output, "default", 1, QUIET)

    return call


class Halving:
    sample_rate = 16000

    def __call__(self, noisy, lengths):
        return noisy / 2


def wave(level: float) -> np.ndarray:
    return np.tile(np.array([0, level, 0, -level], np.float32), 400)


def write(path, level: float):
    path.parent.mkdir(parents=True, exist_ok=True)
    encode.write_wav(path, wave(level), 16000)


def peak(path) -> float:
    return round(float(np.abs(soundfile.read(path)[0]).max()), 2)


def test_pairs_are_found_by_name(enhance, tmp_path):
    write(tmp_path / "in" / "a.wav", 0.5)
    soundfile.write(tmp_path / "in" / "a.flac", wave(0.2), 16000)
    assert enhance(tmp_path / "in", tmp_path / "out") == (2, {})
    assert {p.name: peak(p) for p in (tmp_path / "out").iterdir()} == {"a.wav": 0.25, "a.flac.wav": 0.1}


@pytest.mark.parametrize("way", ["same", "one file", "through a link", "folder above", "link in OUT"])
def test_a_recording_is_never_overwritten(enhance, tmp_path, way):
    folder = tmp_path / "in"
    write(folder / "a.wav", 0.5)
    write(folder / "in" / "a.wav", 0.5)
    source, output = folder, folder
    if way == "one file":
        source = folder / "a.wav"
    if way == "through a link":
        output = tmp_path / "link"
        output.symlink_to(folder)
    if way == "folder above":
        output = tmp_path  # in/in/a.wav would become in/a.wav
    if way == "link in OUT":
        output = tmp_path / "out"
        output.mkdir()
        (output / "a.wav").hardlink_to(folder / "a.wav")
    before = {path: path.read_bytes() for path in folder.rglob("*.wav")}
    with pytest.raises(ConfigError, match="choose another folder"):
        enhance(source, output)
    assert {path: path.read_bytes() for path in folder.rglob("*.wav")} == before


@pytest.mark.parametrize("way", ["same", "one object", "folder above", "whole bucket"])
def test_an_object_of_the_input_is_never_overwritten(enhance, client, tmp_path, way):
    bucket = S3Folder(f"{BUCKET}-{way.replace(' ', '-')}")
    client.create_bucket(Bucket=bucket.bucket)
    write(tmp_path / "a.wav", 0.5)
    for key in ("a.wav", "in/a.wav", "in/in/a.wav"):
        client.upload_file(str(tmp_path / "a.wav"), bucket.bucket, key)
    source, output = {
        "same": (bucket / "in", bucket / "in"),
        "one object": (bucket / "a.wav", bucket),
        "folder above": (bucket / "in", bucket),  # in/in/a.wav would become in/a.wav
        "whole bucket": (bucket, bucket),
    }[way]
    with pytest.raises(ConfigError, match="choose another folder"):
        enhance(source, output)
    store = open_store(bucket, DEFAULT_S3)
    assert {key: store.read(key) for key in store.walk("")} == dict.fromkeys(
        ("a.wav", "in/a.wav", "in/in/a.wav"), (tmp_path / "a.wav").read_bytes()
    )


def test_an_object_beside_the_input_is_written(enhance, client, tmp_path):
    bucket = S3Folder(f"{BUCKET}-beside")
    client.create_bucket(Bucket=bucket.bucket)
    write(tmp_path / "a.wav", 0.5)
    client.upload_file(str(tmp_path / "a.wav"), bucket.bucket, "in/a.wav")
    assert enhance(bucket / "in", bucket) == enhance(bucket / "in/a.wav", bucket / "out") == (1, {})
    assert list(open_store(bucket, DEFAULT_S3).walk("")) == ["a.wav", "in/a.wav", "out/a.wav"]


def test_a_recording_that_cannot_be_read_is_not_overwritten_either(enhance, tmp_path, monkeypatch):
    write(tmp_path / "in" / "a.wav", 0.5)
    soundfile.write(tmp_path / "in" / "a.flac", wave(0.2), 16000)
    found = [dataclasses.replace(recording("a.wav"), error="permission denied"), recording("a.flac")]
    monkeypatch.setattr(enhance_folder, "find_all", lambda *_, **__: found)
    (tmp_path / "link").symlink_to("in")
    with pytest.raises(ConfigError, match=r"link/a\.wav, which a\.flac would become, is a recording of the input"):
        enhance(tmp_path / "in", tmp_path / "link")


def test_a_written_file_is_whole_or_the_old_one(enhance, tmp_path, monkeypatch):
    write(tmp_path / "in" / "a.wav", 0.5)
    write(tmp_path / "out" / "a.wav", 0.75)
    before = (tmp_path / "out" / "a.wav").read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            enhance(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "a.wav").read_bytes() == before and len(list((tmp_path / "out").iterdir())) == 1
    assert enhance(tmp_path / "in", tmp_path / "out") == (1, {})
    assert peak(tmp_path / "out" / "a.wav") == 0.25


class Failing(Inline):
    """An engine whose worker dies in the calls for one recording."""

    def run(self, function, group, *args):
        if "bad.wav" in [recording.path for recording in group]:
            raise WorkerDied("worker process died")
        return super().run(function, group, *args)


def test_a_recording_that_kills_its_worker_fails_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(parallel, "LocalEngine", Failing)
    found = [recording("bad.wav"), recording("good.wav"), recording("silent.wav")]
    monkeypatch.setattr(enhance_folder, "find_all", lambda *_, **__: found)
    monkeypatch.setattr(enhance_folder, "_enhance_group", lambda group, *_: {r.source: "no audio" for r in group[2:]})
    count, failed = enhance_folder.enhance_folder(tmp_path, tmp_path / "out", "default-causal", 1, QUIET)
    assert (count, failed) == (2, {"bad.wav": "worker process died"})


def test_unknown_weights_are_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="nothing"):
        enhance_folder.enhance_folder(tmp_path / "absent", tmp_path / "out", "nothing", 1, QUIET)


def test_without_a_network_there_is_nothing_to_enhance_with(tmp_path):
    with pytest.raises(ConfigError, match="enhancer none: a run goes without one, this needs weights"):
        enhance_folder.enhance_folder(tmp_path, tmp_path / "out", "none", 1, QUIET)
