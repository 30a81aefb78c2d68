"""`clean-corpus vocode`: recordings and saved frames to speech, copies scored, and files that cannot be spoken."""

import csv
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file

from clean_corpus.flows.commands import vocode as vocoding
from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import open_store
from clean_corpus.vocoder.checkpoint import load_vocoder
from clean_corpus.vocoder.features import LogMel
from tests.support.tones import RATE, tone
from tests.support.wavenets import save_small_vocoder

BUCKET = "vocoded"
CONSOLE = Console(quiet=True)


@pytest.fixture
def voice(tmp_path):
    (tmp_path / "voice").mkdir()
    return save_small_vocoder(tmp_path / "voice", LogMel(), upsampling=[5, 4, 4])


@pytest.fixture
def speak(voice, tmp_path):
    def call(*sources, seed=0, score=False):
        return vocoding.vocode(
            sources, voice, tmp_path / "said", CONSOLE,
            seed=seed, speaker=None, batch_size=4, threads=2, score=score,
        )  # fmt: skip

    return call


def test_a_speaker_is_chosen_by_name(tmp_path):
    mel = LogMel(sample_rate=24000, hop_length=300, win_length=1200, n_fft=2048, f_max_hz=12000)
    save_small_vocoder(tmp_path, mel, upsampling=[5, 6, 10], speakers=("s0", "s1"))
    encode.write_wav(tmp_path / "in.wav", tone(200, 0.1, 24000), 24000)
    arguments = {"seed": 0, "batch_size": 1, "threads": 1}
    spoken = vocoding.vocode([tmp_path / "in.wav"], tmp_path, tmp_path / "said", CONSOLE, speaker="s1", **arguments)
    assert spoken == (1, {})
    with pytest.raises(ConfigError, match="knows several voices; add --speaker, one of s0, s1"):
        vocoding.vocode([tmp_path / "in.wav"], tmp_path, tmp_path / "said", CONSOLE, speaker=None, **arguments)
    with pytest.raises(ConfigError, match="'s2' is not one of s0, s1"):
        vocoding.vocode([tmp_path / "in.wav"], tmp_path, tmp_path / "said", CONSOLE, speaker="s2", **arguments)


def test_copies_are_scored_against_their_recordings(speak, tmp_path, capsys):
    """A copy cannot beat what it was made from: the recording scored against itself is the bound."""
    encode.write_wav(tmp_path / "a.wav", tone(170, 1.003), RATE)  # not a whole number of frames
    np.save(tmp_path / "frames.npy", np.zeros((45, 10), np.float32))
    assert speak(tmp_path / "a.wav", tmp_path / "frames.npy", score=True) == (2, {})
    (row,) = csv.DictReader((tmp_path / "said" / "scores.csv").open())
    assert row["file"] == "a.wav" and "copies of 1 recordings" in capsys.readouterr().out
    same = vocoding.copy_scores(tmp_path / "a.wav", tmp_path / "a.wav", RATE)
    assert same["mcd_db"] == same["lsd_db"] == same["voicing_error"] == 0
    assert float(row["mcd_db"]) > 0 and float(row["lsd_db"]) > 0


def test_recordings_and_saved_frames_become_the_same_speech(voice, speak, tmp_path):
    mel = load_vocoder(voice).mel
    encode.write_wav(tmp_path / "a.wav", tone(170, 0.5), RATE)
    x, _ = decode.decode((tmp_path / "a.wav").read_bytes())
    frames = mel(torch.as_tensor(x)[None])[0]
    np.save(tmp_path / "b.npy", frames.numpy())
    about = {"features": json.dumps(asdict(mel))}
    save_file({"log_mel": frames.contiguous()}, tmp_path / "c.safetensors", about)
    assert speak(tmp_path / "a.wav", tmp_path / "b.npy", tmp_path / "c.safetensors") == (3, {})
    speech = [(tmp_path / "said" / f"{name}.wav").read_bytes() for name in "abc"]
    assert speech[0] == speech[1] == speech[2]
    speak(tmp_path / "a.wav", seed=1)
    assert (tmp_path / "said" / "a.wav").read_bytes() != speech[0]


