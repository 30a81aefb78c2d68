"""Segments of clips: their frames are those of the whole clip, and segment i depends on seed and i."""

import numpy as np
import torch

from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.training.segments import CONTEXT, Segments, cut_segment
from tests.support.tones import tone


def test_a_segment_has_the_frames_of_the_whole_clip():
    mel, x = LogMel(), tone(200)
    samples, log_mel = cut_segment(x, mel, 50, 20)
    assert np.array_equal(samples.numpy(), x[50 * 80 : 70 * 80])
    whole = mel(torch.as_tensor(x)[None])[0]
    assert torch.allclose(log_mel, whole[:, 50 - CONTEXT : 70 + CONTEXT], atol=1e-4)  # other batch, other rounding


def test_silence_surrounds_a_clip():
    mel, x = LogMel(), tone(200, 0.1)  # 20 frames
    samples, log_mel = cut_segment(x, mel, 0, 30)
    assert np.array_equal(samples.numpy(), np.pad(x, (0, 800))) and log_mel.shape == (45, 30 + 2 * CONTEXT)
    assert torch.equal(log_mel[:, 0], torch.full((45,), 1e-10).log())


def test_a_segment_depends_on_seed_and_number_alone(shards):
    def segments(seed):
        return Segments(
            shards, LogMel(), lambda clip: True, ["s0", "s1"], frames=20, seed=seed, length=6, shuffle_clips=4
        )

    first, again, other = segments(0), segments(0), segments(1)
    items = [first[i] for i in range(12)]
    assert all(torch.equal(a, b) for i in (11, 3, 4) for a, b in zip(items[i], again[i], strict=True))
    assert any(not torch.equal(items[i][0], other[i][0]) for i in range(12))
    assert items[0][0].shape == (1600,) and items[0][1].shape == (45, 20 + 2 * CONTEXT)
    assert {int(item[2]) for item in items} == {0, 1}
