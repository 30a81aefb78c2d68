"""Sidecars give their recording's metadata, and a file that only looks like one stays a recording."""

from pathlib import Path

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
