"""Sidecars give their recording's metadata, and a file that only looks like one stays a recording."""

from pathlib import Path

import pytest

from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover import find_all


def audio(root: Path, *names: str) -> None:
    for name in names:
        (root / name).write_bytes(b"audio")


def test_sidecars_and_files_that_only_look_like_one(tmp_path):
    audio(tmp_path, "a.wav", "b.c.mp3")
    (tmp_path / "a.txt").write_text("from text\n")
    (tmp_path / "a.json").write_text('{"text": "from json", "speaker": 7, "license": "CC0", "consent": true, "x": 1}')
    (tmp_path / "b.c.txt").write_text("bee")
    (tmp_path / "alone.txt").write_text("no recording")
    (tmp_path / "alone.json").write_text("{}")
    found = {recording.path: recording for recording in find_all(tmp_path, exclude=None)}
    assert sorted(found) == ["a.wav", "alone.json", "alone.txt", "b.c.mp3"]
    assert found["a.wav"].metadata == Metadata("from json", "7", "CC0", "true")
    assert found["b.c.mp3"].metadata == Metadata("bee")
    assert found["alone.txt"].metadata == Metadata()


def test_of_two_sidecars_the_json_file_overrules(tmp_path):
    audio(tmp_path, "a.wav", "a.flac")
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "a.json").write_text('{"text": "json"}')
    assert [r.metadata.text for r in find_all(tmp_path, exclude=None)] == ["json", "json"], "both recordings have it"


@pytest.mark.parametrize(
    ("content", "metadata", "words"),
    [
        (
            '["one"]',
            Metadata(),
            "expected an object with the keys text, speaker, licence, consent, language; got a list",
        ),
        ('"one"', Metadata(), "got a text"),
        ('{"text": NaN}', Metadata(), "text: NaN or infinity"),
        ('{"text": "one", "speaker": Infinity}', Metadata(), "speaker: NaN or infinity"),
        ('{"text": ["one", "two"]}', Metadata(), "text: expected words, not a list"),
        ('{"transcript": "one", "speaker": "ann"}', Metadata(None, "ann"), "'transcript'; did you mean 'text'?"),
        ('{"Text": "one"}', Metadata(), "unknown key 'Text'; did you mean 'text'?"),
        ('{"txet": "one"}', Metadata(), "unknown key 'txet'; did you mean 'text'?"),
        ('{"text": "one", "speaker_id": 7}', Metadata("one"), "'speaker_id'; did you mean 'speaker'?"),
        ('{"duration": 2.0, "words": 3}', Metadata(), "none of its keys is known: 'duration', 'words'"),
        ('{"text": "one", "text": "two"}', Metadata(), "key 'text' stands twice"),
        ('{"text": "one"}\n{"text": "two"}', Metadata(), "expected JSON: Extra data"),
    ],
)
def test_a_sidecar_that_is_not_understood_says_so(content, metadata, words, tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "a.json").write_text(content)
    found = {recording.path: recording for recording in find_all(tmp_path, exclude=None)}
    assert sorted(found) == ["a.json", "a.wav"] and found["a.wav"].metadata == metadata
    assert found["a.json"].error.startswith("malformed manifest: a.json") and words in found["a.json"].error


@pytest.mark.parametrize("content", ['{"text": "one", "duration": 2.0, "NaN": NaN}', '{"text": "one", "Text": null}'])
def test_keys_of_other_programs_do_no_harm(content, tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "a.json").write_text(content)
    [recording] = find_all(tmp_path, exclude=None)
    assert recording.metadata == Metadata("one")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("name", "content"), [("a.txt", "né"), ("a.json", '{"text": "né"}')])
def test_sidecars_with_a_mark(name, content, encoding, tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / name).write_bytes(content.encode(encoding))
    [recording] = find_all(tmp_path, exclude=None)
    assert recording.metadata.text == "né"


def test_a_sidecar_that_is_too_large_for_one(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "a.txt").write_bytes(b"a" * (2**20 + 1))
    found = {recording.path: recording for recording in find_all(tmp_path, exclude=None)}
    assert (
        "larger than manifest.max_sidecar_kb, 1024 KiB" in found["a.txt"].error
        and found["a.wav"].metadata == Metadata()
    )
