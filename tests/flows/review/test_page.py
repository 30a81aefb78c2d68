"""The review page in a browser, by keyboard alone: find, hear, decide, publish, and find it kept."""

import json
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from selenium.webdriver.common.keys import Keys

from clean_corpus.flows.commands import decisions as command
from clean_corpus.pipeline.core.config import PipelineConfig, S3Config
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import decisions, versions
from clean_corpus.pipeline.corpus.reviewed import NO_REVIEWS, Reviews
from clean_corpus.pipeline.report.page import write_report
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support import ledgers
from tests.support.browser import chromium, set_width
from tests.support.forgettable import Take, write_corpus
from tests.support.review import Reviewer, served

BUCKET = "reviewed"
HOSTILE = "x \"y\" <script>window.hacked = 1<script><img src=x onerror='window.hacked = 1'>.wav"
LOW = [Take(f"low/{n:02}.wav", "bob", end="rejected", snr_db=2 + n / 2) for n in range(12)]
GROUPS = (
    LOW,
    [
        Take("anne/1.wav", "anne", snr_db=25),
        Take("anne/long.wav", "anne", clips=3, snr_db=30),
        Take(HOSTILE, "<b>eve</b>"),
    ],
    [Take("carl/bad.wav", "carl", end="failed"), Take("carl/still.wav", "carl", end="silent")],
)
LOW_IDS = [take.clip_ids()[0] for take in LOW]
WIDE = """[...document.querySelectorAll('body *:not(input, option, svg, svg *, .track, .track *)')].filter(e => {
    const { display, overflowX } = getComputedStyle(e);
    const isSeen = e.clientWidth && overflowX === 'visible' && !['inline', 'contents'].includes(display);
    return isSeen && e.scrollWidth > e.clientWidth + 1;
}).map(e => e.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        set_width(browser, 1280)
        yield browser


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr(command, "write_report", lambda store, manifest: None)


def written(store):
    store.prepare()
    write_corpus(store, *GROUPS, extra=False, reviews=NO_REVIEWS)
    return store


@pytest.fixture
def store(tmp_path, request):
    if getattr(request, "param", "folder") == "folder":
        return written(LocalStore(tmp_path / "out"))
    request.getfixturevalue("client")
    return written(open_store(S3Folder(BUCKET, "corpus"), S3Config()))


@pytest.fixture
def anna(browser, store):
    browser.get_log("browser")
    with served(store) as address:
        anna = Reviewer(browser, address)
        anna.open()
        yield anna
        browser.get("about:blank")


def ledger(store) -> dict[str, dict]:
    with store.opened("ledger.parquet") as file:
        return {row["clip_id"]: row for row in pq.read_table(file).to_pylist()}


def moved_apart(before, after) -> float:
    """How much further the place in a clip of half a second moved than time did, seconds."""
    return (after["position"] - before["position"] - (after["time"] - before["time"]) + 0.25) % 0.5 - 0.25


@pytest.mark.parametrize("store", ["folder", "bucket"], indirect=True)
def test_ten_clips_are_overruled_by_keyboard_with_a_reload_and_the_next_run_keeps_them(anna, store, tmp_path):
    anna.press("f")
    anna.run("document.querySelector('[data-key=\"verdict=rejected\"]').focus()")
    anna.press(" ")
    anna.until("document.getElementById('count').textContent.startsWith('13 clips')")
    anna.run("document.activeElement.blur()")
    anna.press("j", "k")
    anna.settle()
    assert anna.shown() == min([*LOW_IDS, GROUPS[2][1].clip_ids()[0]])
    anna.press("/", "low", Keys.ENTER)
    anna.until("document.getElementById('count').textContent.startsWith('12 clips')")
    anna.settle()

    anna.press("l", " ")  # half a second, over and over
    anna.until("document.getElementById('play').textContent.startsWith('Pause')")
    before = anna.heard()
    time.sleep(0.2)
    after = anna.heard()
    assert before["state"] == "running" and after["time"] > before["time"] and after["isPlaying"]
    assert moved_apart(before, after) == pytest.approx(0, abs=0.02)
    other = "raw" if after["version"] == "enhanced" else "enhanced"
    anna.press("x")
    time.sleep(0.2)
    switched = anna.heard()
    assert switched["version"] == other and switched["isPlaying"]
    assert moved_apart(after, switched) == pytest.approx(0, abs=0.02), "the place is kept"
    assert switched["gains"][other] > 0.3 and switched["gains"][after["version"]] < 0.01
    anna.press(" ", "l")

    anna.press("y", *"jyjyjyjy")
    anna.until("document.getElementById('pending-count').textContent === '5'")
    there = anna.shown()
    anna.browser.refresh()
    anna.until("document.body.dataset.ready")
    anna.settle()
    assert anna.shown() == there == LOW_IDS[4]
    assert anna.text("#count").startswith("12 clips") and anna.text("#decision .standing").startswith("Decided: keep")
    anna.press(*"jyjyjyjyjy")
    anna.until("document.getElementById('pending-count').textContent === '10'")
    anna.settle()
    assert anna.text("#saved") == "saved"
    anna.press("g", "p")
    anna.until("document.querySelector('#publish')")
    assert anna.text("#effect") == "10 clips would change, +5.0 s kept."
    anna.press("P")
    anna.until("document.getElementById('dialog').open")
    anna.press(Keys.ENTER)
    anna.until("document.getElementById('version').textContent === 'version 2'")
    anna.until("document.querySelector('#view-pending .empty')?.textContent === 'Version 2 has all decisions.'")
    anna.press("g", "c")
    anna.until("document.querySelector('#clip .badge')?.textContent === 'kept'")

    found = ledger(store)
    assert versions.latest(store).version == 2
    kept = {clip_id for clip_id, row in found.items() if row["reviewed"] == "keep" and row["verdict"] == "kept"}
    assert kept == set(LOW_IDS[:10]) and {row["reviewed_by"] for row in found.values()} == {"anna", None}
    assert {found[clip_id]["verdict"] for clip_id in LOW_IDS[10:]} == {"rejected"}
    again = LocalStore(tmp_path / "again")
    again.prepare()
    write_corpus(again, *GROUPS, extra=False, reviews=Reviews(decisions.load(store)))
    assert versions.latest(again).objects == versions.latest(store).objects, "a run comes to the same"
    assert anna.browser.get_log("browser") == []


def test_marked_clips_are_decided_together_and_taken_back(anna, store):
    anna.press("/", "low", Keys.ENTER)
    anna.until("document.getElementById('count').textContent.startsWith('12 clips')")
    anna.settle()
    anna.mark_down(2)
    anna.until("document.getElementById('marked').textContent.startsWith('3 clips marked')")
    anna.press("r")
    anna.until("document.getElementById('dialog').open")
    anna.press("a door slams", Keys.ENTER)
    anna.until("document.getElementById('toast').textContent.startsWith('Saved: reject: 3 clips')")
    entries = list(decisions.load(store).last_entries())
    assert sorted((entry.clip_id, entry.what, entry.value, entry.by) for entry in entries) == [
        (clip_id, "reject", "a door slams", "anna") for clip_id in LOW_IDS[:3]
    ]
    anna.press("u")
    anna.until("document.getElementById('toast').textContent.startsWith('Undone')")
    assert not list(decisions.load(store).last_entries())
    anna.press(Keys.ESCAPE, "2", "t")
    anna.press(Keys.END, " indeed", Keys.ENTER)
    anna.until("document.querySelector('#saved')?.textContent === 'saved'")
    anna.until("document.querySelectorAll('#history li:not(.undone)').length === 2")
    anna.press("s", "cleo", Keys.ENTER, "c")
    anna.until("document.getElementById('dialog').open")
    anna.press("hear again", Keys.ENTER)
    anna.until("document.querySelector('#decision .quoted')?.textContent === 'hear again'")
    review = decisions.load(store).of(*place(ledger(store)[LOW_IDS[2]]))
    assert review.words == "use_enhanced, text, speaker" and review.note == "hear again"
    assert review.fields == {"text": "words of low/02.wav 0 indeed", "speaker": "cleo"}
    anna.press("k", "t", Keys.END, " too")  # before the rest of the clip is there
    anna.settle()
    anna.press("!", Keys.ENTER)
    anna.until("document.querySelectorAll('#history li:not(.undone)').length === 1")
    review = decisions.load(store).of(*place(ledger(store)[LOW_IDS[1]]))
    assert review.fields == {"text": "words of low/01.wav 0 too!"}
    assert anna.browser.get_log("browser") == []


def place(row):
    return row["source_sha256"], row["offset_s"], row["offset_s"] + row["duration_s"]


def test_hostile_names_are_text_and_every_view_fits_wide_and_narrow_screens(anna):
    anna.press("/", "script", Keys.ENTER)
    anna.until("document.getElementById('count').textContent.startsWith('1 clip,')")
    anna.settle()
    (clip_id,) = GROUPS[1][2].clip_ids()
    assert anna.shown() == clip_id and anna.run("document.getElementById('speaker').value") == "<b>eve</b>"
    assert anna.run("document.getElementById('text').value") == f"words of {HOSTILE} 0"
    assert anna.text(".origin .note bdi") == HOSTILE
    anna.press("y")
    anna.until("document.querySelector('#saved')?.textContent === 'saved'")
    for width in (1280, 390):
        set_width(anna.browser, width)
        for key in "tpac":
            anna.press("g", key)
            anna.until("document.querySelector('.view:not([hidden]) :is(h2, .row)')")
            assert anna.run(WIDE) == [], (width, key)
            assert anna.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width], key
    anna.press(Keys.ENTER)
    anna.until("document.getElementById('clip').offsetWidth > 300")
    assert anna.run(WIDE) == [] and anna.run("document.getElementById('middle').offsetWidth") == 0
    set_width(anna.browser, 1280)
    assert anna.run("window.hacked ?? null") is None
    assert anna.run("document.querySelectorAll('img[src=x], b b').length") == 0
    assert anna.browser.get_log("browser") == []


def test_a_threshold_is_moved_heard_and_taken(anna):
    anna.press("g", "t")
    anna.until("document.querySelector('#kept-then')")
    now = anna.text("#kept-now")
    slider = "document.querySelector('[data-key=\"gate.snr_db_min\"]')"
    anna.run(f"{slider}.focus()")
    anna.press(Keys.HOME)
    anna.until("document.getElementById('kept-then').textContent !== document.getElementById('kept-now').textContent")
    assert (anna.text("#entering"), anna.text("#leaving"), anna.text("#kept-now")) == ("12", "0", now)
    anna.run("document.getElementById('take').focus()")
    anna.press(Keys.ENTER)
    anna.until("document.querySelector('#dialog pre')")
    settings = yaml.safe_load(anna.text("#dialog pre"))
    moved = json.loads(anna.run("new URLSearchParams(location.hash.slice(1)).get('moved')"))
    assert settings["gate"]["snr_db_min"] == moved["gate.snr_db_min"]
    assert PipelineConfig.model_validate({"gate": settings["gate"]})
    anna.press(Keys.ESCAPE)
    anna.run("document.getElementById('hear').focus()")
    anna.press(Keys.ENTER)
    anna.settle()
    anna.until("document.getElementById('count').textContent.startsWith('12 clips')")
    assert anna.text("#chips").startswith("Between old and new thresholds")
    assert anna.browser.get_log("browser") == []


def test_a_clip_of_the_static_report_leads_to_its_place_here(anna, store, tmp_path):
    row = ledgers.clip(LOW_IDS[3], "rejected", before=2.0, after=2.0, chosen="enhanced", reason="snr_db")
    table = ledgers.ledger(tmp_path, [row])
    write_report(table, ledgers.run_of(), Path(store.root, "report"), ledgers.audio)
    anna.browser.find_element("link text", "Report").click()
    anna.until("document.querySelector('.card h4 a')")
    assert "../#clip=" in anna.run("document.querySelector('.card h4 a').getAttribute('href')")
    anna.run("document.querySelector('.card h4 a').click()")
    anna.until("document.body.dataset.ready")
    anna.settle()
    assert anna.text("#clip h2") == LOW_IDS[3]
    assert anna.browser.get_log("browser") == []


FAILING = """(() => {
    window.real ??= window.fetch;
    window.fetch = (where, options) => options?.method === "POST"
        ? Promise.resolve(new Response(JSON.stringify({error: "the disk is full; make room"}), {status: 409}))
        : window.real(where, options);
})()"""


def test_a_refusal_is_a_sentence_and_nothing_is_lost(anna, store):
    anna.run(FAILING)
    anna.press("y")
    anna.until("document.querySelector('#saved')?.textContent === 'not saved'")
    assert anna.text("#alarm span") == "the disk is full; make room"
    anna.run("window.fetch = window.real")
    anna.run("document.querySelector('#alarm button').click()")
    anna.until("document.querySelector('#saved')?.textContent === 'saved'")
    assert len(list(decisions.load(store).last_entries())) == 1 and anna.run("document.getElementById('alarm').hidden")
    anna.run("window.fetch = () => Promise.reject(new TypeError())")
    anna.run("document.getElementById('direction').click()")
    anna.until("!document.getElementById('alarm').hidden")
    assert "does not answer" in anna.text("#alarm span")


MANY = """(() => {
    const real = window.fetch;
    window.fetch = async (where, options) => {
        if (!String(where).startsWith("api/clips?")) return real(where, options);
        const asked = new URL(where, location.href).searchParams, offset = Number(asked.get("offset"));
        const kept = {text: null, verdict: "kept", duration_s: 1, scores: {}, decided: null};
        const length = Math.min(100, 1e6 - offset);
        const clips = Array.from({length}, (_, n) => ({...kept, clip_id: `clip-${offset + n}`}));
        return new Response(JSON.stringify({version: 1, total: 1e6, hours: 1, kept_hours: 1, clips}));
    };
    document.getElementById("direction").click();
})()"""


SEEN = """(() => {
    const [row, grid] = ["#rows .cursor", "#grid"].map(one => document.querySelector(one).getBoundingClientRect());
    return grid.top <= row.top && row.bottom <= grid.bottom + 1;
})()"""  # the cursor, whole
DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
FIRST = """[...document.querySelectorAll("#rows .row")].find(
    row => row.getBoundingClientRect().bottom > document.getElementById("grid").getBoundingClientRect().top + 40
).querySelector(".id")?.textContent"""


@pytest.mark.parametrize("is_long", [False, True], ids=["short", "a million"])
def test_a_bar_above_the_rows_hides_no_cursor_and_moves_no_row(anna, is_long):
    anna.run("document.getElementById('alarm').style.height = '90px'")
    if is_long:
        anna.run(MANY)
        anna.until("document.getElementById('count').textContent.startsWith('1,000,000 clips')")
    else:
        anna.run("document.body.style.height = '500px'")  # fewer rows are seen than there are
    for keys in (Keys.END, "k", Keys.HOME, "jj"):
        anna.press(keys)
        for is_hidden in (False, True, False, True):
            anna.run(f"document.getElementById('alarm').hidden = {json.dumps(is_hidden)}")
            anna.run(DRAWN)  # a bar that goes and comes within a frame is seen by nobody, and by no observer of sizes
            anna.until(SEEN)
    anna.run("document.getElementById('grid').scrollTop = document.getElementById('grid').scrollHeight / 3")
    anna.run(DRAWN)
    first = anna.run(FIRST)
    for is_hidden in (False, True):
        anna.run(f"document.getElementById('alarm').hidden = {json.dumps(is_hidden)}")
        anna.run(DRAWN)
        assert anna.run(FIRST) == first


def test_a_million_rows_are_scrolled_and_walked(anna):
    anna.run(MANY)
    anna.until("document.getElementById('count').textContent.startsWith('1,000,000 clips')")
    for key, clip in ((Keys.END, "clip-999999"), ("k", "clip-999998"), (Keys.HOME, "clip-0"), ("j", "clip-1")):
        anna.press(key)
        anna.until(f"document.querySelector('#rows .cursor .id')?.textContent === '{clip}'")
        anna.until(SEEN)
    anna.run("document.getElementById('grid').scrollTop = document.getElementById('grid').scrollHeight / 2")
    anna.until("/^clip-(49|50)/.test(document.querySelector('#rows .row .id')?.textContent)")
