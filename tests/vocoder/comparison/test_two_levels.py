"""Intervals over trainings and utterances: what they cover, on scores whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from clean_corpus.pipeline.core.statistics import mean
from clean_corpus.vocoder.comparison.two_levels import estimate


def crossed(rng, *, seed_sd, utterance_sd=0.1, noise_sd=0.1, shape=(3, 20), truth=0.0):
    """Scores of a crossed design: an effect of each training, of each utterance, and of each pair."""
    seeds, utterances = rng.standard_normal((shape[0], 1)), rng.standard_normal((1, shape[1]))
    return truth + seed_sd * seeds + utterance_sd * utterances + noise_sd * rng.standard_normal(shape)


@pytest.mark.parametrize("seed_sd", [0.0, 0.05, 0.3])
def test_an_interval_covers_the_truth_as_often_as_it_says(seed_sd):
    """Of 300 comparisons 95 % cover; 0.92 is 2.4 standard errors below. A bootstrap over all values misses seeds."""
    rng, covered, naive = np.random.default_rng(5), 0, 0
    for _ in range(300):
        values = crossed(rng, seed_sd=seed_sd)
        found = estimate(values)
        covered += found.low <= 0 <= found.high
        half = 1.96 * values.std(ddof=1) / np.sqrt(values.size)
        naive += abs(values.mean()) <= half
    assert covered >= 0.92 * 300
    if seed_sd == 0.3:
        assert naive < 0.5 * 300, "these scores do not show what seeds do"


def test_p_is_uniform_where_nothing_differs_and_falls_where_something_does():
    rng = np.random.default_rng(6)
    ps = [estimate(crossed(rng, seed_sd=0.1)).p for _ in range(200)]
    assert np.mean(np.array(ps) < 0.05) <= 0.08  # 5 % plus two standard errors
    assert estimate(crossed(rng, seed_sd=0.02, truth=0.5)).p < 0.01


@pytest.mark.parametrize("n_utterances", [2, 3, 5, 20])
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_few_utterances_show_no_more_than_they_can(n_seeds, n_utterances):
    """Where nothing differs, about 5 % have p below 0.05: 7.5 % is two standard errors above, of 300 comparisons."""
    rng = np.random.default_rng(7)
    found = [estimate(crossed(rng, seed_sd=0.0, shape=(n_seeds, n_utterances))) for _ in range(300)]
    assert np.mean([each.p < 0.05 for each in found]) <= 0.075
    assert np.mean([each.low <= 0 <= each.high for each in found]) >= 0.925


def test_known_spreads_have_known_intervals():
    """Utterances alike: the interval is Student's of the trainings' means. Trainings alike: that of utterances."""
    seeds = np.array([1.0, 1.2, 1.7])
    of_seeds = estimate(np.tile(seeds[:, None], (1, 10)))
    low, high = stats.t.interval(0.95, 2, seeds.mean(), stats.sem(seeds))
    assert (of_seeds.low, of_seeds.high) == pytest.approx((low, high), abs=0.08)  # of 10,000 draws
    utterances = np.random.default_rng(0).standard_normal(40)
    alike = estimate(np.tile(utterances, (3, 1)))
    once = estimate(utterances[None])
    assert alike == pytest.approx(once) and once.mean == pytest.approx(utterances.mean())
    assert (once.low, once.high) == pytest.approx(mean(utterances)[3:], abs=0.03)


def test_what_was_not_measured_does_not_count():
    values = np.array([[1.0, np.nan, 3.0], [2.0, 9.0, 4.0]])
    assert estimate(values).mean == 2.5, "an utterance counts where every training of it was measured"
    assert estimate(np.full((2, 3), np.nan)) == (None, None, None, None)
    assert estimate(np.array([[1.5]])) == (1.5, None, None, None)
    assert estimate(np.zeros((2, 3))) == (0, 0, 0, 1)
