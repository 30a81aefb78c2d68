"""Values that the stages pass on: names that are safe in a tar, metadata in layers, where a clip was cut from."""

import dataclasses
import json
import os
import re

import pytest

from clean_corpus.pipeline.core.types import Clip, Decision, Metadata, Recording, Verdict, overlay


def recording(path: str) -> Recording:
    return Recording(path, os.fsencode(path).decode("utf-8", "backslashreplace"), 0, None)


def test_what_lies_above_counts_field_by_field():
    below, above = Metadata("a", "s", "CC0", None), Metadata("b", None, None, "yes")
    assert overlay(below, above) == Metadata("b", "s", "CC0", "yes")
    assert overlay(below, Metadata()) == below and overlay(Metadata(), above) == above


def test_empty_text_is_not_unknown():
    assert overlay(Metadata(text="a"), Metadata(text="")).text == ""


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("a/x.y 1.wav", "x_y_1-3340be7e"),
        ("a-b_c.flac", "a-b_c-a9ef1595"),
        ("..wav", "clip-"),
        ("Ünïcode é.wav", "Unicode_e-"),
        ("e\u0301.wav", "e-"),
        ("Привет.wav", "Privet-"),
        ("\U0001f600\ue000.wav", "grinning-"),
        ("\ue000.wav", "clip-"),
        ("日" * 60 + ".wav", "Ri" * 24 + "-"),
        ("caf\udce9.wav", "caf_xe9-"),
        ("x" * 200 + ".wav", "x" * 48 + "-"),
        ("folder/日本.wav", "RiBen-"),
        ("no-extension", "no-extension-"),
    ],
)
def test_a_key_is_ascii_without_dots_and_slashes_and_short(path, key):
    found = recording(path).key
    assert found.startswith(key)
    assert re.fullmatch(r"[A-Za-z0-9_-]+-[0-9a-f]{16}", found) and len(found) <= 65


def test_keys_of_different_paths_differ_even_where_their_names_look_alike():
    paths = ["a/x.wav", "b/x.wav", "x.wav", "x.flac", "X.wav", "x .wav", "x_.wav", "caf\udce9.wav", r"caf\xe9.wav"]
    assert len({recording(path).key for path in paths}) == len(paths)


def test_a_key_depends_on_the_path_alone():
    one = Recording("a/x.wav", "a/x.wav", 1, "0" * 64, Metadata("text"))
    assert one.key == recording("a/x.wav").key


def test_verdicts_are_the_words_of_the_ledger():
    assert [str(verdict) for verdict in Verdict] == ["kept", "rejected", "failed"]
    assert json.dumps({"verdict": Verdict.KEPT}) == '{"verdict": "kept"}'


def test_the_origin_of_a_clip_says_where_it_was_cut_from():
    clip = Clip("x-1", "a/x.wav", "0" * 64, offset_s=1.5, duration_s=2.25, metadata=Metadata("hello"))
    assert clip.origin == {
        "clip_id": "x-1", "source": "a/x.wav", "source_sha256": "0" * 64, "offset_s": 1.5, "duration_s": 2.25,
        "removed_s": 0,
    }  # fmt: skip


@pytest.mark.parametrize("value", [Metadata(), recording("x"), Clip("a", "a", None), Decision(Verdict.KEPT)])
def test_values_do_not_change(value):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, "other")
