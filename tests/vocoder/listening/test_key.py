"""Keys of a listening test: files that are none are named."""

import json

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.listening.key import load_key
from tests.support.listening import key_of


def test_keys_that_are_none_are_named(tmp_path):
    path = tmp_path / "key.json"
    with pytest.raises(ConfigError, match=r"key\.json: No such file"):
        load_key(path)
    for text, message in {"no": "is not JSON", "{}": "lacks format, study", "[]": "lacks format"}.items():
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_key(path)
    path.write_text(json.dumps(key_of() | {"format": 2}))
    with pytest.raises(ConfigError, match="has format 2, this version reads 1"):
        load_key(path)
