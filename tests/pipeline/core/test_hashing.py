"""Hashes known beforehand: a value has one spelling, a file the standard SHA-256."""

import hashlib

import pytest

from clean_corpus.pipeline.core.hashing import canonical_json, content_name, sha256_file


def test_the_order_of_keys_changes_nothing():
    assert canonical_json({"b": [1, None], "a": "é"}) == canonical_json({"a": "é", "b": [1, None]})
    assert canonical_json({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'.encode()


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(ValueError):
        canonical_json(float("nan"))


def test_a_name_is_the_start_of_the_hash_of_its_parts():
    assert content_name("a", 1) == hashlib.sha256(b'["a",1]').hexdigest()[:24]


def test_a_file_has_the_hash_of_its_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
