"""Decisions on the page: stored at once, undone, of two reviewers, published; and a version that is older."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from clean_corpus.flows.commands import decisions as command
from clean_corpus.flows.commands.decisions import words_of
from clean_corpus.flows.review import corpus, deciding
from clean_corpus.pipeline.corpus import decisions, versions
from clean_corpus.pipeline.corpus.decisions import Review
from clean_corpus.pipeline.corpus.republish import Change
from tests.flows.review.conftest import ANNE, BAD, BOB, COPY, LOW, SILENT, page_over

ONE, LOW_CLIP = ANNE.clip_ids()[0], LOW.clip_ids()[0]


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr(command, "write_report", lambda store, manifest: None)


def decide(page, what, *clip_ids, value=None):
    answer = page.post("api/decisions", json={"clip_ids": clip_ids, "what": what, "value": value})
    assert answer.status_code == 200, answer.text
    return answer.json()


def publish(page):
    return page.post("api/publish", json={})


def test_what_is_decided_is_stored_at_once_shown_and_published(page, store):
    said = decide(page, "reject", ONE, *BOB.clip_ids()[:2], value="a door slams")
    assert [entry["clip_id"] for entry in said["stored"]] == [ONE, *BOB.clip_ids()[:2]] and said["pending"][
        "clips"
    ] == 3
    assert said["clips"][0]["verdict"] == "kept", "the version is what it was"
    assert said["clips"][0]["decided"] | {"at": ""} == {
        "verdict": "reject", "why": "a door slams", "chosen": None, "text": None, "speaker": None, "corrected": [],
        "note": None, "by": "anna", "at": "", "words": "reject",
    }  # fmt: skip
    assert len(decisions.load(store)) == 3
    decide(page, "keep", LOW_CLIP)
    decide(page, "text", LOW_CLIP, value="Half past nine.")
    decide(page, "note", COPY.clip_ids()[0], value="hear again")
    pending = page.get("api/pending").json()
    assert pending["clips"] == 5 and pending["hours"] == pytest.approx(-2 * 0.5 / 3600) and pending["left"] == []
    effects = {change["clip_id"]: change for change in pending["changes"]}
    assert effects[LOW_CLIP]["words"] == "keep, text" and effects[LOW_CLIP]["by"] == "anna"
    assert effects[LOW_CLIP]["effect"][0] == "kept instead of rejected"
    assert effects[LOW_CLIP]["effect"][-1].startswith('text "Half past nine." instead of "words of')
    kept = {"filter": json.dumps({"is": {"decided": ["keep, text"]}})}
    assert [clip["clip_id"] for clip in page_over(store).get("api/clips", params=kept).json()["clips"]] == [LOW_CLIP]
    facets = page.get("api/facets").json()["decided"]["values"]
    assert {value["value"]: value["clips"] for value in facets} == {"": 4, "reject": 3, "keep, text": 1, "note": 1}

    assert publish(page).json() == {"version": 2, "changed": 5, "left": []}
    facts = page.get("api/corpus").json()
    assert (facts["version"], facts["pending"]["clips"]) == (2, 0)
    clip = page.get(f"api/clips/{LOW_CLIP}").json()
    assert (clip["verdict"], clip["text"], clip["gate_reason"]) == ("kept", "Half past nine.", "snr_db")
    assert [(entry["what"], entry["stands"]) for entry in clip["decisions"]] == [("keep", True), ("text", True)]
    again = publish(page)
    assert again.status_code == 400 and "version 2 has all decisions already" in again.json()["error"]
    first = page_over(store, version=1).get(f"api/clips/{LOW_CLIP}").json()
    assert (first["verdict"], first["decided"]["words"]) == ("rejected", "keep, text")


def test_an_emptied_note_is_gone_from_the_page_and_from_the_next_version(page, store):
    decide(page, "note", ONE, value="hear again")
    assert publish(page).json()["changed"] == 1
    (clip,) = decide(page, "note", ONE, value="")["clips"]
    assert clip["decided"] is None
    assert page.get("api/facets").json()["decided"]["values"] == [
        {"value": "", "clips": 9, "hours": pytest.approx(3.5 / 3600)}
    ]
    assert publish(page).json()["changed"] == 1
    assert page.get(f"api/clips/{ONE}").json()["review_note"] is None


def test_a_decision_is_undone_by_its_id_or_as_ones_last(page, store):
    (kept,) = decide(page, "keep", LOW_CLIP)["stored"]
    raw = decide(page, "use_raw", LOW_CLIP, ONE)
    assert raw["clips"][0]["decided"]["words"] == "use_raw"
    assert decide(page, "undo", LOW_CLIP, ONE)["clips"][0]["decided"]["words"] == "keep"
    (clip,) = decide(page, "undo", LOW_CLIP, value=kept["id"])["clips"]
    assert clip["decided"] is None and page.get("api/pending").json()["changes"] == []
    for value, words in ((None, "no decision of anna that stands"), (kept["id"], f"no decision {kept['id']} that")):
        answer = page.post("api/decisions", json={"clip_ids": [ONE], "what": "undo", "value": value})
        assert answer.status_code == 400 and words in answer.json()["error"]
    assert len(decisions.load(store)) == 6


def test_what_cannot_be_decided_stores_nothing(page, store):
    for clip_ids, what, value, words in (
        ([ONE, BAD.clip_ids()[0]], "keep", None, "its recording was not read, so nobody decides over it"),
        ([ONE, "nobody"], "keep", None, "version 1 has no clip 'nobody'"),
        ([ONE], "love", None, "decision: what: Input should be 'keep'"),
        ([ONE], "keep", "why", "a remark is a note"),
        ([], "keep", None, "body.clip_ids: List should have at least 1 item"),
        ([ONE], "text", "x" * 100_001, "decision: value: String should have at most 100000 characters"),
    ):
        answer = page.post("api/decisions", json={"clip_ids": clip_ids, "what": what, "value": value})
        assert answer.status_code in (400, 404) and words in answer.json()["error"]
    assert not list(store.keys("decisions"))
    decide(page, "keep", SILENT.clip_ids()[0])
    (left,) = page.get("api/pending").json()["left"]
    assert left == {"clip_id": SILENT.clip_ids()[0], "why": "nobody can keep it: it has no audio: speech_s 0 < 0.3"}


def test_two_reviewers_at_once_lose_nothing_and_see_each_other(page, store, monkeypatch):
    monkeypatch.setattr(deciding, "LOOK_S", 0.0)
    other = page_over(store)
    other.opened.corpus.deciding.reviewer = "bert"
    clips = [*BOB.clip_ids(), ONE, LOW_CLIP]

    def work(reviewer):
        for clip_id in clips * 4:
            decide(reviewer, "note", clip_id, value=f"{clip_id} {reviewer is page}")

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(work, (page, other)))
    assert len(decisions.load(store)) == 2 * 4 * len(clips)
    for reviewer in (page, other):
        assert reviewer.get("api/pending").json()["clips"] == len(clips)
        history = reviewer.get(f"api/clips/{ONE}").json()["decisions"]
        assert [entry["by"] for entry in history].count("anna") == [e["by"] for e in history].count("bert") == 4


@pytest.fixture
def at_once(monkeypatch):
    """Pages look for what others did at every request."""
    monkeypatch.setattr(deciding, "LOOK_S", 0.0)
    monkeypatch.setattr(corpus, "LOOK_S", 0.0)


def test_a_version_of_another_process_is_opened_and_nothing_of_it_is_pending(page, store, at_once):
    """Of another reviewer, who publishes what both decided, or of a night's run."""
    other = page_over(store)
    decide(page, "reject", ONE)
    assert (other.get("api/corpus").json()["version"], other.get("api/pending").json()["clips"]) == (1, 1)
    decide(other, "reject", BOB.clip_ids()[0])
    assert publish(page).json()["version"] == 2
    assert other.get("api/clips").json()["version"] == 2
    facts, pending = other.get("api/corpus").json(), other.get("api/pending").json()
    assert (facts["version"], facts["pending"]["clips"], pending["version"], pending["clips"]) == (2, 0, 2, 0)
    decide(other, "keep", LOW_CLIP)
    assert publish(other).json() == {"version": 3, "changed": 1, "left": []}


