"""Pairs; measures against public implementations; statistics against answers known beforehand."""

import math
import warnings
from pathlib import Path

import mir_eval
import numpy as np
import pesq
import pystoi
import pytest
import torch
from scipy import stats
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio, signal_distortion_ratio

from clean_corpus.enhancers import evaluation
from clean_corpus.enhancers.evaluation import METRICS, NOISY
from clean_corpus.enhancers.pairs import Condition, Pair
from clean_corpus.pipeline.core.errors import DataError
from tests.support import signals

RATE = 16000
ALL = Condition("all", "")
COLUMN = list(METRICS).index("stoi")


@pytest.fixture(scope="module")
def scorer() -> evaluation.PairScorer:
    return evaluation.PairScorer()


@pytest.fixture(scope="module")
def noisy_and_clean() -> tuple[np.ndarray, np.ndarray]:
    return signals.noisy_speech(2.5, 8.0, seed=3), signals.speech(2.5, seed=3)


@pytest.fixture(scope="module")
def scores(scorer, noisy_and_clean):
    return scorer.score(*noisy_and_clean)


def pairs_of(n: int) -> list[Pair]:
    return [Pair(f"{i}", Path(), Path(), ("babble", "rain")[i % 2], (0, 10)[i * 2 // n]) for i in range(n)]


def table(column: list[float]) -> np.ndarray:
    """Values where STOI alone was measured."""
    values = np.full((len(column), len(METRICS)), np.nan)
    values[:, COLUMN] = column
    return values


# ---- measures ----------------------------------------------------------------------------------------------------


def test_every_measure_has_a_value_of_speech(scores):
    assert list(scores) == [name for name in evaluation.metrics(False) if name not in evaluation.IMPROVEMENTS]
    assert all(type(value) is float for value in scores.values())


def test_measures_agree_with_public_implementations(scores, noisy_and_clean):
    noisy, clean = noisy_and_clean
    as_tensors = [torch.from_numpy(x.astype(np.float64)) for x in noisy_and_clean]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        (theirs,), *_ = mir_eval.separation.bss_eval_sources(clean[None], noisy[None], compute_permutation=False)
    # the same sums in another order
    assert scores["sdr_db"] == pytest.approx(theirs, abs=1e-6)
    assert scores["sdr_db"] == pytest.approx(signal_distortion_ratio(*as_tensors).item(), abs=1e-6)
    si_sdr = scale_invariant_signal_distortion_ratio(*as_tensors, zero_mean=True).item()
    assert scores["si_sdr_db"] == pytest.approx(si_sdr, abs=1e-6)
    # the packages themselves, whose last bit depends on where in memory an array begins
    assert scores["pesq_wb"] == pesq.pesq(RATE, clean, noisy, "wb")
    assert scores["pesq_nb_lqo"] == pesq.pesq(RATE, clean, noisy, "nb")
    assert scores["stoi"] == pytest.approx(pystoi.stoi(clean, noisy, RATE), abs=1e-9)
    assert scores["estoi"] == pytest.approx(pystoi.stoi(clean, noisy, RATE, extended=True), abs=1e-9)
    assert scores["global_snr_db"] == pytest.approx(8.0, abs=1e-4)  # as mixed, in float32


def test_raw_pesq_is_what_p862_1_maps(scores):
    mapped = 0.999 + 4 / (1 + math.exp(-1.4945 * scores["pesq_nb"] + 4.6607))
    assert mapped == pytest.approx(scores["pesq_nb_lqo"], abs=1e-9)


def test_a_clean_clip_reaches_the_ceilings(scorer, noisy_and_clean):
    _, clean = noisy_and_clean
    scores = scorer.score(clean, clean)
    assert scores["pesq_nb"] == pytest.approx(4.5, abs=1e-3)
    assert scores["pesq_wb"] == pytest.approx(4.644, abs=1e-3)
    assert [scores[name] for name in ("stoi", "estoi")] == pytest.approx([1, 1], abs=1e-6)
    assert [scores[name] for name in ("si_sdr_db", "sdr_db", "global_snr_db")] == [100, 100, 100]
    assert [scores[name] for name in ("csig", "cbak", "covl")] == [5, 5, 5]


def test_what_cannot_be_measured_is_empty(scorer, noisy_and_clean):
    _, clean = noisy_and_clean
    silence = np.zeros_like(clean)
    own = {name for name in METRICS if name.startswith("dnsmos")}
    assert {name for name, value in scorer.score(clean, silence).items() if value is not None} == own
    silent = scorer.score(silence, clean)
    assert {name for name, value in silent.items() if value is None} >= {"pesq_nb", "pesq_wb", "csig", "sdr_db", *own}
    assert silent["global_snr_db"] == 0
    assert set(scorer.score(clean[8000:8300], clean[8000:8300]).values()) >= {None}
    with pytest.raises(DataError, match=r"5 samples.* 6"):
        scorer.score(np.ones(5, np.float32), np.ones(6, np.float32))


def test_pesqi_is_the_gain_over_the_noisy_clip_and_empty_where_either_has_no_pesq():
    rows = {NOISY: [{"pesq_nb": 2.0}, {"pesq_nb": None}], "a": [{"pesq_nb": 2.5}, {"pesq_nb": 3.0}]}
    found = evaluation.with_improvements(rows)
    assert found == {
        NOISY: [{"pesq_nb": 2.0, "pesqi": 0.0}, {"pesq_nb": None, "pesqi": None}],
        "a": [{"pesq_nb": 2.5, "pesqi": 0.5}, {"pesq_nb": 3.0, "pesqi": None}],
    }


# ---- statistics --------------------------------------------------------------------------------------------------


def test_means_ofeach_snr_and_class_and_what_was_not_scored():
    pairs = pairs_of(4)  # babble 0, rain 0, babble 10, rain 10
    rows = evaluation.summarise({NOISY: table([1.0, 2.0, math.nan, 4.0])}, pairs)
    found = {row.condition: (row.clips, row.not_scored, row.mean) for row in rows if row.metric == "stoi"}
    assert found == {
        ALL: (4, 1, pytest.approx(7 / 3)),
        Condition("snr_db", "0"): (2, 0, 1.5),
        Condition("snr_db", "10"): (2, 1, 4.0),
        Condition("noise", "babble"): (2, 1, 1.0),
        Condition("noise", "rain"): (2, 0, 3.0),
    }
    assert {(row.clips, row.not_scored, row.mean) for row in rows if row.metric == "csig"} == {
        (4, 4, None),
        (2, 2, None),
    }


def test_the_interval_is_that_of_a_mean_and_the_sameeach_time():
    column = np.random.default_rng(1).normal(5.0, 2.0, 400).tolist()
    first, again = (evaluation.summarise({NOISY: table(column)}, pairs_of(400)) for _ in range(2))
    assert first == again
    (row,) = (row for row in first if row.metric == "stoi" and row.condition == ALL)
    half = 1.96 * np.std(column) / 20
    # quantiles of 2000 resamples stray by a few percent
    assert (row.mean - row.low, row.high - row.mean) == pytest.approx((half, half), rel=0.1)


def test_wilcoxon_is_paired_and_anova_is_not():
    pairs = pairs_of(20)
    noisy = np.linspace(0.1, 2.0, 20)
    gain = np.linspace(0.01, 0.02, 20)  # every clip gains a little: certain in pairs, drowned in the spread over clips
    values = {NOISY: table(noisy), "a": table(noisy + gain), "b": table(noisy)}
    tests = {
        (test.test, test.system, test.against): test
        for test in evaluation.compare(values, pairs)
        if test.metric == "stoi" and test.condition == ALL
    }
    assert set(tests) == {
        ("wilcoxon", "a", NOISY), ("wilcoxon", "b", NOISY), ("wilcoxon", "b", "a"),
        ("anova", "a", NOISY), ("anova", "a", "b"), ("anova", "a", "all"),
    }  # fmt: skip
    assert tests["wilcoxon", "a", NOISY].statistic == 0  # no difference has the other sign
    assert tests["wilcoxon", "a", NOISY].p == pytest.approx(2 / 2**20)  # the exact test: one of 2^20 signs, two-sided
    assert tests["wilcoxon", "b", NOISY][-3:] == (None, None, None)  # no difference at all
    assert tests["anova", "a", NOISY].p > 0.9
    assert tests["anova", "a", NOISY].critical == pytest.approx(stats.f.ppf(0.95, 1, 38))
    assert tests["anova", "a", "all"].clips == 60


def test_anova_by_hand():
    """Means 2 and 4 in groups of 3, squares within 2 + 2: F = (3 * 2 * 1) / (4 / 4) = 6."""
    values = {NOISY: table([1.0, 2.0, 3.0]), "a": table([3.0, 4.0, 5.0])}
    (test,) = (
        test
        for test in evaluation.compare(values, pairs_of(3))
        if (test.metric, test.condition, test.test, test.against) == ("stoi", ALL, "anova", NOISY)
    )
    assert test.statistic == pytest.approx(6.0)
    assert test.critical == pytest.approx(7.7086, abs=1e-4)  # F(1, 4) at 5 %, any table


def test_clips_that_one_system_lacks_leave_the_pair():
    values = {NOISY: table([1.0, math.nan, 3.0]), "a": table([2.0, 3.0, 5.0])}
    tests = [
        test for test in evaluation.compare(values, pairs_of(3)) if test.metric == "stoi" and test.condition == ALL
    ]
    assert {test.test: test.clips for test in tests if test.against == NOISY} == {"wilcoxon": 2, "anova": 5}
