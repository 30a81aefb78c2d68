"""The review page where something is in the way: a server that stores nothing, another keyboard, a tab closed early."""

import json
import shutil
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from clean_corpus.pipeline.corpus import decisions
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.browser import chromium, faint_texts, set_width
from tests.support.review import Reviewer, served

FULL = """(() => {
    window.real ??= window.fetch;
    window.fetch = (where, options) => options?.method === "POST"
        ? Promise.resolve(new Response(JSON.stringify({error: "the disk is full; make room"}), {status: 409}))
        : window.real(where, options);
})()"""
STATE = "document.querySelector('#saved')?.textContent"
IS_ALARMED = "!document.getElementById('alarm').hidden"
ASKS_BEFORE_LEAVING = """(() => {
    const leaving = new Event("beforeunload", {cancelable: true});
    window.dispatchEvent(leaving);
    return leaving.defaultPrevented;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        set_width(browser, 1280)
        yield browser


@pytest.fixture
def anna(browser, store):
    with served(store) as address:
        anna = Reviewer(browser, address)
        anna.open()
        yield anna
        browser.get("about:blank")


def stored(store):
    """What is decided, as (clip, what), in order."""
    entries = sorted(decisions.Reader(store).news(), key=lambda entry: entry.at)
    return [(entry.clip_id, entry.what) for entry in entries]


def decide_in_vain(anna, keys):
    """Decide over one clip after the other while the disk is full; return their names."""
    anna.run(FULL)
    names = []
    for key in keys:
        names.append(anna.shown())
        anna.press(key)
        anna.until(f"{STATE} === 'not saved'")
        anna.press("j")
        anna.settle()
    return names


def test_all_that_could_not_be_stored_is_sent_again_in_its_order(anna, store):
    names = decide_in_vain(anna, "y12")
    assert anna.text("#alarm span") == "3 decisions are not stored: the disk is full; make room"
    assert anna.run(ASKS_BEFORE_LEAVING)
    anna.run("window.fetch = window.real")
    anna.run("document.querySelector('#alarm button').click()")
    anna.until("document.querySelectorAll('#rows .decided:not(.inline)').length === 3")
    assert stored(store) == list(zip(names, ("keep", "use_raw", "use_enhanced"), strict=True))
    assert not anna.run(ASKS_BEFORE_LEAVING)


def test_what_could_not_be_stored_goes_before_the_next_decision(anna, store):
    names = decide_in_vain(anna, "y")
    anna.run("document.querySelector('#alarm button:last-child').click()")
    anna.run("window.fetch = window.real")
    names.append(anna.shown())
    anna.press("1")
    anna.until(f"{STATE} === 'saved'")
    assert stored(store) == list(zip(names, ("keep", "use_raw"), strict=True))


def test_undo_drops_what_could_not_be_stored_and_takes_nothing_else_back(anna, store):
    first = anna.shown()
    anna.press("y")
    anna.until(f"{STATE} === 'saved'")
    anna.press("j")
    anna.settle()
    decide_in_vain(anna, "y")
    anna.press("u")
    anna.until("document.getElementById('toast').textContent.startsWith('Dropped, it was not stored: keep')")
    anna.run("window.fetch = window.real")
    assert not anna.run(ASKS_BEFORE_LEAVING)
    assert stored(store) == [(first, "keep")]


def test_undo_takes_back_nothing_of_another_corpus_that_had_the_same_port(anna, browser, store, written, tmp_path):
    anna.press("y")
    anna.until(f"{STATE} === 'saved'")
    other = LocalStore(Path(shutil.copytree(written.root, tmp_path / "other")))
    with served(other) as address:
        saved = anna.run("JSON.stringify(sessionStorage)")
        bob = Reviewer(browser, address)
        browser.get(address)
        for name, value in json.loads(saved).items():  # as the same port has it
            browser.execute_script("sessionStorage.setItem(...arguments)", name, value)
        bob.open()
        bob.press("u")
        bob.until("document.getElementById('toast').textContent.startsWith('There is nothing left to undo')")
        assert not bob.run(IS_ALARMED)
        bob.press("y")
        bob.until(f"{STATE} === 'saved'")
        bob.open()
        bob.press("u")
        bob.until("document.getElementById('toast').textContent.startsWith('Undone: keep')")


def test_what_the_server_refuses_for_good_stands_in_no_ones_way(anna, store):
    name = anna.shown()
    anna.run(FULL.replace("409", "400"))
    anna.press("1")
    anna.until(f"{STATE} === 'not saved'")
    assert anna.run(IS_ALARMED) and not anna.run(ASKS_BEFORE_LEAVING)
    anna.run("window.fetch = window.real")
    anna.press("y")
    anna.until(f"{STATE} === 'saved'")
    assert stored(store) == [(name, "keep")]


def press_elsewhere(anna, key, code, *, shift=False):
    """Press a key as the browser tells it where the layout is not Latin, or Caps Lock is on."""
    said = json.dumps({"key": key, "code": code, "shiftKey": shift, "bubbles": True, "cancelable": True})
    anna.run(f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {said}))")


AT = "Number(document.querySelector('#rows .cursor').dataset.index)"
MARKED = "document.querySelectorAll('#rows .marked').length"


@pytest.mark.parametrize(
    ("down", "mark", "keep"),
    [("\u043e", "\u044c", "\u043d"), ("\u062a", "\u0629", "\u063a"), ("\u05d7", "\u05e6", "\u05d8"), ("J", "M", "Y")],
    ids=["Russian", "Arabic", "Hebrew", "Caps Lock"],
)
def test_keys_do_the_same_on_layouts_of_other_scripts_and_under_caps_lock(anna, store, down, mark, keep):
    press_elsewhere(anna, down, "KeyJ")
    anna.until(f"{AT} === 1")
    assert anna.run(MARKED) == 0
    press_elsewhere(anna, down, "KeyJ", shift=True)
    anna.until(f"{MARKED} === 2 && {AT} === 2")
    press_elsewhere(anna, mark, "KeyM")
    anna.until(f"{MARKED} === 1")
    press_elsewhere(anna, keep, "KeyY")
    anna.until("document.querySelectorAll('#rows .decided:not(.inline)').length === 1")
    assert [what for _, what in stored(store)] == ["keep"]


def test_letters_of_latin_layouts_and_signs_keep_their_meaning(anna):
    press_elsewhere(anna, "é", "Digit2")  # French: 2 is Shift and this key
    press_elsewhere(anna, "z", "KeyY")  # German
    press_elsewhere(anna, "?", "Minus", shift=True)  # German
    anna.until("document.getElementById('dialog').open")
    assert anna.text("#decision .standing") == "Nothing decided."


@pytest.mark.parametrize(("key", "field"), [("t", "text"), ("s", "speaker"), ("c", "answer"), ("r", "answer")])
def test_a_page_with_something_half_written_asks_before_it_is_closed(anna, key, field):
    anna.press(key)
    anna.until(f"document.activeElement.id === '{field}'")
    assert not anna.run(ASKS_BEFORE_LEAVING)
    anna.press("half of")
    assert anna.run(ASKS_BEFORE_LEAVING)
    anna.press(Keys.ESCAPE)
    anna.until(f"document.activeElement.id !== '{field}'")
    assert not anna.run(ASKS_BEFORE_LEAVING)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_texts_stand_out_from_what_is_behind_them(anna, scheme):
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    anna.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        for keys in ("y", "m", "gt", "gp", "ga", "gc?"):
            anna.press(keys)
            anna.settle()
            assert faint_texts(anna.browser) == []
    finally:
        anna.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
