"""The review page's paths: the table, facets and histograms, a clip and its sounds; and words for what is wrong."""

import io
import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from clean_corpus.flows.review import queries
from tests.flows.review.conftest import ANNE, BAD, BOB, LOW

CLIP = BOB.clip_ids()[1]


def asked(**filter_):
    return {"filter": json.dumps(filter_)}


def ids(page, **parameters):
    return [clip["clip_id"] for clip in page.get("api/clips", params=parameters).json()["clips"]]


def test_the_corpus_says_what_can_be_asked_of_it(read_page):
    facts = read_page.get("api/corpus").json()
    assert (facts["version"], facts["clips"], facts["reviewer"]) == (1, 9, "anna")
    assert facts["kept_hours"] == pytest.approx(5 * 0.5 / 3600)
    scores = {score["name"]: score for score in facts["scores"]}
    assert (scores["dnsmos_ovrl"]["setting"], scores["dnsmos_ovrl"]["threshold"]) == ("gate.dnsmos_ovrl_min", 2.4)
    assert scores["clipping_ratio"]["better"] == "low" and scores["raw_snr_db"]["of"] == "raw"
    assert "cer" not in scores, "no clip has it"


def test_the_table_is_filtered_by_facets_words_and_ranges(read_page):
    rejected = read_page.get("api/clips", params=asked(**{"is": {"verdict": ["rejected"]}})).json()
    assert rejected["total"] == 3 and rejected["kept_hours"] == 0
    (low,) = [clip for clip in rejected["clips"] if clip["reason"] == "snr_db"]
    assert (low["clip_id"], low["speaker"], low["folder"]) == (LOW.clip_ids()[0], "", "anne")
    nobody = asked(**{"is": {"speaker": [""], "verdict": ["rejected"]}})
    assert read_page.get("api/clips", params=nobody).json()["total"] == 2
    assert read_page.get("api/clips", params=asked(**{"is": {"speaker": ["nobody"]}})).json()["total"] == 0
    assert read_page.get("api/clips", params=asked(search="WORDS bob")).json()["total"] == 3
    assert read_page.get("api/clips", params=asked(ranges={"snr_db": [2.9, None]})).json()["total"] == 7
    assert read_page.get("api/clips", params=asked(ranges={"duration_s": [None, 0.1]})).json()["total"] == 2


def test_pages_are_sorted_and_a_seed_draws_the_same_clips(read_page):
    everything = ids(read_page)
    assert everything == sorted(everything) and len(everything) == 9
    assert ids(read_page, offset=2, limit=3) == everything[2:5]
    assert ids(read_page, sort="clip_id", descending=True) == everything[::-1]
    drawn = ids(read_page, sort="random", seed=3)
    assert sorted(drawn) == everything and drawn == ids(read_page, sort="random", seed=3) != ids(
        read_page, sort="random", seed=4
    )
    assert ids(read_page, sort="duration_s")[:2] == [c for c in everything if "bad" in c or "still" in c]


def test_a_facet_is_counted_under_all_other_filters(read_page):
    facets = read_page.get("api/facets", params=asked(**{"is": {"verdict": ["rejected"]}})).json()
    assert [(v["value"], v["clips"]) for v in facets["verdict"]["values"]] == [
        ("kept", 5),
        ("rejected", 3),
        ("failed", 1),
    ]
    assert {v["value"]: v["clips"] for v in facets["reason"]["values"]} == {
        "near_duplicate": 1,
        "no_speech": 1,
        "snr_db": 1,
    }
    assert facets["decided"] == {"count": 1, "values": [{"value": "", "clips": 3, "hours": pytest.approx(1 / 3600)}]}


def test_a_facet_of_many_values_says_how_many_there_are(read_page, monkeypatch):
    monkeypatch.setattr(queries, "MAX_VALUES", 2)
    verdict = read_page.get("api/facets").json()["verdict"]
    assert verdict["count"] == 3 and [one["value"] for one in verdict["values"]] == ["kept", "rejected"]


def test_a_histogram_is_of_all_clips_and_of_those_under_the_other_filters(read_page):
    parameters = asked(**{"is": {"verdict": ["kept"]}}, ranges={"snr_db": [9, None]}) | {"bins": 10}
    found = read_page.get("api/histograms", params=parameters).json()
    assert len(found["snr_db"]["edges"]) == 11 and sum(found["snr_db"]["clips"]) == 7
    assert sum(found["snr_db"]["under_filter"]) == 5, "its own range does not count"
    assert sum(found["dnsmos_sig"]["under_filter"]) == 0
    assert "bins 7" in read_page.get("api/histograms", params={"bins": 7}).json()["error"]


