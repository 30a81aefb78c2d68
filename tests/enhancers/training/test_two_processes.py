"""Trainings that two processes share: one process of twice the batch, where that is the same, or each other."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from clean_corpus.enhancers.domains.windows import WaveformWindows
from clean_corpus.enhancers.table import method
from clean_corpus.enhancers.training import train as training
from clean_corpus.enhancers.training.adversarial_steps import Adversarial
from clean_corpus.pipeline.training.loop import EpochSampler
from tests.support.small_networks import SMALL
from tests.support.two_processes import JOINED, in_two_processes

EACH, STEPS = 2, 2  # pairs of a process in a step, steps


@pytest.fixture(scope="module")
def pairs():
    torch.manual_seed(1)
    noisy, clean = 0.1 * torch.randn(2, 2 * EACH * STEPS, 16384)
    return list(zip(noisy, clean, strict=True))


@pytest.fixture(autouse=True)
def same_draws(monkeypatch):
    """Latents, and the points of the gradient penalty: drawn by each process, and not by what they stand for."""
    monkeypatch.setattr(WaveformWindows, "_draw", lambda self, empty, generator=None: empty.fill_(0.5))
    monkeypatch.setattr(torch, "rand", lambda *shape, device=None: torch.full(shape, 0.25, device=device))


def fit(name, pairs, batch_size, **trainer):
    """Train one epoch of STEPS steps; return weights and statistics of both players."""
    torch.manual_seed(0)
    row, config = method(name), training.TrainConfig(sizes=SMALL[name], batch_size=batch_size, steps_per_epoch=STEPS)
    module = Adversarial(row, row.schedule[-1], row.build(**config.sizes), config)
    devices = trainer.get("devices", 1)
    Trainer(
        **{"accelerator": "cpu", "devices": 1} | trainer, strategy=training.strategy(module, devices), max_epochs=1,
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False,
    ).fit(module, DataLoader(pairs, batch_size, sampler=EpochSampler(STEPS * batch_size)))  # fmt: skip
    return {name: value.numpy() for name, value in module.state_dict().items()}


def test_adversarial_rows_train_on_two_processes(pairs):
    order = [0, 1, 4, 5, 2, 3, 6, 7]  # rank 0 has the first half of an epoch, rank 1 the second

    def work(rank):
        bad = [*pairs[:6], *((torch.nan * noisy, clean) for noisy, clean in pairs[6:])]
        found = {name: fit(name, pairs, EACH, **JOINED) for name in ("wgan-glu", "segan")}
        with pytest.raises(FloatingPointError) as stopped:
            fit("wgan-glu", bad, EACH, **JOINED)
        return found, str(stopped.value)

    (first, error), (second, other_error) = in_two_processes(work)
    alone = fit("wgan-glu", [pairs[i] for i in order], 2 * EACH)
    for name, value in alone.items():
        if not name.startswith(("critic.mix.bias", "critic.score.bias")):  # no gradient but by rounding
            np.testing.assert_allclose(first["wgan-glu"][name], value, atol=2e-6, err_msg=name)
    for row in first:
        for name, value in first[row].items():
            if "running" not in name:  # BatchNorm's statistics, of a process's own last batch
                np.testing.assert_array_equal(second[row][name], value, err_msg=f"{row} {name}")
    assert error == other_error and "loss nan at step 1, pairs 6..7 of seed 0" in error
