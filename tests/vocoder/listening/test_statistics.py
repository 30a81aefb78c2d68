"""Statistics of constructed answers whose means, intervals and tests are known beforehand."""

import numpy as np
import pytest
from scipy import stats

from clean_corpus.vocoder.listening.results import analyse
from clean_corpus.vocoder.listening.statistics import interval
from tests.support.listening import by_system, export, key_of, write_export


def test_interval_of_independent_ratings_is_that_of_the_t_distribution():
    """With one listener, only utterances are drawn: the bootstrap of a mean; 5 % for its own randomness."""
    x = np.random.default_rng(1).normal(50, 10, (1, 200))
    low, high = interval(x)
    t_low, t_high = stats.t.interval(0.95, 199, x.mean(), stats.sem(x[0]))
    assert (high - low) == pytest.approx(t_high - t_low, rel=0.05)
    assert (low + high) / 2 == pytest.approx(x.mean(), abs=0.2)
    assert interval(np.array([[3.0]])) == (None, None)


def test_preferences_and_their_binomial_test(tmp_path, keep):
    key = key_of("ab", systems=["good", "bad"])

    def prefer(rank):
        """u0 sounds the same to all; on the others `good` wins, or on the last one `bad`."""
        return lambda s, u: 0.5 if u == "u0" else float((s == "good") != (u == "u5" and rank == 1))

    files = [write_export(tmp_path / f"{i}.csv", export(key, f"l{i}", prefer(i))) for i in range(2)]
    (row,) = analyse(files, keep(key)).preferences
    assert row[:5] == ("good", "bad", 9, 2, 1)
    assert row.share == 0.9
    assert row.p == pytest.approx(2 * 11 / 2**10)  # 9 or 10 of 10, or as far on the other side
    assert row.low == pytest.approx(stats.beta.ppf(0.025, 9, 2)) and row.high == pytest.approx(
        stats.beta.ppf(0.975, 10, 1)
    )


def test_the_reference_comes_second_in_its_pairs(tmp_path, keep):
    key = key_of("mushra", reference="good")
    fine = export(key, "fine", by_system(good=100, middle=62, bad=0))
    results = analyse([write_export(tmp_path / "1.csv", fine)], keep(key))
    assert {score.system: score.mean for score in results.scores} == {"good": 100, "middle": 62, "bad": 0}
    assert [row.against for row in results.comparisons] == ["bad", "good", "good"]
