"""What lies around a clip: of the recording it was cut from, of no other file, whatever a ledger names."""

import hashlib

import numpy as np
import pytest

from clean_corpus.flows.review.surroundings import Surroundings
from clean_corpus.pipeline.audio.encode import encode_wav
from clean_corpus.pipeline.core.config import PipelineConfig, S3Config
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import open_store

BUCKET = "recorded"
RATE = 16000
CONFIG = PipelineConfig(audio={"sample_rate": RATE})
RAMP = (np.arange(5 * RATE) / (10 * RATE)).astype(np.float32)  # tells where one is
DATA = encode_wav(RAMP, RATE)


def row(source="a/one.wav", data=DATA, **more):
    digest = hashlib.sha256(data).hexdigest()
    return {
        "clip_id": "c", "source": source, "source_sha256": digest, "offset_s": 2.0, "duration_s": 1.0, "removed_s": 0.5,
        "channel": "mix", "input_gain_db": 6.0, **more,
    }  # fmt: skip


@pytest.fixture(params=["folder", "bucket"])
def recordings(request, tmp_path):
    if request.param == "folder":
        where = tmp_path / "in"
    else:
        request.getfixturevalue("client")
        where = S3Folder(BUCKET, tmp_path.name)
    open_store(where, S3Config()).write("a/one.wav", DATA)
    return Surroundings(str(where), CONFIG, S3Config()), where


def test_a_clip_is_heard_with_the_seconds_around_it(recordings):
    found, where = recordings
    assert found.is_there(row())
    for seconds, start_s, end_s in ((0.5, 1.5, 4.0), (3.0, 0.0, 5.0)):
        sound, begins_s = found.around(row(), seconds)
        assert (begins_s, sound.sample_rate) == (start_s, RATE)
        expected = RAMP[round(start_s * RATE) : round(end_s * RATE)] * 10 ** (6 / 20)
        assert np.allclose(sound.x, expected, atol=1e-3)
    open_store(where, S3Config()).write("a/two.wav", encode_wav(RAMP[::-1].copy(), RATE))
    with pytest.raises(DataError, match=r"a/two\.wav: the recording in INPUT is another one"):
        found.around(row("a/two.wav"), 1)
    with pytest.raises(DataError, match=r"a/gone\.wav: the recording is not in INPUT"):
        found.around(row("a/gone.wav"), 1)


def test_one_recording_of_a_bucket_lies_here_and_none_once_the_page_is_gone(client, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    where = S3Folder(BUCKET, tmp_path.name)
    for name in ("a/one.wav", "a/two.wav"):
        open_store(where, S3Config()).write(name, DATA)
    found = Surroundings(str(where), CONFIG, S3Config())
    for name in ("a/one.wav", "a/two.wav", "a/two.wav"):
        found.around(row(name), 1)
        (copy,) = (path for path in tmp_path.rglob("*") if path.is_file())
        assert copy.read_bytes() == DATA and copy.parent.stat().st_mode & 0o077 == 0
    del found
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("source", ["../secret.wav", "/etc/passwd", "a/../../secret.wav", "", "a\0b"])
def test_a_name_that_leads_out_of_input_is_read_by_nobody(tmp_path, source):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.wav").write_bytes(DATA)
    found = Surroundings(str(tmp_path / "in"), CONFIG, S3Config())
    assert not found.is_there(row(source))
    with pytest.raises(DataError, match="is not in INPUT"):
        found.around(row(source), 1)


def test_input_that_is_gone_gives_nothing(tmp_path):
    assert not Surroundings(str(tmp_path / "gone"), CONFIG, S3Config()).is_there(row())
    (tmp_path / "one.wav").write_bytes(DATA)
    alone = Surroundings(str(tmp_path / "one.wav"), CONFIG, S3Config())
    assert alone.around(row("one.wav"), 0)[0].duration_s == 1.5
