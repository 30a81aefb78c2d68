"""The Lightning module: its loss is the network's, and one that is not finite stops the training."""

import pytest
import torch

from clean_corpus.vocoder.training.config import VocoderConfig
from clean_corpus.vocoder.training.module import VocoderModule
from clean_corpus.vocoder.training.segments import CONTEXT
from tests.support.wavenets import small_wavenet


def module():
    return VocoderModule(small_wavenet(), VocoderConfig(), torch.zeros(45, 0), None)


def test_the_loss_is_the_mean_over_samples():
    batch = torch.rand(2, 80) - 0.5, torch.randn(2, 45, 10 + 2 * CONTEXT), torch.tensor([0, 1])
    expected = small_wavenet().nll(batch[0], batch[1], context=CONTEXT).mean()
    assert module().loss(batch).item() == pytest.approx(expected.item())


def test_a_loss_that_is_not_finite_names_its_segments():
    class AtStepSeven(VocoderModule):
        current_epoch, global_step = 2, 7

    broken = AtStepSeven(small_wavenet(), VocoderConfig(steps_per_epoch=10, batch_size=2), torch.zeros(45, 0), None)
    batch = torch.zeros(2, 80), torch.full((2, 45, 10 + 2 * CONTEXT), torch.nan), torch.tensor([0, 1])
    with pytest.raises(FloatingPointError, match=r"loss nan at step 7, segments 46\.\.47 of seed 0"):
        broken.training_step(batch, 3)
