"""The corpus that all tests of training read."""

import pytest

from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.tones import write_tones


@pytest.fixture(scope="package")
def shards(tmp_path_factory):
    """24 s of tones in three shards, two speakers."""
    store = LocalStore(tmp_path_factory.mktemp("shards"))
    return [write_tones(store, f"shards/{i}.tar", range(150, 310, 20)) for i in range(3)]
