"""Tests of sets of clips against each other, on values whose answer is known."""

import pytest

from clean_corpus.pipeline.core.statistics import holm


def test_holm_never_falls_with_rank():
    assert holm([0.03, 0.01, 0.02]) == [pytest.approx(0.04), pytest.approx(0.03), pytest.approx(0.04)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
