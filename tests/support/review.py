"""The review page over a small corpus, served to a browser of this machine."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from clean_corpus.flows.review.access import Access
from clean_corpus.flows.review.app import make_app
from clean_corpus.flows.review.corpus import Open
from clean_corpus.flows.review.server import HOST, listen
from clean_corpus.pipeline.core.config import S3Config


@contextmanager
def served(store) -> Iterator[str]:
    """The address of the review page over the newest version of a corpus."""
    opened = Open(store, S3Config(), "anna")
    listening, token = listen(0), secrets.token_urlsafe()
    port = listening.getsockname()[1]
    app = Access(make_app(opened, str(store.root)), token=token, port=port)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://{HOST}:{port}/{token}/"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


class Reviewer:
    """A person at the keyboard of the review page."""

    def __init__(self, browser, address: str) -> None:
        self.browser = browser
        self.address = address

    def open(self, fragment: str = "") -> None:
        self.browser.get("about:blank")  # another fragment alone loads nothing
        self.browser.get(self.address + fragment)
        self.until("document.body.dataset.ready")
        self.settle()

    def press(self, *keys: str) -> None:
        ActionChains(self.browser, duration=0).send_keys(*keys).perform()

    def mark_down(self, times: int) -> None:
        """Shift with j, so often."""
        keys = ActionChains(self.browser, duration=0).key_down(Keys.SHIFT).send_keys("j" * times).key_up(Keys.SHIFT)
        keys.perform()

    def run(self, script: str):
        return self.browser.execute_script(f"return {script}")

    def until(self, script: str, seconds: float = 60) -> None:
        try:
            WebDriverWait(self.browser, seconds, 0.02).until(lambda _: self.run(script))
        except TimeoutException:
            raise AssertionError(f"not {script}; {self.run('document.body.innerText')}") from None

    def settle(self) -> None:
        """Return when the list and the clip under the cursor are there."""
        self.until("document.getElementById('grid').getAttribute('aria-busy') === 'false'")
        self.until("document.getElementById('clip').getAttribute('aria-busy') !== 'true'")

    def text(self, selector: str) -> str:
        return self.run(f"document.querySelector({selector!r})?.textContent ?? ''")

    def shown(self) -> str:
        """The clip under the cursor, by its name."""
        return self.text("#rows .cursor .id")

    def heard(self):
        """What the player says: whether it plays, where, and how loud each version is right now."""
        return self.browser.execute_async_script(
            """const done = arguments[0];
            import(new URL("page/player.js", location.href)).then(({ heard }) => {
                const { buffers, ...others } = heard();
                done(others);
            });"""
        )
