"""Names of recordings in manifests, in every way they are written, mean the file that is there or say what differs."""

import json
import os
import unicodedata
from pathlib import Path

import pytest

from clean_corpus.pipeline.core.types import Metadata, Recording
from clean_corpus.pipeline.discover import find_all

NFC, NFD = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
MIXED = "caf\u00e9" + "e\u0301"  # neither form


def audio(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"audio")


def rows(root: Path) -> dict[str, Recording]:
    return {recording.path: recording for recording in find_all(root, exclude=None)}


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "in/a b.wav",
        "./in//a b.wav",
        r"in\a b.wav",
        r".\in\a b.wav",
        "{root}/in/a b.wav",
        "file://{root}/in/a b.wav",
        "file://localhost{root}/in/a%20b.wav",
        "FILE:{root}/in/a%20b.wav",
        "in/a b",
        "in/a b.mp3",
        "in/a b.MP3",
    ],
)
def test_one_recording_by_many_names(name, table, tmp_path):
    audio(tmp_path, "in/a b.wav", "in/a.wav")
    written = name.format(root=tmp_path)
    if table:
        (tmp_path / "metadata.csv").write_text(f"{written}|one\n")
    else:
        (tmp_path / "m.jsonl").write_text(json.dumps({"audio_filepath": written, "text": "one"}))
    found = rows(tmp_path)
    assert {path: row.metadata.text for path, row in found.items()} == {"in/a b.wav": "one", "in/a.wav": None}


def test_a_backslash_may_be_part_of_a_name(tmp_path):
    audio(tmp_path, "a\\b.wav", "a/b.wav")
    (tmp_path / "metadata.csv").write_text("a\\b|one\n")
    assert rows(tmp_path)["a\\b.wav"].metadata.text == "one" and rows(tmp_path)["a/b.wav"].metadata.text is None


@pytest.mark.parametrize(("on_disk", "written"), [(NFD, NFC), (NFC, NFD)])
@pytest.mark.parametrize("kind", ["id", "path", "json", "sidecar", "alone", "folder", "absolute"])
def test_names_are_compared_composed(on_disk, written, kind, tmp_path):
    root = tmp_path / "in"
    path = f"{on_disk}/a.wav" if kind in ("folder", "absolute") else f"{on_disk}.wav"
    audio(root, path)
    content = {
        "id": ("metadata.csv", f"{written}|one"),
        "path": ("metadata.csv", f"file_name,text\n{written}.wav,one"),
        "json": ("m.jsonl", f'{{"audio_filepath": "{written}.wav", "text": "one"}}'),
        "sidecar": (f"{written}.txt", "one"),
        "alone": (f"{written}.txt", "one"),
        "folder": ("metadata.csv", f"{written}/a|one"),
        "absolute": ("metadata.csv", f"{root}/{written}/a.wav|one"),
    }
    name, text = content[kind]
    (root / name).write_text(text, "utf-8")
    found = find_all(root / path if kind == "alone" else root, exclude=None)
    assert [(row.path, row.metadata.text, row.error) for row in found] == [(path, "one", None)]


def test_names_that_differ_in_normalisation_alone_do_not_get_each_others_text(tmp_path):
    audio(tmp_path, f"{NFC}.wav", f"{NFD}.wav")
    (tmp_path / "metadata.csv").write_text(f"{NFD}|decomposed\n", "utf-8")
    found = rows(tmp_path)
    assert (found[f"{NFC}.wav"].metadata, found[f"{NFD}.wav"].metadata.text) == (Metadata(), "decomposed")
    (tmp_path / f"{NFC}.txt").write_text("composed")
    found = rows(tmp_path)
    assert (found[f"{NFC}.wav"].metadata.text, found[f"{NFD}.wav"].metadata.text) == ("composed", "decomposed")


def test_a_name_that_is_neither_of_two_is_refused(tmp_path):
    forms = [unicodedata.normalize(form, MIXED) for form in ("NFC", "NFD")]
    audio(tmp_path, *(f"{form}.wav" for form in forms))
    (tmp_path / "metadata.csv").write_text(f"{MIXED}|one\n", "utf-8")
    (tmp_path / f"{MIXED}.txt").write_text("one")
    found = rows(tmp_path)
    assert all(found[f"{form}.wav"].metadata == Metadata() for form in forms)
    assert "differ in Unicode normalisation alone" in found["metadata.csv"].error
    assert "differ in Unicode normalisation alone" in found[f"{MIXED}.txt"].error


