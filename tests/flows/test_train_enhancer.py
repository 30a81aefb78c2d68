"""The flow that trains an enhancer: as a user runs it, killed, continued and interrupted; and as a function."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from clean_corpus.enhancers.training import recipes
from clean_corpus.enhancers.training.config import TrainConfig
from clean_corpus.enhancers.training.train import train
from clean_corpus.flows import train_enhancer as training
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from tests.support.trainings import SETTINGS, training_arguments, write_training_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_training_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def begin(corpus, start, tmp_path):
    """Start the training, with as many threads as this process: sums in another order would differ."""
    return lambda *more: start(
        *training_arguments(corpus, tmp_path / "out"), *more, OMP_NUM_THREADS=str(torch.get_num_threads())
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


@pytest.fixture
def one_thread():
    """Sums of several threads have another order, and Adam makes of that what it likes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_two_processes_train_what_one_does_with_twice_the_batch(corpus, start, tmp_path):
    """Each process has its half of an epoch's pairs, gradients are averaged, one of them speaks."""
    name = "nsnet"  # without BatchNorm, whose statistics each process has of its own
    settings = SETTINGS | {"sizes": {"layers": 1}, "clip_norm": None, "optimizer": "adam"}
    (tmp_path / "two.yaml").write_text(json.dumps(settings))
    asked = training_arguments(corpus, tmp_path / "two", name, tmp_path / "two.yaml")
    slurm = {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}  # of a job
    process = start(*asked, "--set", "processes=2", OMP_NUM_THREADS="1", **slurm)
    text, _ = process.communicate(timeout=200)
    assert process.returncode == 0 and "Traceback" not in text, text
    assert [text.count(said) for said in ("starting", "recipe", "step 4/4", "weights: ")] == [1] * 4, text
    assert "lightning" not in text and "RANK" not in text

    doubled = recipes.settings(recipes.load_recipe("dccrn-dns"), settings | {"batch_size": 4})
    twin = train(name, [corpus / "speech"], [corpus / "noise"], tmp_path / "one", doubled)
    expected, weights = load_file(twin), load_file(tmp_path / "two" / "best.safetensors")
    for key, value in expected.items():
        assert torch.allclose(weights[key], value, atol=1e-5, rtol=1e-4), key


@pytest.fixture
def flow(monkeypatch, corpus, tmp_path):
    """The flow as a function: no server. Called on the corpus and the test's folder."""
    monkeypatch.setattr(training, "train_row", training.train_row.fn)
    folders = [str(corpus / "speech")], [str(corpus / "noise")], tmp_path / "out"
    return lambda: training.train_enhancer.fn("cgcrn", *folders, TrainConfig())


def test_two_trainings_in_one_folder_are_refused(flow, tmp_path):
    (tmp_path / "out").mkdir()
    with (
        FileLock(tmp_path / "out" / ".lock"),
        pytest.raises(ConfigError, match=f"^output {tmp_path}/out: another training writes there"),
    ):
        flow()


def test_a_loss_that_is_not_finite_is_an_error_of_the_program(flow, tmp_path, monkeypatch):
    def fails(*_):
        raise FloatingPointError("loss nan at step 3")

    monkeypatch.setattr(training.train, "train", fails)
    with pytest.raises(CleanCorpusError, match=f"^training of cgcrn in {tmp_path}/out: loss nan at step 3") as refused:
        flow()
    assert not isinstance(refused.value, ConfigError)


@pytest.mark.parametrize(("asked", "recipe"), [(None, "dccrn"), ("dccrn-dns", "dccrn-dns")])
def test_a_deployed_training_is_as_a_recipe_says_but_for_what_was_set(monkeypatch, tmp_path, asked, recipe):
    seen = []
    monkeypatch.setattr(training, "train_row", lambda *given: seen.append(given[-1]) or given[-2] / "best.safetensors")
    training.train_enhancer.fn("dccrn-e", ["s"], ["n"], tmp_path, TrainConfig(batch_size=3), asked)
    assert seen == [recipes.settings(recipes.load_recipe(recipe), {"batch_size": 3})]
