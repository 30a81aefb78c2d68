"""Segments of clips: their frames are those of the whole clip, and segment i depends on seed and i."""

import numpy as np
import torch

from clean_corpus.pipeline.training.shard_stream import clips
from clean_corpus.vocoder.features import SILENCE, LogMel
from clean_corpus.vocoder.training.segments import CONTEXT, Segments, cut_frames, cut_segment, middle_segments
from tests.support.tones import tone


def test_a_cut_has_the_frames_of_the_whole_clip():
    mel, x = LogMel(), tone(200)
    samples, log_mel = cut_frames(x, mel, 50, 20)
    assert np.array_equal(samples.numpy(), x[50 * 80 : 70 * 80])
    whole = mel(torch.as_tensor(x)[None])[0]
    assert torch.allclose(log_mel, whole[:, 50 - CONTEXT : 70 + CONTEXT], atol=1e-4)  # other batch, other rounding


def test_silence_surrounds_a_clip():
    """Frames beside it are silent whole, though their windows would reach into it."""
    mel, x = LogMel(), tone(200, 0.0995)[100:]  # 19 frames, the last one in part
    samples, log_mel = cut_frames(x, mel, 0, 30)
    assert np.array_equal(samples.numpy(), np.pad(x, (0, 2400 - len(x)))) and log_mel.shape == (45, 30 + 2 * CONTEXT)
    silent = (log_mel == SILENCE).all(0)
    assert silent[:CONTEXT].all() and silent[CONTEXT + 19 :].all() and not silent[CONTEXT : CONTEXT + 19].any()
    assert torch.equal(log_mel[:, 0], torch.full((45,), 1e-10).log())


def test_a_segment_begins_with_its_history_and_never_before_the_clip_and_ends_after_what_counts():
    mel, x = LogMel(), tone(200)
    for start, begin in ((50, 11), (39, 0), (10, 0), (0, 0)):
        samples, log_mel, first = cut_segment(x, mel, start, 20, 39, 3)
        assert first == start - begin and log_mel.shape == (45, 20 + 39 + 3 + 2 * CONTEXT)
        assert np.array_equal(samples.numpy(), x[begin * 80 : (begin + 62) * 80])


def test_a_segment_depends_on_seed_and_number_alone(shards):
    def segments(seed):
        return Segments(
            shards,
            LogMel(),
            lambda clip: True,
            ["s0", "s1"],
            frames=20,
            history=5,
            ahead=2,
            seed=seed,
            length=6,
            shuffle_clips=4,
        )

    first, again, other = segments(0), segments(0), segments(1)
    items = [first[i] for i in range(12)]
    assert all(torch.equal(a, b) for i in (11, 3, 4) for a, b in zip(items[i], again[i], strict=True))
    assert any(not torch.equal(items[i][0], other[i][0]) for i in range(12))
    assert items[0][0].shape == (2160,) and items[0][1].shape == (45, 27 + 2 * CONTEXT)
    assert {int(item[3]) for item in items} == {0, 1} and max(int(item[2]) for item in items) == 5


def test_validation_hears_the_middle_of_a_clip_after_its_history(shards):
    clip = next(clips(shards[0]))
    (samples,), _, (first,) = middle_segments([clip], LogMel(), 20, 39, 3)
    whole = clip.decode(16000)  # 200 frames
    assert first == 39 and np.array_equal(samples.numpy(), whole[(90 - 39) * 80 : 113 * 80])
