"""Keys of constructed studies."""

import json

import pytest

from clean_corpus.vocoder.listening.key import load_key


@pytest.fixture
def keep(tmp_path):
    """Return a function that writes a key and loads it."""

    def write_key(key: dict):
        path = tmp_path / "test.key.json"
        path.write_text(json.dumps(key))
        return load_key(path)

    return write_key
