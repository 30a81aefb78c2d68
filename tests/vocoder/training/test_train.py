"""Training of the vocoder on shards, and speaking with what came out of it."""

import csv
import json

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from clean_corpus.flows import vocoding
from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.training.shard_stream import clips
from clean_corpus.vocoder.checkpoint import load_vocoder
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.training import train as training
from clean_corpus.vocoder.training.segments import is_held_out, survey

RATE = 16000
SIZES = {"layers": 4, "stacks": 1, "residual_channels": 16, "gate_channels": 32, "skip_channels": 16,
         "conditioning_channels": 16}  # fmt: skip
CONSOLE = Console(quiet=True)


def tone(hz, seconds=1.0, rate=RATE):
    time_s = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hz * time_s) * np.minimum(1, 20 * time_s)).astype(np.float32)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """24 s of tones in three shards, two speakers."""
    store = LocalStore(tmp_path_factory.mktemp("shards"))
    for i in range(3):
        samples = [
            {
                "__key__": f"c{i}-{j}",
                "flac": decode.encode_flac(tone(150 + 20 * j), RATE, bits=16),
                "json": json.dumps({"speaker": f"s{j % 2}"}).encode(),
            }
            for j in range(8)
        ]
        write_shard(store, f"shards/{i}.tar", samples)
    return sorted(store.path("shards").glob("*.tar"))


def config(**settings):
    base = {
        "steps": 8, "steps_per_epoch": 4, "batch_size": 2, "frames": 20, "validation_share": 0.2, "workers": 0,
        "validation_clips": 4, "heard_s": 0.05, "ema_decay": 0.5, "shuffle_clips": 4, "sizes": SIZES,
    }  # fmt: skip
    return training.VocoderConfig.model_validate(base | settings)


def run(shards, out, **settings):
    return training.train(shards, out, config(**settings), force=True)


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    run(shards, out, steps=60, steps_per_epoch=30, learning_rate=1e-2)
    return out


def test_training_makes_the_voice_likelier(trained):
    """A blind guess among 256 classes costs log 256 nats."""
    assert load_vocoder(trained).card["best_validation_nll_nats"] < np.log(256) - 1


def test_a_resumed_run_ends_with_the_same_weights(shards, tmp_path, monkeypatch):
    whole = load_file(run(shards, tmp_path / "whole"))
    step = training.Training.training_step

    def dies(self, batch, index):
        if self.global_step == 6:
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch, pytest.raises(BaseException):  # noqa: B017 - Lightning may wrap it
        patch.setattr(training.Training, "training_step", dies)
        run(shards, tmp_path / "cut")
    resumed = load_file(run(shards, tmp_path / "cut"))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_a_folder_of_another_training_is_refused(shards, trained):
    with pytest.raises(ConfigError, match="holds another training"):
        run(shards, trained)


def test_bad_corpora_are_refused_with_the_numbers(shards, tmp_path):
    with pytest.raises(DataError, match=r"hold 0\.\d minutes to train on, fewer than 10; .* --force"):
        training.train(shards, tmp_path, config())
    write_shard(
        LocalStore(tmp_path), "x.tar", [{"__key__": "a", "flac": decode.encode_flac(tone(200), 22050, bits=16)}]
    )
    with pytest.raises(
        DataError, match=r"a\.flac has 22050 Hz, the features 16000 Hz; set features\.sample_rate=22050"
    ):
        run([*shards, tmp_path / "x.tar"], tmp_path / "out")
    with pytest.raises(DataError, match=r"samples, the features have 45 bands every 100; set sizes\.upsampling"):
        run(shards, tmp_path / "out", features={"hop_length": 100})
    with pytest.raises(ConfigError, match="layerz"):
        run(shards, tmp_path / "out", sizes={"layerz": 3})


def test_validation_shares_no_utterance_or_no_speaker(shards):
    everything = [clip for shard in shards for clip in clips(shard)]
    held = [is_held_out(c, 0.3, "utterance", 0) for c in everything]
    assert 0 < sum(held) < len(everything)
    sides = {json.loads(c.about)["speaker"]: is_held_out(c, 0.5, "speaker", 1) for c in everything}
    assert all(is_held_out(c, 0.5, "speaker", 1) == sides[json.loads(c.about)["speaker"]] for c in everything)
    found = survey(shards, LogMel(), lambda clip: clip.key == "c0-0")
    assert (found.training_s, found.validation_s, found.speakers) == (23.0, 1.0, ("s0", "s1"))


