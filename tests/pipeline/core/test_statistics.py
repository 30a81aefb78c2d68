"""Means and tests of columns whose answer is known."""

import numpy as np
import pytest

from clean_corpus.pipeline.core.statistics import anova, holm, mean, wilcoxon


def test_a_mean_lies_in_its_interval_and_what_was_not_scored_is_counted():
    clips, unscored, middle, low, high = mean(np.array([1.0, 2.0, 3.0, np.nan]))
    assert (clips, unscored, middle) == (4, 1, 2.0)
    assert low < middle < high
    assert mean(np.array([1.0, 2.0, 3.0, np.nan])) == (clips, unscored, middle, low, high), "the same each time"


@pytest.mark.parametrize("n_clips", [2, 3, 5, 20])
def test_an_interval_holds_the_mean_as_often_as_it_says(n_clips):
    """Of 200 sets 95 % do, however few the clips; 0.92 is two standard errors below."""
    rng = np.random.default_rng(3)
    bounds = [mean(rng.standard_normal(n_clips))[3:] for _ in range(200)]
    assert np.mean([low <= 0 <= high for low, high in bounds]) >= 0.92


def test_of_too_few_clips_there_is_no_interval():
    assert mean(np.array([np.nan])) == (1, 1, None, None, None)
    assert mean(np.array([2.0])) == (1, 0, 2.0, None, None)
    assert mean(np.array([2.0, 2.0])) == (2, 0, 2.0, 2.0, 2.0)


def test_ranks_of_pairs():
    a = np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    assert wilcoxon(a, a) == (5, None, None)
    count, statistic, p = wilcoxon(a + 1, a)
    assert (count, statistic) == (5, 0.0) and p == pytest.approx(2 / 2**5), "all five differ in one direction"


def test_groups_that_differ_and_groups_that_cannot_be_compared():
    near, far = np.array([1.0, 2.0, 3.0]), np.array([11.0, 12.0, 13.0])
    count, f, p, critical = anova([near, far])
    # between: 2 * 3 * 5**2 = 150 of 1 degree; within: 4 of 4 degrees
    assert (count, f) == (6, pytest.approx(150.0)) and p < 0.001 and critical == pytest.approx(7.71, abs=0.01)
    for groups in ([near], [near, np.array([np.nan])], [np.ones(3), np.ones(3)]):
        assert anova(groups)[1:] == (None, None, None)


def test_holm_never_falls_with_rank():
    assert holm([0.03, 0.01, 0.02]) == [pytest.approx(0.04), pytest.approx(0.03), pytest.approx(0.04)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