def test_what_lies_beside_recordings_in_a_folder_is_passed_over(voice, tmp_path):
    """Texts go by the name of their recording; copies of the same command before lie in the folder itself."""
    source = tmp_path / "in"
    (source / "b").mkdir(parents=True)
    for path in (source / "a.wav", source / "b" / "c.FLAC.wav"):
        encode.write_wav(path, tone(200, 0.05), RATE)
    for name in ("a.lab", "a.normalized.txt", "b/c.FLAC.json", ".DS_Store", "notes.txt"):
        (source / name).write_text("words")
    np.save(source / "d.npy", np.zeros((45, 10), np.float32))
    for _ in range(2):
        count, failed = vocoding.vocode(
            [source], voice, source / "said", CONSOLE, seed=0, speaker=None, batch_size=4, threads=1
        )
        assert count == 3 and list(failed) == [str(source / "notes.txt")]
    assert {path.name for path in (source / "said").iterdir()} == {"a.wav", "c.FLAC.wav", "d.wav"}


def test_files_that_cannot_be_spoken_are_named(voice, speak, tmp_path):
    (tmp_path / "text.wav").write_bytes(b"no audio")
    np.save(tmp_path / "wide.npy", np.zeros((80, 5), np.float32))
    about = {"features": json.dumps(load_vocoder(voice).card["features"] | {"hop_length": 100})}
    save_file({"log_mel": torch.zeros(45, 5)}, tmp_path / "other.safetensors", about)
    spoken, failed = speak(tmp_path / "text.wav", tmp_path / "wide.npy", tmp_path / "other.safetensors")
    assert spoken == 0 and len(failed) == 3
    errors = " ".join(failed.values())
    assert "(80, 5), expected (45, T)" in errors
    assert "{'hop_length': 100}, the checkpoint's are of {'hop_length': 80}" in errors
    with pytest.raises(ConfigError, match="no such file"):
        speak(tmp_path / "absent.wav")


def test_saved_frames_of_any_precision_are_spoken_and_files_of_none_are_named(voice, speak, tmp_path):
    """What cannot be spoken fails alone; half precision rounds frames, float64 has them as they are."""
    mel = load_vocoder(voice).mel
    frames, about = torch.randn(45, 5), {"features": json.dumps(asdict(mel))}
    np.save(tmp_path / "single.npy", frames.numpy())
    for name, kind in (("double", torch.float64), ("half", torch.float16), ("brain", torch.bfloat16)):
        save_file({"log_mel": frames.to(kind)}, tmp_path / f"{name}.safetensors", about)
    np.save(tmp_path / "none.npy", np.zeros((45, 0), np.float32))
    (tmp_path / "cut.npy").write_bytes(b"")
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    (tmp_path / "archive.npy").write_bytes(b"PK\x03\x04" + bytes(100))
    np.save(tmp_path / "complex.npy", np.zeros((45, 5), np.complex64))
    save_file({"log_mel": torch.zeros(45, 0)}, tmp_path / "empty.safetensors", about)
    save_file({"mel": frames}, tmp_path / "named.safetensors", about)
    save_file({"log_mel": frames}, tmp_path / "unlike.safetensors", {"features": "hop 80"})
    save_file({"log_mel": frames}, tmp_path / "list.safetensors", {"features": "[1]"})
    (tmp_path / "broken.safetensors").write_bytes(b"no frames")
    files = [path for path in sorted(tmp_path.iterdir()) if path.is_file()]
    spoken, failed = speak(*files)
    said = {path.stem for path in (tmp_path / "said").iterdir()}
    assert spoken == 4 and said == {"single", "double", "half", "brain"}
    assert (tmp_path / "said/double.wav").read_bytes() == (tmp_path / "said/single.wav").read_bytes()
    for name, error in (
        ("none.npy", "frames (45, 0), expected (45, T) finite values, T at least 1"),
        ("empty.safetensors", "frames (45, 0), expected (45, T) finite values, T at least 1"),
        ("cut.npy", "no frames that can be read: EOF: "),
        ("archive.npy", "no frames that can be read: the magic string is not correct"),
        ("text.npy", "no frames that can be read: Cannot cast"),
        ("complex.npy", "no frames that can be read: Cannot cast"),
        ("named.safetensors", "no frames that can be read: File does not contain tensor log_mel"),
        ("unlike.safetensors", "no frames that can be read: Expecting value"),
        ("list.safetensors", "frames of [1], the checkpoint's are of {'sample_rate': 16000, "),
        ("broken.safetensors", "no frames that can be read: Error while deserializing header"),
    ):
        assert error in failed.pop(str(tmp_path / name)), name
    assert not failed


