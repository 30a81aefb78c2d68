"""Exports of a listening test: rows and files that cannot be used are named."""

import pytest

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.vocoder.listening.results import analyse
from tests.support.listening import COLUMNS, by_system, export, key_of, write_export

BROKEN = {
    "other study": ({"study": "s2"}, "a.csv, line 2: answers of study s2, the key is of s1; use its own key"),
    "out of range": ({"rating": "7"}, "rating '7' of listener 'a' is out of range, 1, 2, 3 expected"),
    "no number": ({"rating": "good"}, "rating 'good' of listener 'a' is out of range"),
    "not finite": ({"rating": "nan"}, "rating 'nan'"),
    "unknown trial": ({"trial": "t9"}, "trial 't9' with clip 'check0' is not in the key"),
    "no listener": ({"listener": " "}, "no listener"),
    "bad slot": ({"slot": "2"}, "slot '2', 1 to 1 expected"),
}


@pytest.mark.parametrize("change, message", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_row_that_cannot_be_is_named(tmp_path, keep, suffix, change, message):
    key = key_of()
    rows = export(key, "a", by_system(good=5, middle=3, bad=1))
    rows[0] |= change
    with pytest.raises(DataError) as error:
        analyse([write_export(tmp_path / f"a.{suffix}", rows)], keep(key))
    if suffix == "json":
        message = message.replace("a.csv, line 2", "a.json, row 1")
    assert message in str(error.value)


def test_a_rating_of_the_wrong_scale_is_out_of_range(tmp_path, keep):
    key = key_of()
    for rating in (0, 6, 2.5):
        rows = export(key, "a", lambda s, u, rating=rating: rating)
        with pytest.raises(DataError, match=f"rating '{rating}' .* 1, 2, 3, 4, 5 expected"):
            analyse([write_export(tmp_path / "a.csv", rows)], keep(key))


def test_one_listener_twice_is_refused(tmp_path, keep):
    key = key_of()
    rows = export(key, "a", by_system(good=5, middle=3, bad=1))
    files = [write_export(tmp_path / "1.csv", rows), write_export(tmp_path / "2.json", rows)]
    with pytest.raises(DataError, match=r"listener 'a' is in .*1\.csv and in .*2\.json"):
        analyse(files, keep(key))
    with pytest.raises(DataError, match=r"3\.csv: listener 'a' answered trial check0 twice"):
        analyse([write_export(tmp_path / "3.csv", rows + rows)], keep(key))
    both = rows + export(key, "b", by_system(good=4, middle=3, bad=2))
    assert analyse([write_export(tmp_path / "4.csv", both)], keep(key)).listeners == ["a", "b"]


def test_files_that_are_no_exports_are_named(tmp_path, keep):
    key = keep(key_of())
    rows = export(key_of(), "a", by_system(good=5, middle=3, bad=1))
    path = write_export(tmp_path / "a.csv", [{k: v for k, v in row.items() if k != "rating"} for row in rows])
    with pytest.raises(DataError, match=r"a\.csv: no column rating, found study, mode, listener"):
        analyse([path], key)
    for text, message in {
        "": "no column study",
        ",".join(COLUMNS): "holds no answers",
        "{": "broken JSON",
        "[1]": "no list of rows",
        '{"rows": []}': "holds no answers",
        '{"rows": [{"study": "s1"}]}': "row 1: no listener, trial",
        "study;listener\ns1;a\n": "with commas",
    }.items():
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            analyse([path], key)
    path.write_bytes(b"study\xff")
    with pytest.raises(DataError, match="no UTF-8"):
        analyse([path], key)
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        analyse([tmp_path / "nowhere.csv"], key)
    path.write_text(
        "\N{ZERO WIDTH NO-BREAK SPACE}" + write_export(tmp_path / "b.csv", rows).read_text()
    )  # as Excel saves
    assert analyse([path], key).listeners == ["a"]
