"""The review page where something is in the way: a server that stores nothing, another keyboard, a tab closed early."""

import pytest

from clean_corpus.pipeline.corpus import decisions
from tests.support.browser import chromium, set_width
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
