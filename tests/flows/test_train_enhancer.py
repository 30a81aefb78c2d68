"""The command that trains, as a user runs it: a process with a server of its own, killed, continued and interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from clean_corpus.enhancers.training import recipes
from clean_corpus.enhancers.training.train import TrainConfig, train
from clean_corpus.flows import local_server
from clean_corpus.flows import train_enhancer as training
from clean_corpus.flows.cli import app
from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.audio.synthetic import coloured_noise

SETTINGS = {
    "epochs": 4, "steps_per_epoch": 1, "batch_size": 2, "validation_pairs": 2, "pesq_pairs": 0, "workers": 0,
    "sizes": {"channels": [4, 4, 4, 4, 8]}, "mix": {"seconds": 0.5, "room_share": 0},
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Tones as speech, pink noise as noise, and a configuration of four steps of a tiny network."""
    root, rng, time_s = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0), np.arange(16000) / 16000
    for kind in ("speech", "noise", "empty"):
        (root / kind).mkdir()
    for i in range(3):
        tone = 0.3 * np.sin(2 * np.pi * 200 * (i + 1) * time_s)
        encode.write_wav(root / "speech" / f"{i}.wav", tone.astype(np.float32), 16000)
        encode.write_wav(root / "noise" / f"{i}.wav", 0.1 * coloured_noise(rng, 16000, slope=1), 16000)
    (root / "tiny.yaml").write_text(json.dumps(SETTINGS))  # JSON is YAML
    return root


def arguments(corpus, out, name="cgcrn", config="tiny.yaml"):
    folders = ["--speech", corpus / "speech", "--noise", corpus / "noise", "--out", out]
    return list(map(str, ["train-enhancer", name, *folders, "--config", corpus / config]))


@pytest.fixture
def begin(corpus, start, tmp_path):
    """Start the training, with as many threads as this process: sums in another order would differ."""
    return lambda *more: start(
        *arguments(corpus, tmp_path / "out"), *more, OMP_NUM_THREADS=str(torch.get_num_threads())
    )


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.002)


def test_killed_midway_and_run_again_gives_the_same_weights(corpus, begin, tmp_path):
    """Killed after its first checkpoint; the twin is trained in this process without a stop."""
    process = begin()
    wait_for(tmp_path / "out" / "checkpoints" / "0-final" / "last.ckpt", process)
    os.kill(process.pid, signal.SIGKILL)
    text, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, text
    assert not (tmp_path / "out" / "best.safetensors").exists(), "it was over before it was killed"

    process = begin("--set", "workers=1")  # in a process of its own, which must end without a word too
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "Traceback" not in text, text
    assert text.splitlines()[-1] == f"weights: {tmp_path / 'out' / 'best.safetensors'}"
    assert "recipe cgcrn, paper [000]" in text and "step 4/4, val/si_sdr" in text
    assert "step 1/4" not in text, "it began anew"

    settings = recipes.settings(recipes.load_recipe("cgcrn"), SETTINGS)
    twin = train("cgcrn", [corpus / "speech"], [corpus / "noise"], tmp_path / "twin", settings)
    expected, weights = load_file(twin), load_file(tmp_path / "out" / "best.safetensors")
    assert expected.keys() == weights.keys()
    assert all(torch.equal(expected[name], weights[name]) for name in weights)


def test_ctrl_c_ends_it_at_once_and_says_how_to_continue(begin):
    process = begin()
    assert process.stdout.readline() == "starting\n"
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    text, _ = process.communicate(timeout=20)
    assert process.returncode == 130 and time.monotonic() - began < 5
    assert text.strip() == "interrupted; the same command continues from the last checkpoint"


TWO_PROCESSES = {"PL_TRAINER_ACCELERATOR": "cpu", "PL_TRAINER_DEVICES": "2", "PL_TRAINER_STRATEGY": "ddp"}


def test_two_processes_train_what_one_does_with_twice_the_batch(corpus, start, tmp_path):
    """As on two GPUs: each process has its half of an epoch's pairs, gradients are averaged, one of them speaks."""
    name = "nsnet"  # without BatchNorm, whose statistics each process has of its own
    settings = SETTINGS | {"sizes": {"layers": 1}, "clip_norm": None, "optimizer": "adam"}
    (tmp_path / "two.yaml").write_text(json.dumps(settings))
    process = start(*arguments(corpus, tmp_path / "two", name, tmp_path / "two.yaml"), **TWO_PROCESSES)
    text, _ = process.communicate(timeout=200)
    assert process.returncode == 0 and "Traceback" not in text, text
    assert [text.count(said) for said in ("starting", "recipe", "step 4/4", "weights: ")] == [1] * 4, text

    doubled = recipes.settings(recipes.load_recipe("dccrn-dns"), settings | {"batch_size": 4})
    twin = train(name, [corpus / "speech"], [corpus / "noise"], tmp_path / "one", doubled)
    expected, weights = load_file(twin), load_file(tmp_path / "two" / "best.safetensors")
    for key, value in expected.items():
        assert torch.allclose(weights[key], value, atol=1e-5, rtol=1e-4), key


