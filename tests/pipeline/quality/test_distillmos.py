"""DistillMOS against the package's own predictor, for clips of any length and rate."""

import numpy as np
import pytest
import torch

from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.quality import distillmos
from clean_corpus.pipeline.quality import scorer as scoring
from clean_corpus.pipeline.quality.batched_scorer import BatchedScorer
from clean_corpus.pipeline.quality.distillmos import CEILING, RATE, WINDOW, DistillMos, ruler
from tests.support import signals

package = pytest.importorskip("distillmos", reason="the extra `distillmos` is not installed")


@pytest.fixture(scope="module")
def own():
    return DistillMos()


def test_scores_are_those_of_the_package(own):
    theirs = package.ConvTransformerSQAModel().eval()
    x = signals.noisy_speech(9, 15.0, seed=3)
    for n in (1_600, 40_000, WINDOW - 1_000, WINDOW + 1):  # silence shared, not shared, two windows
        with torch.inference_mode():
            wanted = theirs(torch.from_numpy(x[:n])[None]).item()
        assert own(x[:n]) == pytest.approx(wanted, abs=1e-4)


def test_clips_side_by_side_score_as_each_does_alone(own, monkeypatch):
    """As on a GPU: windows of other lengths in one batch, silence shared and not, one clip of two windows."""
    monkeypatch.setattr(distillmos, "WINDOWS_AT_ONCE", 2)
    x = signals.noisy_speech(9, 15.0, seed=3)
    clips = [x[:n] for n in (40_000, WINDOW + 1, 1_600)]
    assert own.start(clips)() == pytest.approx([own(clip) for clip in clips], abs=1e-4)


def test_all_that_the_network_computes_with_is_on_its_device():
    """On torch's device without memory, which refuses to compute with what lies elsewhere, as a GPU does."""
    found = DistillMos("meta")._scores([np.zeros(n, np.float32) for n in (16_000, 1_600)])
    assert found.device.type == "meta" and found.shape == (2,)


def test_level_does_not_matter_and_nothing_is_printed(own, capfd):
    x = signals.speech(1, seed=1)
    assert own(x) == pytest.approx(own(0.05 * x), abs=1e-3)
    assert 1 < own(np.zeros(RATE, np.float32)) < CEILING
    DistillMos()
    assert capfd.readouterr() == ("", "")


def test_it_is_a_score_only_where_it_is_asked_for():
    x = resample(signals.noisy_speech(2, 15.0, seed=3), RATE, 24000)
    ruled = {naturalness: scoring.rulers("whole", naturalness=naturalness) for naturalness in (False, True)}
    assert ruled[True] == ruled[False] | {"distillmos": ruler()}
    scorer = scoring.Scorer(speech_threshold=0.5, dnsmos_windows="whole", naturalness=True)
    scores = scorer.score(x, sample_rate=24000)
    assert list(scores) == list(scoring.SCORES)
    side_by_side = BatchedScorer(speech_threshold=0.5, dnsmos_windows="whole", naturalness=True, device="cpu")
    assert side_by_side.score(x, sample_rate=24000) == pytest.approx(scores, abs=1e-3)
    assert scores["distillmos"] == pytest.approx(DistillMos()(resample(x, 24000, RATE)), abs=1e-4)
