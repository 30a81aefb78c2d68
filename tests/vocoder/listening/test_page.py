"""The blind listening test: what is in its folder, and whole tests done in a browser, with the keyboard alone."""

import json
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from clean_corpus.pipeline.audio import decode, loudness
from clean_corpus.pipeline.core.config import AudioConfig
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.vocoder.listening import page
from clean_corpus.vocoder.listening.page import common_utterances, find_systems, headphone_tones, with_beeps, write_test
from clean_corpus.vocoder.listening.results import analyse, load_key
from tests.support.browser import chromium, set_width

RATE = 16000
SYSTEMS = {"zebranet": 300.0, "yakcoder": 450.0, "xylovoc": 600.0}
HOSTILE = '</script><script>window.hacked = 1</script>"'


def tone(frequency_hz: float, seconds: float = 0.2, gain: float = 0.1) -> np.ndarray:
    return (gain * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def corpus(root: Path, systems=SYSTEMS, utterances: int = 3) -> Path:
    """A tone of its own for each system and utterance, each system at another level and rate."""
    for number, (system, frequency_hz) in enumerate(systems.items()):
        (root / system).mkdir(parents=True)
        for i in range(utterances):
            x = tone(frequency_hz + 10 * i, gain=0.05 * (number + 1))
            decode.write_wav(root / system / f"sentence-{i}.wav", x, RATE * (1 + number % 2))
    return root


def whole(path: Path) -> np.ndarray:
    with decode.open_recording(path, AudioConfig(sample_rate=2 * RATE)) as reader:
        return np.concatenate(list(reader.blocks()))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- the folder --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["acr", "ab", "mushra"])
def test_nothing_in_the_folder_tells_systems_apart(tmp_path, mode):
    written = write_test(corpus(tmp_path / "in"), tmp_path / "test", mode=mode, reference="xylovoc")
    files = everything(tmp_path / "test")
    for word in (*SYSTEMS, "sentence", str(tmp_path)):
        assert not [name for name, data in files.items() if word in name or word.encode() in data]
    assert len({path.stat().st_mtime for path in (tmp_path / "test").rglob("*")}) == 1
    key = load_key(written.key)
    assert sorted(key.clips.values()) == sorted((s, f"sentence-{i}") for s in SYSTEMS for i in range(3))
    rates = set()
    for path in (tmp_path / "test/audio").iterdir():
        with wave.open(str(path)) as file:
            rates.add(file.getframerate())
    assert rates == {2 * RATE}  # the highest that was found, for all
    n_trials = {"acr": 9, "ab": 9, "mushra": 3}[mode]
    assert (written.trials, written.utterances) == (n_trials, 3)
    # 9 clips, 1 example, 2 traps, 6 checks, and the open reference, which must not be the hidden one's file
    assert len(files) == 1 + 9 + 1 + 2 + 6 + (3 if mode == "mushra" else 0)


