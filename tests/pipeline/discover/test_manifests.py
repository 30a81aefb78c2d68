"""Manifests and sidecars: what reaches a recording's metadata, and what becomes a row of its own."""

import gzip
import tracemalloc

import pytest

from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover import find
from tests.support.manifests import audio, found_rows, jsonl, lhotse_recording


def test_a_sidecar_overrules_a_manifest_field_by_field(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "m.jsonl").write_bytes(jsonl({"audio_filepath": "a.wav", "text": "manifest", "speaker": "ann"}))
    (tmp_path / "a.txt").write_text("sidecar")
    assert found_rows(tmp_path)["a.wav"].metadata == Metadata("sidecar", "ann")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", b"no bar here\n\n|x\n", "metadata.csv line 1: expected id|text, got 'no bar here'"),
        ("metadata.csv", b"a|caf\xe9", "expected UTF-8"),
        ("m.jsonl", b'{"audio', "line 1: expected JSON"),
        ("m.jsonl", b'{"audio_filepath": 3}', "line 1: audio_filepath: Input should be a valid string, got 3"),
        ("m.jsonl", b"[1, 2]", "line 1: expected an object with one of audio_filepath, sources"),
        ("m.jsonl", b"[" * 100_000, "line 1: expected JSON"),
        ("m.jsonl", b'{"id": "r", "sources": [{"type": "command", "source": "rm"}]}', "Input should be 'file'"),
        ("m.jsonl.gz", b"not packed", "cannot read: Not a gzipped file"),
        ("m.jsonl.gz", gzip.compress(b'{"audio_filepath": "a.wav"}\n' * 99, mtime=0)[:-12], "cannot read: "),
        (
            "a.json",
            b'["text"]',
            "expected an object with the keys text, speaker, licence, consent, language; got a list",
        ),
        ("a.json", b"{", "expected JSON"),
        ("a.txt", b"caf\xe9", "expected UTF-8"),
    ],
)
def test_a_malformed_manifest_has_its_row_and_stops_nothing(name, content, message, tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / name).write_bytes(content)
    found = found_rows(tmp_path)
    assert sorted(found) == sorted(["a.wav", name])
    assert found["a.wav"].error is None
    assert found[name].error.startswith("malformed manifest: ")
    assert message in found[name].error


def test_good_lines_of_a_bad_manifest_count(tmp_path):
    audio(tmp_path, "a.wav", "b.wav")
    (tmp_path / "metadata.csv").write_text("a|one\nbad\nb|two\n")
    found = found_rows(tmp_path)
    assert (found["a.wav"].metadata.text, found["b.wav"].metadata.text) == ("one", "two")


def test_text_that_no_utf8_holds_is_escaped(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "a.json").write_text('{"text": "half \\ud83d pair"}')
    assert found_rows(tmp_path)["a.wav"].metadata.text == r"half \ud83d pair"


def test_of_two_lines_that_differ_neither_counts_and_of_two_manifests_the_later_one(tmp_path):
    audio(tmp_path, "a.wav", "x/b.wav", "x/c.wav")
    (tmp_path / "metadata.csv").write_text("a|one\na|two\nx/b|csv\nx/c|csv\nx/c|\n")
    said = {"audio_filepath": "x/b.wav", "text": "of m", "speaker": "m"}
    (tmp_path / "m.jsonl").write_bytes(jsonl(said, {"audio_filepath": "x/c.wav", "speaker": "m"}))
    (tmp_path / "x/a.jsonl").write_bytes(jsonl({"audio_filepath": "b.wav", "text": "of x/a"}))
    (tmp_path / "z.jsonl").write_bytes(jsonl({"audio_filepath": "x/b.wav", "consent": "z"}))
    found = found_rows(tmp_path)
    assert found["a.wav"].metadata == Metadata()
    assert found["metadata.csv:2"].error == (
        "malformed manifest: metadata.csv line 2: 'a.wav': its text is 'two', and 'one' in line 1; "
        "neither is used, keep one of the lines"
    )
    assert "line 5: nothing is said of 'x/c'" in found["metadata.csv:5"].error
    assert found["metadata.csv"].error == (
        "malformed manifest: metadata.csv: x/a.jsonl, which counts as the later by name, has another text for 1 of its "
        "recordings, the first in line 3; keep one of them"
    )
    assert found["x/b.wav"].metadata == Metadata("of x/a", "m", consent="z")
    assert found["x/c.wav"].metadata == Metadata("csv", "m")


def test_supervisions_may_come_first_and_ids_belong_to_a_folder(tmp_path):
    audio(tmp_path, "one/a.wav", "two/a.wav")
    for folder in ("one", "two"):
        (tmp_path / folder / "recordings.jsonl").write_bytes(jsonl(lhotse_recording("r", "a.wav")))
        supervisions = jsonl({"recording_id": "r", "text": folder}, {"recording_id": "half \ud83d"})
        (tmp_path / folder / "a.jsonl").write_bytes(supervisions + b"[]\n" * 3)
    found = found_rows(tmp_path)
    assert {path: row.metadata.text for path, row in found.items() if not row.error} == {
        "one/a.wav": "one",
        "two/a.wav": "two",
    }
    assert "line 2: no recording in this folder's manifests has id 'half " in found["one/a.jsonl:2"].error
    for line in (3, 4, 5):
        assert f"line {line}: expected an object" in found[f"one/a.jsonl:{line}"].error


def test_what_was_found_with_an_error_keeps_it(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "b.wav").symlink_to("nowhere")
    (tmp_path / "a.jsonl").write_bytes(jsonl({"audio_filepath": "b.wav"}, {"audio_filepath": "c.wav"}))
    (tmp_path / "m.jsonl").write_bytes(jsonl({"audio_filepath": "c.wav"}))
    found = found_rows(tmp_path)
    assert found["b.wav"].error == "broken link"
    assert found["c.wav"].error == "not found: named in a.jsonl line 2"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("metadata.csv", "{i}|a text of some length that is read and put away\n"),
        ("m.jsonl", '{{"audio_filepath": "{i}.wav", "text": "a text of some length that is read and put away"}}\n'),
        ("m.jsonl", '{{"recording_id": "{i}", "text": "a text of some length that is read and put away"}}\n'),
        ("m.jsonl", "[]\n"),
    ],
)
def test_memory_does_not_grow_with_the_lines(name, line, tmp_path):
    def peak(lines):
        (tmp_path / name).write_text("".join(line.format(i=i) for i in range(lines)))
        tracemalloc.start()
        with scratch_database() as db:
            count = len(find(tmp_path, db, exclude=None))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count in (lines, 1), "each is missing, or the manifest is malformed"
        return most

    peak(100)  # what is loaded at the first call
    assert peak(3000) < peak(1000) + 50_000, "of 2000 more"
