"""Results of constructed answers, from exports of both formats to scores and comparisons."""

import pytest

from clean_corpus.vocoder.listening.results import analyse
from tests.support.listening import export, key_of, write_export


def test_known_means_intervals_and_tests(tmp_path, keep):
    """good is 5 for one and 4 for the other, middle 3 on even and 4 on odd utterances, bad 1 always."""
    key = key_of()

    def rate(good):
        return lambda s, u: {"good": good, "middle": 3 + int(u[1:]) % 2, "bad": 1}[s]

    files = [
        write_export(tmp_path / "a.csv", export(key, "a", rate(5))),
        write_export(tmp_path / "b.json", export(key, "b", rate(4))),
    ]
    results = analyse(files, keep(key))
    assert (results.listeners, results.excluded) == (["a", "b"], {})
    scores = {score.system: score for score in results.scores}
    assert {system: score.mean for system, score in scores.items()} == {"good": 4.5, "middle": 3.5, "bad": 1.0}
    assert all(score.ratings == 12 for score in results.scores)
    assert scores["bad"][3:] == (1.0, 1.0)  # nothing varies
    assert scores["good"][3:] == (4.0, 5.0)  # two listeners of whom both draws may be the same
    assert 3.0 <= scores["middle"].low < 3.3 and 3.7 < scores["middle"].high <= 4.0
    tests = {(row.system, row.against): row for row in results.comparisons}
    # all 6 utterances say the same: the least p that 6 signs can give
    assert tests["good", "bad"].p == pytest.approx(2 * 0.5**6)
    assert tests["good", "bad"].p_holm == pytest.approx(3 * 2 * 0.5**6)
    assert tests["good", "middle"].difference == pytest.approx(1.0)