def test_a_clip_is_shown_with_what_lies_around_it(read_page):
    clip = read_page.get(f"api/clips/{CLIP}").json()
    assert (clip["offset_s"], clip["end_s"], clip["recording_s"], clip["around"]) == (1.0, 1.5, 2.5, False)
    assert [(other["clip_id"], other["verdict"]) for other in clip["neighbours"]] == [
        (BOB.clip_ids()[0], "kept"), (BOB.clip_ids()[2], "kept"),
    ]  # fmt: skip
    assert clip["scores_raw"]["snr_db"] == clip["scores_enhanced"]["snr_db"] == 3.0
    assert {"name", "threshold", "setting"} < clip["thresholds"][0].keys()
    assert clip["versions"]["raw"]["available"] and clip["decisions"] == []
    assert read_page.get("api/clips/nobody").json() == {"error": "version 1 has no clip 'nobody'"}


def test_both_versions_of_a_clip_are_heard_and_seen(read_page):
    gains = read_page.get(f"api/clips/{CLIP}").json()["versions"]
    for version in ("raw", "enhanced"):
        answer = read_page.get(f"api/clips/{CLIP}/audio/{version}")
        x, sample_rate = soundfile.read(io.BytesIO(answer.content))
        assert (len(x), sample_rate, answer.headers["content-type"]) == (8000, 16000, "audio/wav")
        assert np.abs(x).max() * 10 ** (gains[version]["gain_db"] / 20) <= 1
        part = read_page.get(f"api/clips/{CLIP}/audio/{version}", headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, answer.content[10:20])
        assert part.headers["content-range"] == f"bytes 10-19/{len(answer.content)}"
        picture = Image.open(io.BytesIO(read_page.get(f"api/clips/{CLIP}/spectrogram/{version}").content))
        assert picture.size == (101, 257)
        peaks = read_page.get(f"api/clips/{CLIP}/peaks/{version}", params={"width": 8}).json()
        assert len(peaks["low"]) == 8 and peaks["duration_s"] == 0.5
        assert max(peaks["high"]) == pytest.approx(x.max(), abs=1e-4)
    behind = read_page.get(f"api/clips/{CLIP}/audio/raw", headers={"Range": "bytes=99999999-"})
    assert behind.status_code == 416 and "the audio has 16044 bytes" in behind.json()["error"]
    absent = read_page.get(f"api/clips/{BAD.clip_ids()[0]}/audio/raw")
    assert absent.status_code == 404 and absent.json()["error"].endswith("no raw version: there is none")


def test_without_work_the_published_version_is_heard(page, store):
    for key in list(store.walk("work/raw")) + list(store.walk("work/enhanced")):
        store.delete(key)
    versions = page.get(f"api/clips/{ANNE.clip_ids()[0]}").json()["versions"]
    assert (versions["raw"]["available"], versions["enhanced"]["available"]) == (False, True)
    answer = page.get(f"api/clips/{ANNE.clip_ids()[0]}/audio/raw").json()
    assert "its tar in work/ is gone; `clean-corpus run` makes it anew" in answer["error"]


WRONG = (
    ("api/clips?filter={", "filter: no JSON"),
    ("api/clips?filter=" + "[" * 30000, "filter: nested too deeply"),
    ('api/clips?filter={"what":1}', "filter: what: Extra inputs are not permitted"),
    ('api/clips?filter={"is":{"shoe":["a"]}}', "filter: is.shoe: no such facet; there are verdict"),
    ('api/clips?filter={"ranges":{"1=1; --":[0,1]}}', "filter: 1=1; --: no clip has this score"),
    ('api/clips?filter={"moved":{"gate.prefer":1}}', "moved: gate.prefer is no threshold"),
    ("api/clips?sort=clip_id; DROP TABLE clips", "sort 'clip_id; DROP TABLE clips': no such order"),
    ("api/clips?limit=501", "query.limit: Input should be less than or equal to 500"),
    ("api/thresholds?moved=nonsense", "moved: no JSON"),
)


def test_a_wrong_request_is_told_in_a_sentence(read_page):
    for path, words in WRONG:
        answer = read_page.get(path)
        assert answer.status_code == 400 and words in answer.json()["error"], path
