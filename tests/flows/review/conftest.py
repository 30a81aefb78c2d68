"""A small corpus, and the review page's server over it as a browser of this machine asks it."""

import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from clean_corpus.flows.review.access import Access
from clean_corpus.flows.review.app import make_app
from clean_corpus.flows.review.corpus import Open
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.corpus.reviewed import NO_REVIEWS
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.forgettable import Take, write_corpus

TOKEN, PORT = "a-token", 8765
ANNE, BOB, LOW = Take("anne/1.wav", "anne"), Take("bob/1.wav", "bob", clips=3), Take("anne/low.wav", end="rejected")
COPY = Take("anne/copy.wav", "anne", copy_of="anne/1.wav")
BAD, SILENT = Take("carl/bad.wav", "carl", end="failed"), Take("carl/still.wav", "carl", end="silent")
GROUPS = [ANNE, BOB, LOW, COPY], [Take("carl/1.wav", "carl"), BAD, SILENT]


def page_over(store, **more) -> TestClient:
    """The server over a corpus, its address with the token before every path."""
    opened = Open(store, S3Config(), "anna", **more)
    client = TestClient(
        Access(make_app(opened, str(store.root)), token=TOKEN, port=PORT), f"http://127.0.0.1:{PORT}/{TOKEN}/"
    )
    client.opened = opened
    return client


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """A corpus that tests copy, or read."""
    store = LocalStore(tmp_path_factory.mktemp("reviewed") / "out")
    store.prepare()
    write_corpus(store, *GROUPS, extra=False, reviews=NO_REVIEWS)
    return store


@pytest.fixture(scope="session")
def read_page(written):
    """The page over a corpus that no test changes."""
    return page_over(written)


@pytest.fixture
def store(written, tmp_path):
    """A corpus of a test's own."""
    return LocalStore(Path(shutil.copytree(written.root, tmp_path / "out")))


@pytest.fixture
def page(store):
    return page_over(store)
