"""Lists of heard recordings: one digest for all lossless files of an audio, and what a list then finds."""

import io

import numpy as np
import pytest
import soundfile

from clean_corpus.pipeline.audio import content, encode
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.recording_list import Digests, RecordingList
from clean_corpus.pipeline.training.shard_stream import Encoded
from tests.support.tones import write_tones

X = np.random.default_rng(0).uniform(-1, 1, (3000, 2)).astype(np.float32)
STEPS = np.rint(X * 32767) / 32768


def encoded(x, **options):
    file = io.BytesIO()
    soundfile.write(file, x, 16000, **options)
    return file.getvalue()


def test_lossless_files_of_one_audio_have_one_digest(monkeypatch):
    flac = encoded(STEPS, format="FLAC", subtype="PCM_16")
    others = [
        encoded(STEPS, format="WAV", subtype="PCM_16"), encoded(STEPS, format="FLAC", subtype="PCM_24"),
        encoded(STEPS, format="WAV", subtype="FLOAT"),
    ]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(content.soundfile, "SoundFile", None)
        patch.setattr(content, "SequentialFile", None)  # the head of the file is enough
        expected = content.samples_md5(flac)
    assert {content.samples_md5(other) for other in others} == {expected}
    assert content.samples_md5(flac[:26] + bytes(16) + flac[42:]) == expected  # a head without fingerprint
    assert content.samples_md5(encoded(STEPS[:, ::-1], format="FLAC", subtype="PCM_16")) != expected


def test_a_recording_is_found_by_its_samples_or_its_file(tmp_path):
    wav = encoded(STEPS, format="WAV", subtype="PCM_16")
    flac = encoded(STEPS, format="FLAC", subtype="PCM_16")
    other = encoded(STEPS / 2, format="WAV", subtype="PCM_16")
    heard = RecordingList({"speech": {recording_list.digests(wav)}, "noise": {Digests("-", "0123456789ab")}})
    recording_list.write(tmp_path / "best.safetensors", heard)
    found = recording_list.read(tmp_path / "best.safetensors")
    assert found == heard and found.counts == {"speech": 1, "noise": 1}
    assert found.kind(recording_list.digests(flac)) == "speech"
    assert found.kind(recording_list.digests(other, "0123456789ab" + 52 * "0")) == "noise"
    assert found.kind(recording_list.digests(other)) is None and found.kind(Digests()) is None
    assert recording_list.digests(b"no audio").samples == "-"


def test_a_clip_stands_for_what_it_was_cut_and_mixed_from(tmp_path):
    clip = Encoded(
        tmp_path, "a.flac", encode.encode_flac(STEPS[:, 0].astype(np.float32), 16000, bits=16),
        b'{"source_sha256": "%s", "mixed_from": ["aaaaaaaaaaaa bbbbbbbbbbbb"]}' % (b"f" * 64),
    )  # fmt: skip
    own, mixed = recording_list.of_clip(clip)
    assert own.file == 12 * "f" and mixed == ("aaaaaaaaaaaa", "bbbbbbbbbbbb")
    shard = write_tones(LocalStore(tmp_path), "shards/0.tar", [200, 300])
    assert len(set(recording_list.of_shards([shard]))) == 2
    with pytest.raises(DataError, match="mixed_from: 'x' is not two digests"):
        recording_list.parse("x")


def test_weights_that_began_with_others_have_heard_their_recordings_too(tmp_path):
    one, two = Digests("1" * 12), Digests("2" * 12)
    later = RecordingList({"speech": {one}})
    joined = later.after("base", RecordingList({"speech": {two}, "noise": {one}}, ("first",)))
    assert joined.counts == {"speech": 2, "noise": 1} and joined.unlisted == ("first",)
    assert later.after("base", None).unlisted == ("base",)
    assert recording_list.read(tmp_path / "best.safetensors") is None
    (tmp_path / "best.recordings.json").write_text("[]")
    with pytest.raises(DataError, match=r"best\.recordings\.json: no list of recordings"):
        recording_list.read(tmp_path / "best.safetensors")