def test_a_publishing_that_finds_nothing_left_opens_the_version_that_has_it(page, store):
    other = page_over(store)
    decide(page, "reject", ONE)
    publish(page)
    answer = publish(other)  # which has not looked since it was opened
    assert answer.status_code == 400 and "version 2 has all decisions already" in answer.json()["error"]
    assert other.get("api/pending").json() == {"version": 2, "changes": [], "clips": 0, "hours": 0, "left": []}


def test_a_new_version_is_looked_for_every_few_seconds_at_most_and_read_once(page, store, monkeypatch):
    looks, read = [], []
    monkeypatch.setattr(versions, "numbers", lambda store: looks.append(1) or [1])
    monkeypatch.setattr(corpus, "Corpus", lambda *_: read.append(1))
    for _ in range(5):
        page.get("api/corpus")
        page.get("api/clips")
        page.get("api/pending")
    assert (len(looks), read) == (0, []), "it was opened just now"
    monkeypatch.setattr(corpus, "LOOK_S", 0.0)
    page.get("api/corpus")
    assert (len(looks), read) == (1, [])


def test_a_version_that_somebody_asked_for_stays(page, store, at_once):
    first = page_over(store, version=1)
    decide(page, "reject", ONE)
    publish(page)
    assert first.get("api/corpus").json()["version"] == 1


def test_a_death_amid_publishing_is_made_good_by_the_next(page, store, monkeypatch):
    decide(page, "reject", ONE)
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(command, "write_report", lambda *_: raise_(SystemExit))
        page.opened.publish()
    assert versions.numbers(store) == [1, 2] and store.size("run.json") is None
    assert publish(page_over(store)).json() == {"version": 2, "changed": 0, "left": []}
    assert json.loads(store.read("run.json"))["version"] == 2


def raise_(error):
    raise error


def test_a_run_on_the_output_is_waited_for(page, store):
    decide(page, "reject", ONE)
    with store.only_run():
        answer = publish(page)
    assert answer.status_code == 400 and "another run is writing there" in answer.json()["error"]
    assert publish(page).json()["version"] == 2


def test_what_a_decision_does_is_said_in_plain_words():
    old = {"verdict": "kept", "chosen": "enhanced", "speaker": "bob", "text": None}

    def words(**new):
        return list(words_of(Change(old, old | new, Review())))

    assert words(chosen="raw") == ["the raw version instead of the enhanced one"]
    assert words(verdict="rejected", chosen=None) == ["rejected instead of kept"]
    assert words(speaker=None, text="So.") == ["no speaker instead of bob", 'text "So."']
    assert words(speaker="anna") == ["speaker anna instead of bob"]
    back = Change(old | {"verdict": "rejected", "chosen": None}, old, None)
    assert list(words_of(back)) == ["kept instead of rejected", "the enhanced version", "taken back"]