def test_a_recording_has_one_sidecar_of_a_kind(tmp_path):
    audio(tmp_path, f"{NFC}.wav", "a.wav")
    for name in (f"{NFC}.txt", f"{NFD}.txt", "a.txt", "a.TXT"):
        (tmp_path / name).write_text(f"of {name}")
    found = rows(tmp_path)
    assert found[f"{NFC}.wav"].metadata.text == f"of {NFC}.txt"
    assert "keep one of them" in found[f"{NFD}.txt"].error
    assert found["a.wav"].metadata == Metadata()
    assert all("keep one of them" in found[name].error for name in ("a.txt", "a.TXT"))


@pytest.mark.parametrize(
    ("counts", "refused"),
    [
        (None, ["a.de.vtt", "a.en.vtt"]),
        (None, ["a.de.vtt", "a.en.VTT", "a.fr.vtt"]),
        (None, ["a.en.vtt", "a.wav.vtt"]),
        (None, ["a.de.srt", "a.en.srt"]),
        ("a.vtt", ["a.en.vtt"]),
        ("a.VTT", ["a.de.vtt", "a.en.vtt"]),
        ("a.en.vtt", []),
    ],
)
def test_of_time_stamps_in_two_languages_those_of_the_nearest_name_count_or_none(counts, refused, tmp_path):
    names = [counts, *refused] if counts else refused
    of_others = ["a.b.en.vtt", "ab.en.vtt", "ab.de.srt"]  # one of a kind each
    audio(tmp_path, "a.wav", "a.b.wav", "ab.wav")
    for name in names + of_others:
        (tmp_path / name).write_text(f"1\n00:00:01.000 --> 00:00:02.000\n{name}\n")
    found = rows(tmp_path)
    assert [segment.text for segment in found["a.wav"].segments] == ([counts] if counts else [])
    assert found.keys() == {"a.wav", "a.b.wav", "ab.wav", *refused}
    for name in refused:
        other = counts or next(other for other in refused if other != name)
        assert found[name].error.endswith(f"'a.wav' has the sidecar '{other}' too; keep one of them")


def test_names_that_differ_in_case_are_two_and_said(tmp_path):
    audio(tmp_path, "a.wav", "A.wav", "Other.WAV")
    (tmp_path / "metadata.csv").write_text("a|small\nother|lost\nA|large\n")
    found = rows(tmp_path)
    assert (found["a.wav"].metadata.text, found["A.wav"].metadata.text) == ("small", "large")
    assert found["Other.WAV"].metadata == Metadata()
    assert found["other"].error == (
        "not found: named in metadata.csv line 2; 'Other.WAV' differs in upper and lower case"
    )


def test_sidecars_of_windows(tmp_path):
    audio(tmp_path, "A.WAV")
    (tmp_path / "A.TXT").write_text("hello")
    found = rows(tmp_path)
    assert list(found) == ["A.WAV"] and found["A.WAV"].metadata.text == "hello"


def test_a_json_name_without_extension_that_may_be_two_is_refused(tmp_path):
    audio(tmp_path, "a.wav", "a.flac")
    (tmp_path / "m.jsonl").write_text('{"audio_filepath": "a", "text": "one"}')
    found = rows(tmp_path)
    assert found["a.wav"].metadata == found["a.flac"].metadata == Metadata()
    assert "'a' may be 'a.flac' and 'a.wav'; write the name with its extension" in found["m.jsonl"].error


def test_absolute_names_elsewhere_are_not_found(tmp_path):
    audio(tmp_path, "in/a.wav")
    (tmp_path / "in/metadata.csv").write_text("/elsewhere/a.wav|one\n")
    found = rows(tmp_path / "in")
    assert found["a.wav"].metadata == Metadata()
    [lost] = [row for row in found.values() if row.error]
    assert lost.path.endswith("elsewhere/a.wav") and lost.error == "not found: named in metadata.csv line 1"


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9.wav")
    audio(tmp_path, name)
    (tmp_path / "metadata.csv").write_bytes(b"caf\xe9|one\n")
    found = rows(tmp_path)
    assert found[name].metadata == Metadata()
    assert "metadata.csv line 1: expected UTF-8" in found["metadata.csv"].error