def test_other_rates_and_speakers(tmp_path):
    store = LocalStore(tmp_path)
    samples = [
        {
            "__key__": f"c{j}",
            "flac": decode.encode_flac(tone(200, rate=24000), 24000, bits=16),
            "json": json.dumps({"speaker": f"s{j % 2}"}).encode(),
        }
        for j in range(12)
    ]
    write_shard(store, "a.tar", samples)
    path = run(
        [tmp_path / "a.tar"], tmp_path / "out", speaker_conditioning=True, sizes=SIZES | {"upsampling": [5, 6, 10]},
        features={"sample_rate": 24000, "hop_length": 300, "win_length": 1200, "n_fft": 2048, "n_mels": 45},
    )  # fmt: skip
    vocoder = load_vocoder(path)
    assert vocoder.network.speaker.num_embeddings == 2 and vocoder.mel.f_max_hz == 12000
    decode.write_wav(tmp_path / "in.wav", tone(200, 0.1, 24000), 24000)
    arguments = {"seed": 0, "batch_size": 1, "threads": 1}
    done, failed = vocoding.vocode([tmp_path / "in.wav"], path, tmp_path / "said", CONSOLE, speaker="s1", **arguments)
    assert (done, failed) == (1, {})
    with pytest.raises(ConfigError, match="'s2' is not one of s0, s1"):
        vocoding.vocode([tmp_path / "in.wav"], path, tmp_path / "said", CONSOLE, speaker="s2", **arguments)


@pytest.fixture
def speak(trained, tmp_path):
    def call(*sources, seed=0, score=False):
        return vocoding.vocode(
            sources, trained, tmp_path / "said", CONSOLE,
            seed=seed, speaker=None, batch_size=4, threads=2, score=score,
        )  # fmt: skip

    return call


def test_copies_are_scored_against_their_recordings(speak, tmp_path, capsys):
    """A copy cannot beat what it was made from: the recording scored against itself is the bound."""
    decode.write_wav(tmp_path / "a.wav", tone(170, 1.003), RATE)  # not a whole number of frames
    np.save(tmp_path / "frames.npy", np.zeros((45, 10), np.float32))
    assert speak(tmp_path / "a.wav", tmp_path / "frames.npy", score=True) == (2, {})
    (row,) = csv.DictReader((tmp_path / "said" / "scores.csv").open())
    assert row["file"] == "a.wav" and "copies of 1 recordings" in capsys.readouterr().out
    same = vocoding.copy_scores(tmp_path / "a.wav", tmp_path / "a.wav", RATE)
    assert same["mcd_db"] == same["lsd_db"] == same["voicing_error"] == 0
    assert float(row["mcd_db"]) > 0 and float(row["lsd_db"]) > 0


def test_recordings_and_saved_frames_become_the_same_speech(trained, speak, tmp_path):
    mel = load_vocoder(trained).mel
    decode.write_wav(tmp_path / "a.wav", tone(170, 0.5), RATE)
    x, _ = decode.decode((tmp_path / "a.wav").read_bytes())
    frames = mel(torch.as_tensor(x)[None])[0]
    np.save(tmp_path / "b.npy", frames.numpy())
    about = {"features": json.dumps(load_vocoder(trained).card["features"])}
    save_file({"log_mel": frames.contiguous()}, tmp_path / "c.safetensors", about)
    assert speak(tmp_path / "a.wav", tmp_path / "b.npy", tmp_path / "c.safetensors") == (3, {})
    said = [(tmp_path / "said" / f"{name}.wav").read_bytes() for name in "abc"]
    assert said[0] == said[1] == said[2]
    speak(tmp_path / "a.wav", seed=1)
    assert (tmp_path / "said" / "a.wav").read_bytes() != said[0]


def test_what_cannot_be_spoken_is_named(trained, speak, tmp_path):
    (tmp_path / "text.wav").write_bytes(b"no audio")
    np.save(tmp_path / "wide.npy", np.zeros((80, 5), np.float32))
    about = {"features": json.dumps(load_vocoder(trained).card["features"] | {"hop_length": 100})}
    save_file({"log_mel": torch.zeros(45, 5)}, tmp_path / "other.safetensors", about)
    done, failed = speak(tmp_path / "text.wav", tmp_path / "wide.npy", tmp_path / "other.safetensors")
    assert done == 0 and len(failed) == 3
    said = " ".join(failed.values())
    assert (
        "(80, 5), expected (45, T)" in said
        and "{'hop_length': 100}, the checkpoint's are of {'hop_length': 80}" in said
    )
    with pytest.raises(ConfigError, match="no such file"):
        speak(tmp_path / "absent.wav")
    with pytest.raises(ConfigError, match="no trained vocoder"):
        load_vocoder(tmp_path)
