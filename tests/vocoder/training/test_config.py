"""Settings of a training: features with half the rate as limit, and values that are refused."""

import pytest
from pydantic import ValidationError

from clean_corpus.vocoder.training.config import VocoderConfig


def test_frames_reach_half_the_rate_unless_set():
    config = VocoderConfig.model_validate({"features": {"sample_rate": 24000, "hop_length": 120}})
    assert config.features.log_mel().f_max_hz == 12000
    assert VocoderConfig.model_validate({"features": {"f_max_hz": 7600}}).features.log_mel().f_max_hz == 7600


@pytest.mark.parametrize(
    "setting",
    [
        {"validation_share": 0}, {"halve_after": 0}, {"stepz": 3}, {"keep": "first"}, {"steps": 0}, {"batch_size": 0},
        {"learning_rate": -1}, {"patience": 0}, {"ema_decay": 1}, {"seed": -1}, {"features": {"hop_length": 0}},
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_refused(setting):
    with pytest.raises((ValidationError, ValueError)):
        VocoderConfig.model_validate(setting)