@pytest.fixture
def without_server(monkeypatch):
    """The command in this process, its flow's function called as it is."""
    monkeypatch.setattr(local_server, "server", nullcontext)
    monkeypatch.setattr(local_server, "configure", lambda: None)
    monkeypatch.setattr(training, "train_row", training.train_row.fn)
    monkeypatch.setattr(training, "train_enhancer", training.train_enhancer.fn)


def run(monkeypatch, given):
    monkeypatch.setattr(sys, "argv", ["clean-corpus", *given])
    with pytest.raises(SystemExit) as end:
        app.main()
    return end.value.code


def test_two_trainings_in_one_folder_are_refused(corpus, tmp_path, without_server, monkeypatch, capsys):
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        assert run(monkeypatch, arguments(corpus, tmp_path / "out")) == 2
    assert "another training writes there" in capsys.readouterr().err.replace("\n", " ")


def test_what_is_given_reaches_the_training(corpus, tmp_path, without_server, monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(training.train, "train", lambda *given: seen.append(given) or Path("weights"))
    more = ["--recipe", "dccrn", "--budget", "2", "--rirs", str(corpus), "--set", "mix.room_share=1"]
    assert run(monkeypatch, [*arguments(corpus, tmp_path / "out"), *more]) == 0
    name, speech, noise, out, config, say = seen[0]
    assert (name, speech, noise, out) == ("cgcrn", [str(corpus / "speech")], [str(corpus / "noise")], tmp_path / "out")
    assert (config.budget_min, config.epochs, config.lr_schedule) == (2, 4, "halve_on_plateau")
    assert (config.mix.rirs, config.mix.room_share, config.mix.seconds) == (str(corpus), 1, 0.5)
    say("a line")
    printed = capsys.readouterr()
    assert "a line" in printed.err and printed.out == "weights: weights\n"


def test_a_loss_that_is_not_finite_is_one_line(corpus, tmp_path, without_server, monkeypatch, capsys):
    def fails(*_):
        raise FloatingPointError("loss nan at step 3")

    monkeypatch.setattr(training.train, "train", fails)
    assert run(monkeypatch, arguments(corpus, tmp_path / "out")) == 1
    assert "loss nan at step 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"cgcrn": "cgcnr"}, 2, "did you mean 'cgcrn'?"),
        ({"{in}/speech": "{in}/absent"}, 2, "--speech {in}/absent: no such folder or .tar"),
        ({"{in}/noise": "{in}/none/*.tar"}, 1, "--noise {in}/none/*.tar: matches no .tar"),
        ({"{in}/tiny.yaml": "{in}/no.yaml"}, 2, "no such file"),
        ({"+": ["--recipe", "cgcnr"]}, 2, "recipe 'cgcnr' is not one of"),
        ({"+": ["--set", "mix.secnds=1"]}, 2, "unknown key 'mix.secnds'; did you mean 'seconds'?"),
        ({"{in}/speech": "{in}/empty"}, 1, "below {in}/empty; check --speech"),
        ({"+": ["--rirs", "{in}/absent", "--set", "mix.room_share=1"]}, 2, "{in}/absent: no such folder"),
        ({"+": ["--rirs", "{in}/empty", "--set", "mix.room_share=1"]}, 1, "below {in}/empty; check --rirs"),
        ({"+": ["--set", "sizes.chanels=1"]}, 2, "size 'chanels'"),
        ({"{out}": "{in}/tiny.yaml"}, 2, "{in}/tiny.yaml: cannot be written"),
    ],
)
def test_wrong_arguments_end_with_one_clear_line(
    corpus, tmp_path, without_server, monkeypatch, capsys, change, code, words
):
    def place(text):
        return text.replace("{in}", str(corpus)).replace("{out}", str(tmp_path / "out"))

    given = [*arguments(corpus, tmp_path / "out"), *map(place, change.get("+", []))]
    changed = {place(old): place(new) for old, new in change.items() if old != "+"}
    assert run(monkeypatch, [changed.get(a, a) for a in given]) == code
    assert place(words) in capsys.readouterr().err.replace("\n", "")


@pytest.mark.parametrize(("asked", "recipe"), [(None, "dccrn"), ("dccrn-dns", "dccrn-dns")])
def test_a_deployed_training_is_as_a_recipe_says_but_for_what_was_set(monkeypatch, tmp_path, asked, recipe):
    seen = []
    monkeypatch.setattr(training, "train_row", lambda *given: seen.append(given[-1]) or given[-2] / "best.safetensors")
    training.train_enhancer.fn("dccrn-e", ["s"], ["n"], tmp_path, TrainConfig(batch_size=3), asked)
    assert seen == [recipes.settings(recipes.load_recipe(recipe), {"batch_size": 3})]
