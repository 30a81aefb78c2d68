"""The first pass over shards: hours, speakers, and frames whose mean is known."""

import numpy as np
import pytest
import torch

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.training.survey import survey
from tests.support.tones import tone, write_tones


def test_seconds_and_speakers_are_counted(shards):
    found = survey(shards, LogMel(), lambda clip: clip.key == "c0-0")
    assert (found.training_s, found.validation_s, found.speakers) == (23.0, 1.0, ("s0", "s1"))


def test_frames_of_training_clips_are_measured(tmp_path):
    """One clip to train on: mean and deviation of its own frames; 16 bits of a FLAC file allow for 1 %."""
    shard = write_tones(LocalStore(tmp_path), "a.tar", [200, 900])
    found = survey([shard], LogMel(), lambda clip: clip.key == "ca-1")
    frames = LogMel()(torch.as_tensor(tone(200))[None])[0]
    loud = frames.mean(1) > -10
    assert np.array(found.mean)[loud] == pytest.approx(frames.mean(1)[loud].numpy(), rel=0.01)
    assert np.array(found.std)[loud] == pytest.approx(frames.std(1)[loud].numpy(), rel=0.01)


def test_classes_of_training_clips_are_counted(tmp_path):
    shard = write_tones(LocalStore(tmp_path), "a.tar", [200, 900])
    found = survey(
        [shard], LogMel(), lambda clip: clip.key == "ca-1", lambda x: torch.tensor([(x > 0).sum(), x.numel()])
    )
    assert found.classes[1] == len(tone(200)) and found.classes[0] == pytest.approx(len(tone(200)) / 2, rel=0.03)


def test_a_side_without_a_clip_is_named(shards):
    for held_out, side in ((lambda clip: False, "validation"), (lambda clip: True, "training")):
        with pytest.raises(DataError, match=f"no clip is left for {side}"):
            survey(shards, LogMel(), held_out)


def test_a_higher_rate_is_resampled_and_a_lower_one_refused(shards, tmp_path):
    high, low = (write_tones(LocalStore(tmp_path), f"x{rate}.tar", [200], rate=rate) for rate in (48000, 8000))
    alone = survey(shards, LogMel(), lambda clip: clip.key == "c0-0")
    more = survey([*shards, high], LogMel(), lambda clip: clip.key == "c0-0")
    assert more.training_s > alone.training_s and np.allclose(more.mean, alone.mean, atol=1.0)
    with pytest.raises(DataError, match=r"flac has 8000 Hz, the features 16000 Hz, .*; set features\.sample_rate=8000"):
        survey([*shards, low], LogMel(), lambda clip: clip.key == "c0-0")
