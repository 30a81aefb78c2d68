"""Decisions: what entries come to, whose clip they find again, and that nothing of them gets lost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import decisions
from clean_corpus.pipeline.corpus.decisions import Decided, Entry
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.local import LocalStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def entry(what, value=None, *, second=0, offset_s=1.0, sha="a", **more):
    place = {"clip_id": "c", "source": "c.wav", "source_sha256": sha * 64, "offset_s": offset_s, "end_s": offset_s + 2}
    return Entry(at=NOON + timedelta(seconds=second), what=what, value=value, **{"by": "anna"} | place | more)


BUCKET = "decisions"


@pytest.fixture
def store(tmp_path):
    store = LocalStore(tmp_path / "out")
    store.prepare()
    return store


@pytest.fixture(params=["folder", "bucket"])
def place(request, store):
    """A store in a folder, and one in a bucket."""
    if request.param == "folder":
        return store
    request.getfixturevalue("client")
    return open_store(S3Folder(BUCKET, "out"), S3Config())


def test_of_each_field_the_last_entry_counts_whatever_order_they_are_read_in():
    entries = [
        entry("reject", "a door", second=1),
        entry("text", "One.", second=2),
        entry("use_raw", second=3, by="bob"),
        entry("text", " Two \n words", second=4, by="cleo"),
        entry("speaker", None, second=5),
    ]
    for some in (entries, entries[::-1]):
        review = Decided(some).of("a" * 64, 1.0, 3.0)
        assert (review.verdict, review.why, review.version) == ("keep", None, "raw")
        assert dict(review.fields) == {"text": "Two words", "speaker": None}
        assert (review.by, review.words) == ("anna", "use_raw, text, speaker")
    assert decisions.folded([*entries, entry("reject", second=9)]).verdict == "reject"


def test_an_undone_entry_does_not_count_and_an_undone_undo_does_not_either():
    first, second = entry("keep", second=1), entry("reject", "hum", second=2)
    undo = entry("undo", second.id, second=3)
    assert decisions.folded([first, second, undo]).verdict == "keep"
    assert decisions.folded([undo, first, second]).verdict == "keep", "a clock that is behind"
    again = entry("undo", undo.id, second=4)
    assert decisions.folded([first, second, undo, again]).why == "hum"
    assert decisions.folded([first, entry("undo", first.id, second=2)]) is None


@pytest.mark.parametrize("empty", ["", " \n", None])
def test_an_emptied_note_is_none_and_alone_no_decision(empty):
    first, emptied = entry("note", "a hum", second=1), entry("note", empty, second=2)
    assert decisions.folded([first, emptied]) is None
    found = decisions.folded([entry("keep"), first, emptied])
    assert (found.verdict, found.note) == ("keep", None)


def test_a_clip_is_found_by_content_and_cut():
    decided = Decided([entry("keep"), entry("reject", offset_s=4.0)])
    assert decided.of("a" * 64, 1.04, 2.97).verdict == "keep"
    assert decided.of("a" * 64, 4.0, 6.0).verdict == "reject"
    assert decided.of("a" * 64, 1.06, 3.0) is None and decided.of("b" * 64, 1.0, 3.0) is None
    assert decided.of(None, 1.0, 3.0) is None


def test_two_reviewers_at_once_lose_nothing_nor_do_many_objects_put_together(place, monkeypatch):
    monkeypatch.setattr(decisions, "MANY", 20)
    entries = [entry("note", str(n), second=n, by=f"r{n % 2}") for n in range(30)]
    with ThreadPoolExecutor(2) as reviewers:
        list(reviewers.map(lambda one: decisions.append(place, [one]), entries))
    reader = decisions.Reader(place)
    assert {e.id for e in reader.news()} == {e.id for e in entries} and reader.news() == []
    decisions.put_together(place)
    assert len(list(place.keys("decisions"))) == 1
    assert decisions.load(place).of("a" * 64, 1.0, 3.0).note == "29"
    assert len(decisions.load(place)) == 30


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "1.jsonl:2: is no JSON"),
        ("[]", "1.jsonl:2: is no JSON object, but list"),
        ('{"what": "kep"}', "1.jsonl:2: by: Field required"),
    ],
)
def test_a_line_that_is_no_decision_is_named(store, line, message):
    good = decisions.append(store, [entry("keep")])
    store.write("decisions/1.jsonl", store.read(good) + line.encode() + b"\n")
    with pytest.raises(DataError, match=message):
        decisions.load(store)


def test_values_are_where_they_belong():
    for what, value in (("keep", "why"), ("undo", None)):
        with pytest.raises(DataError, match=f"x:1: entry: .*{what}"):
            decisions.entry_of(entry("note").model_dump() | {"what": what, "value": value}, "x:1")