def test_same_seed_same_bytes_and_another_seed_other_names(tmp_path):
    source = corpus(tmp_path / "in")
    first, again, other = (
        write_test(source, tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    assert first.key.read_text() == again.key.read_text()
    names = [{p.name for p in (written.page.parent / "audio").iterdir()} for written in (first, other)]
    assert not names[0] & names[1]
    assert first.study != other.study


def test_all_clips_have_one_loudness_and_keep_their_sound(tmp_path):
    """One clip peaks so much that it cannot reach -23 LUFS: all are lowered to what it reaches."""
    source = corpus(tmp_path / "in")
    peaky = tone(300.0, 1.0, gain=0.02)
    peaky[8000] = 0.5
    decode.write_wav(source / "zebranet/sentence-1.wav", peaky, RATE)
    written = write_test(source, tmp_path / "test")
    assert -35 < written.loudness_lufs < -24
    for name in load_key(written.key).clips:
        x = whole(tmp_path / f"test/audio/{name}.wav")
        assert loudness.loudness_lufs(x, 2 * RATE) == pytest.approx(written.loudness_lufs, abs=0.05)  # 16 bits
        assert loudness.true_peak_db(x, 2 * RATE) <= -1 + 0.05


def test_per_system_draws_the_same_utterances_of_every_system(tmp_path):
    source = corpus(tmp_path / "in", utterances=8)
    key = load_key(write_test(source, tmp_path / "a", per_system=3, seed=4).key)
    assert len(key.utterances) == 3 and len(key.clips) == 9
    other = load_key(write_test(source, tmp_path / "b", per_system=3, seed=5).key)
    assert key.utterances != other.utterances
    with pytest.raises(ConfigError, match="--per-system 9: only 8"):
        write_test(source, tmp_path / "c", per_system=9)


def test_a_comparison_is_a_source_with_its_recordings_as_a_system_and_twins_heard_once(tmp_path):
    for name in ("raw", "enhanced", "gated", "clean"):
        corpus(tmp_path / "speech" / name, systems={"audio": 300.0, "own": 450.0})
    (tmp_path / "result.json").write_text(json.dumps({"hours": dict.fromkeys(("raw", "enhanced", "gated", "clean"), 1),
                                                      "twins": {"gated": "enhanced"}}))  # fmt: skip
    found = find_systems(tmp_path)
    assert list(found) == ["raw", "enhanced", "clean", "natural"]
    assert found["raw"]["sentence-0"] == tmp_path / "speech/raw/own/sentence-0.wav"
    assert found["natural"]["sentence-0"] == tmp_path / "speech/clean/audio/sentence-0.wav"


def test_utterances_that_not_all_have_are_left_out_and_said(tmp_path):
    source = corpus(tmp_path / "in")
    (source / "yakcoder/sentence-2.wav").unlink()
    written = write_test(source, tmp_path / "test")
    assert (written.utterances, written.left_out) == (2, ["sentence-2"])


def test_headphone_tones_by_level_and_phase():
    x = headphone_tones(quiet=2, antiphase=0, sample_rate=8000)
    assert x.shape == (8000 * 4, 2)  # three of 1 s, two pauses of 0.5 s
    tones = [x[at : at + 8000] for at in (0, 12000, 24000)]
    level_db = [10 * np.log10(np.mean(np.square(t[:, 0]))) for t in tones]
    assert level_db[0] == pytest.approx(level_db[1], abs=1e-4)
    assert level_db[1] - level_db[2] == pytest.approx(6.0, abs=1e-4)
    assert np.array_equal(tones[0][:, 0], -tones[0][:, 1])  # over loudspeakers, nothing is left of it
    assert all(np.array_equal(t[:, 0], t[:, 1]) for t in tones[1:])


def test_beeps_can_be_counted():
    x = with_beeps(np.zeros(100, np.float32), RATE, 3)
    loud = np.abs(x) > 0.05
    envelope = np.convolve(loud, np.ones(400), "same") > 0
    assert np.sum(np.diff(envelope.astype(int)) == 1) == 3


def test_key_is_kept_out_of_the_folder_and_no_other_key_is_lost(tmp_path):
    source = corpus(tmp_path / "in")
    with pytest.raises(ConfigError, match="which listeners get"):
        write_test(source, tmp_path / "test", key=tmp_path / "test/key.json")
    written = write_test(source, tmp_path / "test", seed=1)
    assert written.key == tmp_path / "test.key.json"
    write_test(source, tmp_path / "test", seed=1)
    with pytest.raises(ConfigError, match=f"belongs to study {written.study}, this one is .*; choose another"):
        write_test(source, tmp_path / "test", seed=2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists and is no listening test"):
        write_test(source, tmp_path / "other")
    for out in (tmp_path / "in/test", tmp_path, tmp_path / "in"):
        with pytest.raises(ConfigError, match="lie in each other"):
            write_test(source, out)


def test_unusable_folders_are_named(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        find_systems(tmp_path / "nowhere")
    source = corpus(tmp_path / "in")
    with pytest.raises(ConfigError, match=r"--reference xylvoc: no such system.*did you mean 'xylovoc'"):
        write_test(source, tmp_path / "test", reference="xylvoc")
    (source / "zebranet/sentence-0.flac").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"sentence-0\.wav and .*sentence-0\.flac are one utterance"):
        find_systems(source)
    apart = {"a": ["u1", "u2"], "b": ["u2", "u3"], "c": ["u3"]}
    with pytest.raises(ConfigError, match="no utterance is in all 3 systems: 'a' and 'c' have none in common"):
        common_utterances({system: dict.fromkeys(names, Path()) for system, names in apart.items()})
    (tmp_path / "one/system").mkdir(parents=True)
    with pytest.raises(ConfigError, match="1 folders, at least 2"):
        find_systems(tmp_path / "one")
    (tmp_path / "one/empty").mkdir()
    with pytest.raises(ConfigError, match="'empty': no recordings"):
        find_systems(tmp_path / "one")


@pytest.mark.parametrize("kind, message", [("noise", "not audio"), ("silence", "is silent"), ("click", "LUFS within")])
def test_unusable_recordings_are_named_and_nothing_is_left(tmp_path, kind, message):
    source = corpus(tmp_path / "in")
    path = source / "yakcoder/sentence-1.wav"
    x = np.zeros(RATE, np.float32)
    if kind == "click":
        x[8000] = 1.0
    decode.write_wav(path, x, RATE)
    if kind == "noise":
        path.write_bytes(b"no audio")
    with pytest.raises(DataError, match=rf"sentence-1\.wav.*{message}"):
        write_test(source, tmp_path / "test")
    assert not (tmp_path / "test").exists() and not (tmp_path / "test.key.json").exists()


# ---- the page, as a listener uses it -----------------------------------------------------------------------------


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

    def until(self, script: str, seconds: float = 10) -> None:
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
        monkeypatch.setattr(page, name, getattr(page, name) / 20)


def saved(browser, pattern: str) -> Path:
    WebDriverWait(browser, 5, 0.05).until(lambda _: list(browser.saved.glob(pattern)))
    (path,) = browser.saved.glob(pattern)
    return path


def test_a_whole_test_by_keyboard_with_a_reload_gives_the_known_mos(browser, tmp_path, quick):
    opinions = {"zebranet": 4, "yakcoder": 2, "xylovoc": 5}
    written = write_test(corpus(tmp_path / "in", utterances=2), tmp_path / "test", title=HOSTILE, seed=3)
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
    source = corpus(tmp_path / "in", utterances=1)
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
    written = write_test(corpus(tmp_path / "in", utterances=1), tmp_path / "test", traps=1)
    cleo = Listener(browser, written, dict.fromkeys(SYSTEMS, 3), name="cleo")
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
    written = write_test(corpus(tmp_path / "in", utterances=6), tmp_path / "test", traps=3)
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
    written = write_test(corpus(tmp_path / "in"), tmp_path / "test", headphones=False, traps=0)
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
    written = write_test(corpus(tmp_path / "in"), tmp_path / "test")
    for path in (written.page.parent / "audio").iterdir():
        path.unlink()
    eve = Listener(browser, written, {}, name="eve")
    browser.get(written.page.as_uri())
    eve.press("eve", Keys.ENTER)
    eve.until("!place('alarm').hidden")
    assert "cannot be played" in eve.run("place('alarm').textContent")
    browser.get_log("browser")


def test_a_browser_that_keeps_nothing_is_said_and_the_test_goes_on(browser, tmp_path, quick):
    written = write_test(corpus(tmp_path / "in", utterances=1), tmp_path / "test", traps=0, headphones=False)
    finn = Listener(browser, written, dict.fromkeys(SYSTEMS, 3), name="finn")
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


def test_names_that_are_not_utf8_can_be_used(tmp_path):
    source = corpus(tmp_path / "in", utterances=1)
    (source / "zebranet").rename(source / "caf\udce9")
    key = load_key(write_test(source, tmp_path / "test").key)
    assert "caf\\xe9" in key.systems
