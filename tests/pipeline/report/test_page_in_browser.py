"""The report's page as a browser shows it: nothing overlaps, everything loads and plays, nothing hostile runs."""

import json
from itertools import combinations
from pathlib import Path

import pytest
from selenium.webdriver.support.wait import WebDriverWait

from clean_corpus.pipeline.report.page import write_report
from clean_corpus.pipeline.report.render import TEMPLATES
from tests.support.browser import chromium, set_width
from tests.support.ledgers import EDGES, HOSTILE, audio, clip, ledger, mixed, run_of


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    return write_report(ledger(folder, mixed()), run_of(), folder / "report", audio)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def show(browser, page: Path, width: int) -> None:
    """Open a page; returns when every picture and the head of every recording is there, or 10 s have gone."""
    set_width(browser, width)
    browser.get(page.as_uri())
    browser.set_script_timeout(15)
    browser.execute_async_script("""
        const done = arguments[0], media = [...document.querySelectorAll("audio")];
        const heads = media.map(m => m.readyState >= 1 || new Promise(r => m.addEventListener("loadedmetadata", r)));
        Promise.race([Promise.all(heads), new Promise(r => setTimeout(r, 10000))]).then(done);
    """)


def boxes(browser, selector: str) -> list[tuple[str, float, float, float, float]]:
    return browser.execute_script(
        """return [...document.querySelectorAll(arguments[0])].map(e => {
            const b = e.getBoundingClientRect();
            return [e.className || e.tagName, b.left, b.top, b.right, b.bottom];
        })""",
        selector,
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_layout_has_no_overflow_and_no_overlap(browser, report, width):
    show(browser, report, width)
    assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth <= innerWidth]") == [
        width,
        True,
    ]
    inner = ".card h4, .card table, .player figcaption, .picture, .time, audio, .plots figcaption, .plots svg, .tile"
    for selector in (".tile, .panel, .stack, h2, h3, nav, footer", inner):
        found = boxes(browser, selector)
        assert len(found) > 20
        for (a, *first), (b, *second) in combinations(found, 2):
            wide = min(first[2], second[2]) - max(first[0], second[0])
            high = min(first[3], second[3]) - max(first[1], second[1])
            assert wide <= 1 or high <= 1, f"{a} {first} overlaps {b} {second}"
    clipped = "return [...document.querySelectorAll('.tile, .panel')].filter(e => e.scrollWidth > e.clientWidth).length"
    assert browser.execute_script(clipped) == 0


@pytest.mark.parametrize("width", [1280, 1000, 700, 390])
def test_millions_of_clips_fit_their_tiles(browser, tmp_path, monkeypatch, width):
    monkeypatch.setitem(TEMPLATES.filters, "clips", lambda n: "1,000,000")
    rows = [clip("f", "failed", reason="decode", detail="bad")]
    show(browser, write_report(ledger(tmp_path, rows), run_of(), tmp_path / "report", audio), width)
    room = "return [...document.querySelectorAll('.tile b')].map(e => [e.textContent, e.clientWidth - e.scrollWidth])"
    found = browser.execute_script(room)
    assert [text for text, _ in found[:4]] == ["1,000,000"] * 4
    assert min(left for _, left in found) >= 0
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_everything_loads_and_every_player_knows_its_duration(browser, report):
    browser.get_log("performance")
    show(browser, report, 1280)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    # a player that has read the head of its file cancels the rest
    failures = [e["params"] for e in events if e["method"] == "Network.loadingFailed" and not e["params"]["canceled"]]
    assert failures == []
    players = browser.execute_script(
        "return [...document.querySelectorAll('audio')].map(a => [a.getAttribute('src'), a.readyState, a.duration])"
    )
    assert len(players) == 2 * len(boxes(browser, ".card"))
    for source, ready, duration_s in players:
        assert ready >= 1, source
        assert duration_s == pytest.approx(1.5, abs=0.05), source
    widths = browser.execute_script("return [...document.images].map(i => i.naturalWidth)")
    assert len(widths) == len(players) and min(widths) > 0


def test_hostile_names_are_text(browser, report):
    show(browser, report, 1280)
    assert browser.execute_script("return window.hacked ?? null") is None
    assert browser.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    shown = browser.execute_script("return [...document.querySelectorAll('bdi')].map(e => e.textContent)")
    assert shown.count(HOSTILE) >= 4  # source, text and reason of the rejected one, source of the failed one
    assert 'h"><script>window.hacked = 1</script>' in shown
    ids = browser.execute_script("return [...document.querySelectorAll('body > * [id]')].map(e => e.id)")
    assert {"ends", "scores", "listen", "failed", "timings", "settings"} <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_click_plays_and_stops_the_others(browser, report):
    show(browser, report, 1280)
    pictures = browser.find_elements("css selector", ".picture")[:2]
    for number, picture in enumerate(pictures):
        picture.click()
        playing = "return [...document.querySelectorAll('audio')].flatMap((a, i) => a.paused ? [] : [i])"
        WebDriverWait(browser, 30).until(lambda b: b.execute_script(playing) == [number])  # noqa: B023 - called at once
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("kind", ["all failed", "nothing kept"])
def test_ledgers_without_kept_clips_look_right(browser, tmp_path, kind):
    show(browser, write_report(ledger(tmp_path, EDGES[kind]), run_of(), tmp_path / "report", audio), 390)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    assert len(boxes(browser, ".card")) == (0 if kind == "all failed" else 3)


def test_bars_and_keys_of_plots_are_printed(browser, report):
    """Browsers leave backgrounds out on paper unless they are told; what is nothing else would be blank."""
    show(browser, report, 1280)
    found = browser.execute_script("""
        return [...document.querySelectorAll("body *")].filter(e => !e.textContent && !e.childElementCount
            && !["rgba(0, 0, 0, 0)", ""].includes(getComputedStyle(e).backgroundColor))
            .map(e => [e.parentElement.className, getComputedStyle(e).printColorAdjust]);
    """)
    assert {parent for parent, _ in found} >= {"stack", "bar", "swatch raw"}
    assert {adjust for _, adjust in found} == {"exact"}
