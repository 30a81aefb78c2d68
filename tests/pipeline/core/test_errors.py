"""Errors that a user can act on: their family, and the nearest known word."""

import pytest

from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError, DataError, nearest


def test_every_error_of_ours_is_reported_without_a_traceback_and_only_wrong_settings_are_exit_code_2():
    assert issubclass(ConfigError, CleanCorpusError) and issubclass(DataError, CleanCorpusError)
    assert not issubclass(DataError, ConfigError)


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("cgcnr", ["crn", "cgcrn"], "; did you mean 'cgcrn'?"),
        ("cgcrn", ["crn", "cgcrn"], "; did you mean 'cgcrn'?"),
        ("snr_min", {"snr_db_min": 1, "snr_db_max": 2}, "; did you mean 'snr_db_min'?"),
        ("it's", ["its", "it's not"], "; did you mean 'its'?"),
        ("wavenet", ["crn", "nsnet"], ""),
        ("", ["crn"], ""),
        ("crn", [], ""),
    ],
)
def test_the_nearest_word_is_offered_where_one_is_near(word, known, hint):
    assert nearest(word, known) == hint


def test_words_may_come_one_by_one():
    assert nearest("gat", (name for name in ("audio", "gate"))) == "; did you mean 'gate'?"