def test_a_recording_is_never_overwritten_by_its_copy(voice, tmp_path):
    encode.write_wav(tmp_path / "a.wav", tone(170, 0.5), RATE)
    before = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (tmp_path, tmp_path / "link"):
        with pytest.raises(ConfigError, match=r"a\.wav is one of the recordings themselves; choose another --out"):
            vocoding.vocode([tmp_path / "a.wav"], voice, out, CONSOLE, seed=0, speaker=None, batch_size=1, threads=1)
    assert (tmp_path / "a.wav").read_bytes() == before


def test_an_object_is_never_overwritten_by_its_copy(voice, client, tmp_path):
    encode.write_wav(tmp_path / "a.wav", tone(170, 0.5), RATE)
    before = (tmp_path / "a.wav").read_bytes()
    for key in ("rec/a.wav", "b.wav"):
        client.upload_file(str(tmp_path / "a.wav"), BUCKET, key)
    rec = S3Folder(BUCKET, "rec")
    for source, out in ((rec, rec), (rec / "a.wav", rec), (rec.parent / "b.wav", rec.parent)):
        with pytest.raises(ConfigError, match=rf"{out}/.\.wav is one of the recordings themselves; choose"):
            vocoding.vocode([source], voice, out, CONSOLE, seed=0, speaker=None, batch_size=1, threads=1)
    store = open_store(rec.parent, DEFAULT_S3)
    assert {key: store.read(key) for key in store.walk("")} == dict.fromkeys(("b.wav", "rec/a.wav"), before)


def test_one_recording_at_full_scale_does_not_stop_the_others(voice, tmp_path):
    """Its equalised copy went beyond full scale, which no file holds: nothing of the whole call was written."""
    for name, x in (("loud", np.sign(tone(200, 0.3))), ("other", 0.1 * tone(200, 0.3))):
        encode.write_wav(tmp_path / f"{name}.wav", x.astype(np.float32), RATE)
    arguments = {"seed": 3, "speaker": None, "batch_size": 2, "threads": 1, "equaliser_ms": 50}
    sources = [tmp_path / "loud.wav", tmp_path / "other.wav"]
    assert vocoding.vocode(sources, voice, tmp_path / "said", CONSOLE, **arguments) == (2, {})
    said, other = (decode.decode((tmp_path / "said" / f"{name}.wav").read_bytes())[0] for name in ("loud", "other"))
    assert np.abs(said).max() > 0.999 > 0.5 > np.abs(other).max()


def test_a_second_call_passes_over_copies_that_lie_in_its_input(voice, client, tmp_path):
    """In a bucket they were downloaded with the recordings, and had the names of the copies to be made."""
    (tmp_path / "in").mkdir()
    encode.write_wav(tmp_path / "in" / "a.wav", tone(170, 0.1), RATE)
    client.upload_file(str(tmp_path / "in" / "a.wav"), BUCKET, "again/a.wav")
    arguments = {"seed": 0, "speaker": None, "batch_size": 1, "threads": 1}
    for source in (tmp_path / "in", S3Folder(BUCKET, "again")):
        for _ in range(2):
            assert vocoding.vocode([source], voice, source / "said", CONSOLE, **arguments) == (1, {})
        with pytest.raises(ConfigError, match=r"would both become a\.wav"):  # those of another call are recordings
            vocoding.vocode([source], voice, source / "other", CONSOLE, **arguments)
