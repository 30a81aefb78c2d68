"""Whole listening tests done in a browser, with the keyboard alone."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.vocoder.listening import signals
from clean_corpus.vocoder.listening.key import load_key
from clean_corpus.vocoder.listening.page import write_test
from clean_corpus.vocoder.listening.results import analyse
from tests.support.browser import chromium, set_width
from tests.support.listening import TONE_SYSTEMS, tone_systems

HOSTILE = '</script><script>window.hacked = 1</script>"'


class Listener:
    """A person at the keyboard: what they know is the key, what they touch are keys."""

    def __init__(self, browser, written, opinions, *, name: str) -> None:
        self.browser = browser
        self.written = written
        self.opinions = opinions
        self.name = name
        self.key = load_key(written.key)
        self.answers = {trial: answer for trial, (_, answer) in self.key.traps.items()} | self.key.headphones

    def press(self, *keys: str) -> None:
        ActionChains(self.browser, duration=0).send_keys(*keys).perform()

    def run(self, script: str):
        return self.browser.execute_script(f"return {script}")

    def until(self, script: str, seconds: float = 30) -> None:
        WebDriverWait(self.browser, seconds, 0.02).until(lambda _: self.run(script), script)

    def title(self) -> str:
        return self.run("document.querySelector('main h1').textContent")

    def check_layout(self) -> None:
        for width in (1280, 390):
            set_width(self.browser, width)
            # a row of text has no width of its own; a slider's thumb overhangs its track
            wide = """[...document.querySelectorAll('body *:not(input)')].filter(e => e.scrollWidth > e.clientWidth + 1
                && getComputedStyle(e).display !== 'inline').map(e => e.outerHTML)"""
            assert self.run(wide) == [], self.title()
            assert self.run("[innerWidth, document.documentElement.scrollWidth <= innerWidth]") == [width, True]
        set_width(self.browser, 1280)

    def start(self) -> None:
        self.browser.get(self.written.page.as_uri())
        self.check_layout()
        self.press(self.name, Keys.ENTER)
        self.until("state !== null")
        assert self.title() == "Set the volume"
        self.press(Keys.ENTER)  # too early
        assert self.title() == "Set the volume"
        self.check_layout()
        self.press(" ")
        self.until("players[0].heard")
        self.press(Keys.ENTER)

    def check_headphones(self, wrong: int = 0) -> None:
        for at in range(len(self.key.headphones)):
            assert self.title() == "Headphone check"
            if at == 0:
                self.check_layout()
            answer = self.answers[self.run("order.checks[state.checks.length].id")]
            self.press(" ")
            self.until("players[0].heard")
            self.press(str(answer if at >= wrong else answer % 3 + 1), Keys.ENTER)

    def begin(self) -> None:
        assert self.title() == "What to do"
        self.check_layout()
        self.press(Keys.ENTER)

    def rate(self, trials: int | None = None) -> None:
        """So many trials, or all that are left."""
        last = self.run("order.trials.length") if trials is None else self.run("state.trial") + trials
        while self.run("state.page === 'trials'") and (at := self.run("state.trial")) < last:
            trial = self.run("order.trials[state.trial]")
            {"acr": self.acr, "ab": self.ab, "mushra": self.mushra}[self.key.mode](trial)
            if at == 0:
                self.check_layout()
            self.press(Keys.ENTER if at % 2 else Keys.ARROW_RIGHT)
            self.until(f"state.trial === {at + 1}")

    def opinion(self, clip: str):
        return self.opinions[self.key.clips[clip][0]]

    def acr(self, trial) -> None:
        self.press("3", Keys.ENTER)  # before it was heard: neither rates nor goes on
        assert self.run("state.answers[order.trials[state.trial].id].ratings[0]") is None
        self.press(" ")
        self.until("players[0].heard")
        self.press(str(self.answers.get(trial["id"]) or self.opinion(trial["clips"][0])))

    def ab(self, trial) -> None:
        for letter, at in (("a", 0), ("b", 1)):
            assert self.run("document.querySelector('fieldset').disabled")
            self.press(letter)
            self.until(f"players[{at}].heard")
        if trial["id"] in self.answers:
            return self.press(str(self.answers[trial["id"]]))
        a, b = map(self.opinion, trial["clips"])
        self.press("1" if a > b else "2" if b > a else "3")

    def mushra(self, trial) -> None:
        first = int(trial["reference"] is not None)
        if first:
            self.press("0")
            self.until("players[0].heard")
        for at, clip in enumerate(trial["clips"]):
            self.press(" ")  # the next that was not heard
            self.until(f"players[{first + at}].heard")
            self.browser.execute_script(f"document.querySelectorAll('input[type=range]')[{at}].focus()")
            points = self.answers.get(trial["id"]) or self.opinion(clip)
            self.press(Keys.HOME, *[Keys.ARROW_RIGHT] * (points % 10), *[Keys.PAGE_UP] * (points // 10))
            assert self.run(f"document.getElementById('value-{at}').value") == str(points)
            self.run("document.activeElement.blur()")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    with chromium(folder) as browser:
        (folder / "saved").mkdir()
        where = {"behavior": "allow", "downloadPath": str(folder / "saved")}
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", where)
        browser.saved = folder / "saved"
        yield browser


@pytest.fixture
def quick(monkeypatch):
    """Tones and beeps of a twentieth of their length."""
    for name in ("TONE_S", "TONE_GAP_S", "BEEP_S", "BEEP_GAP_S"):
        monkeypatch.setattr(signals, name, getattr(signals, name) / 20)


def saved(browser, pattern: str) -> Path:
    """Wait until a download is whole: Chromium holds its name with an empty file first."""
    ends = "}" if pattern.endswith(".json") else "\n"
    WebDriverWait(browser, 30, 0.05).until(
        lambda _: any(p.read_text().endswith(ends) for p in browser.saved.glob(pattern))
    )
    (path,) = browser.saved.glob(pattern)
    return path


def test_a_whole_test_by_keyboard_with_a_reload_gives_the_known_mos(browser, tmp_path, quick):
    opinions = {"zebranet": 4, "yakcoder": 2, "xylovoc": 5}
    written = write_test(tone_systems(tmp_path / "in", utterances=2), tmp_path / "test", title=HOSTILE, seed=3)
    anna = Listener(browser, written, opinions, name=" Anna O'Neill ")
    anna.start()
    anna.check_headphones()
    anna.begin()
    anna.rate(3)
    anna.acr(anna.run("order.trials[state.trial]"))  # rated, not gone on
    before = anna.run("[rows(), order.trials, state.trial]")
    browser.refresh()
    assert anna.title() == "How natural does this speech sound?"
    assert anna.run("[rows(), order.trials, state.trial]") == before
    assert anna.run("document.querySelector('input:checked') !== null")
    anna.press(Keys.ARROW_RIGHT)
    assert anna.run("state.trial") == before[2] + 1
    anna.rate()
    assert anna.title() == "Done, thank you"
    anna.check_layout()
    anna.press(Keys.ENTER)
    path = saved(browser, f"listening-{written.study}-anna-o-neill.csv")
    anna.press(Keys.TAB, Keys.TAB, Keys.ENTER)
    as_json = saved(browser, f"listening-{written.study}-anna-o-neill.json")
    results = [analyse([file], anna.key) for file in (path, as_json)]
    assert results[0] == results[1]
    assert results[0].listeners == ["anna o'neill"] and results[0].excluded == {}
    assert {row.system: (row.mean, row.ratings) for row in results[0].scores} == {
        s: (n, 2) for s, n in opinions.items()
    }
    data = json.loads(as_json.read_text())
    assert [row["passed"] for row in data["rows"] if row["kind"] != "rating"] == [1] * 8  # 6 tones and 2 traps
    assert data["finished"] is not None
    assert anna.run("window.hacked ?? null") is None
    assert anna.run("document.title") == HOSTILE
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("mode", ["ab", "mushra"])
def test_preferences_and_sliders_by_keyboard(browser, tmp_path, quick, mode):
    opinions = {"zebranet": 64, "yakcoder": 64, "xylovoc": 100}
    source = tone_systems(tmp_path / "in", utterances=1)
    written = write_test(source, tmp_path / "test", mode=mode, reference="xylovoc")
    ben = Listener(browser, written, opinions, name="ben")
    ben.start()
    ben.check_headphones(wrong=1)  # one slip is allowed
    ben.begin()
    ben.rate(2)
    ben.run("place('json-now').click()")
    with pytest.raises(DataError, match=r"ben: (incomplete|traps): \d of \d "):
        analyse([saved(browser, f"listening-{written.study}-ben.json")], ben.key)
    browser.refresh()
    ben.rate()
    assert ben.title() == "Done, thank you"
    ben.press(Keys.ENTER)
    results = analyse([saved(browser, f"listening-{written.study}-ben.csv")], ben.key)
    assert results.listeners == ["ben"]
    if mode == "mushra":
        assert {row.system: row.mean for row in results.scores} == opinions
        assert [row.against for row in results.comparisons][-2:] == ["xylovoc", "xylovoc"]  # the reference is second
    else:
        pairs = {frozenset(row[:2]): row[2:5] for row in results.preferences}
        assert pairs[frozenset(["zebranet", "yakcoder"])] == (0, 1, 0)
        assert pairs[frozenset(["zebranet", "xylovoc"])] == (0, 0, 1)
    assert browser.get_log("browser") == []


def test_loudspeakers_are_found_out_and_may_try_once_more(browser, tmp_path, quick):
    """Over loudspeakers the tone in antiphase is chosen: 6 wrong answers; what is exported says so."""
    written = write_test(tone_systems(tmp_path / "in", utterances=1), tmp_path / "test", traps=1)
    cleo = Listener(browser, written, dict.fromkeys(TONE_SYSTEMS, 3), name="cleo")
    cleo.start()
    cleo.check_headphones(wrong=6)
    assert cleo.title() == "This does not sound like headphones"
    cleo.check_layout()
    cleo.press(Keys.ENTER)
    cleo.check_headphones(wrong=2)
    assert cleo.title() == "This does not sound like headphones"
    cleo.press(Keys.ENTER)
    assert not cleo.run("document.querySelector('.good')")
    cleo.begin()
    cleo.answers |= {trial: answer % 4 + 1 for trial, (_, answer) in cleo.key.traps.items()}
    cleo.rate()
    cleo.press(Keys.ENTER)
    with pytest.raises(DataError) as error:
        analyse([saved(browser, f"listening-{written.study}-cleo.csv")], cleo.key)
    assert "cleo: headphone check: 4 of 6 right, 5 needed, traps: 0 of 1 answered as asked" in str(error.value)


def test_order_is_the_listeners_own_and_stays(browser, tmp_path):
    written = write_test(tone_systems(tmp_path / "in", utterances=6), tmp_path / "test", traps=3)
    browser.get(written.page.as_uri())
    plans = [browser.execute_script(f"return plan('{name}')") for name in ("anna", "anna", "ben")]
    assert plans[0] == plans[1] != plans[2]
    trials = plans[0]["trials"]
    assert sorted(t["id"] for t in trials) == sorted(t["id"] for t in plans[2]["trials"])
    at = [number for number, trial in enumerate(trials) if trial.get("trap")]
    assert len(trials) == 18 + 3 and len(at) == 3 and at[0] > 0
    assert [n // 7 for n in at] == [0, 1, 2]  # one in each third
    rated = [trial["group"] for trial in trials if not trial.get("trap")]
    assert all(a != b for a, b in pairwise(rated))  # never the same words twice in a row


def test_two_listeners_share_a_browser_and_odd_names_are_asked_again(browser, tmp_path):
    written = write_test(tone_systems(tmp_path / "in"), tmp_path / "test", headphones=False, traps=0)
    dora = Listener(browser, written, {}, name="  ")
    browser.get(written.page.as_uri())
    for name in ("  ", "=cmd()", "<b>"):
        dora.press(name, Keys.ENTER)
        assert dora.title() == "Thank you for listening" and "name or a code" in dora.run("place('hint').textContent")
        dora.run("place('listener').value = ''")
    dora.press("Dora", Keys.ENTER)
    dora.until("state?.page === 'volume'")
    dora.run("go('instructions')")
    dora.run("place('other').click()")
    dora.press("émile", Keys.ENTER)
    dora.until("state?.listener === 'émile'")
    assert dora.title() == "Set the volume"
    dora.run("place('other').click()")
    dora.press("DORA ", Keys.ENTER)
    assert dora.title() == "What to do"


def test_a_missing_recording_is_said(browser, tmp_path):
    written = write_test(tone_systems(tmp_path / "in"), tmp_path / "test")
    for path in (written.page.parent / "audio").iterdir():
        path.unlink()
    eve = Listener(browser, written, {}, name="eve")
    browser.get(written.page.as_uri())
    eve.press("eve", Keys.ENTER)
    eve.until("!place('alarm').hidden")
    assert "cannot be played" in eve.run("place('alarm').textContent")
    browser.get_log("browser")


def test_a_browser_that_keeps_nothing_is_said_and_the_test_goes_on(browser, tmp_path, quick):
    written = write_test(tone_systems(tmp_path / "in", utterances=1), tmp_path / "test", traps=0, headphones=False)
    finn = Listener(browser, written, dict.fromkeys(TONE_SYSTEMS, 3), name="finn")
    browser.get(written.page.as_uri())
    finn.run("Storage.prototype.setItem = () => { throw new Error('quota') }")
    finn.press("finn", Keys.ENTER)
    finn.until("state?.page === 'volume'")
    assert "This browser keeps nothing" in finn.run("place('alarm').textContent")
    browser.find_element("css selector", ".player").click()  # with the mouse
    finn.until("players[0].heard")
    finn.press(Keys.ENTER)  # the player has the focus: Enter goes on all the same
    finn.begin()
    finn.rate()
    assert finn.title() == "Done, thank you"
    assert finn.run("rows().length") == 3 and not finn.run("place('alarm').hidden")
