"""Manifests and sidecars: what reaches a recording's metadata, and what becomes a row of its own."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Metadata, Recording
from clean_corpus.pipeline.discover import find, find_all


def audio(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"audio")


def jsonl(*rows: dict) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def rows(root: Path) -> dict[str, Recording]:
    return {recording.path: recording for recording in find_all(root, exclude=None)}


def test_ljspeech_ids_and_columns(tmp_path):
    audio(tmp_path, "set/wavs/LJ-1.wav", "set/sub/b.flac", "set/c.wav", "set/d.e.wav")
    lines = ["LJ-1|Dr. Who|Doctor Who", "sub/b|bee", "c.wav|see|", "d.e|dee\r", "", "gone|lost"]
    (tmp_path / "set/metadata.csv").write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    found = rows(tmp_path)
    assert {path: row.metadata.text for path, row in found.items()} == {
        "set/wavs/LJ-1.wav": "Doctor Who",
        "set/sub/b.flac": "bee",
        "set/c.wav": "see",
        "set/d.e.wav": "dee",
        "set/gone": None,
    }
    assert found["set/gone"].error == "named in set/metadata.csv but not found"


def test_nemo_rows_by_manifest_by_root_and_absolute(tmp_path):
    audio(tmp_path, "m/a.wav", "b.wav", "c.wav", "d.wav")
    manifest = jsonl(
        {"audio_filepath": "a.wav", "text": "one", "speaker": "ann"},
        {"audio_filepath": "b.wav", "text": "two", "duration": 1.0},
        {"audio_filepath": str(tmp_path / "c.wav"), "text": "three"},
        {"audio_filepath": "../d.wav", "offset": 5.0, "text": "second", "speaker": "x"},
        {"audio_filepath": "../d.wav", "offset": 0.0, "text": "first", "speaker": "y"},
        {"audio_filepath": "/elsewhere/e.wav", "text": "lost"},
    )
    (tmp_path / "m/train.jsonl").write_bytes(manifest)
    found = rows(tmp_path)
    said = {path: (row.metadata.text, row.metadata.speaker) for path, row in found.items() if row.error is None}
    assert said == {
        "m/a.wav": ("one", "ann"),
        "b.wav": ("two", None),
        "c.wav": ("three", None),
        "d.wav": ("first second", None),  # two speakers: neither
    }
    [lost] = [row for row in found.values() if row.error]
    assert lost.path.endswith("elsewhere/e.wav")
    assert lost.error == "named in m/train.jsonl but not found"


def test_absolute_names_through_a_linked_root(tmp_path):
    audio(tmp_path, "real/a.wav", "real/b.wav")
    root = tmp_path / "link"
    root.symlink_to("real")
    manifest = jsonl(
        {"audio_filepath": str(tmp_path / "real/a.wav"), "text": "one"},
        {"audio_filepath": str(root / "b.wav"), "text": "two"},
    )
    (root / "m.jsonl").write_bytes(manifest)
    assert {path: row.metadata.text for path, row in rows(root).items()} == {"a.wav": "one", "b.wav": "two"}


def lhotse_recording(name: str, path: str) -> dict:
    return {
        "id": name,
        "sources": [{"type": "file", "channels": [0], "source": path}],
        "sampling_rate": 16000,
        "num_samples": 16000,
        "duration": 1.0,
    }


@pytest.mark.parametrize("packed", [False, True])
def test_lhotse_recordings_with_supervisions(packed, tmp_path):
    audio(tmp_path, "a.wav", "b.wav")
    recordings = jsonl(
        lhotse_recording("ra", "a.wav"), lhotse_recording("rb", "b.wav"), lhotse_recording("rc", "c.wav")
    )
    supervision = {"id": "s1", "recording_id": "ra", "start": 0.0, "duration": 1.0, "channel": 0}
    supervisions = jsonl(
        supervision | {"start": 2.0, "text": "world", "speaker": "ann"},
        supervision | {"text": "hello", "speaker": "ann", "custom": {"licence": "CC0", "consent": "yes", "mos": 3.2}},
        supervision | {"recording_id": "who"},
    )
    suffix, pack = (".jsonl.gz", gzip.compress) if packed else (".jsonl", bytes)
    (tmp_path / f"recordings{suffix}").write_bytes(pack(recordings))
    (tmp_path / f"supervisions{suffix}").write_bytes(pack(supervisions))
    found = rows(tmp_path)
    assert sorted(found) == ["a.wav", "b.wav", "c.wav", f"supervisions{suffix}"]
    assert found["a.wav"].metadata == Metadata("hello world", "ann", "CC0", "yes")
    assert found["b.wav"].metadata == Metadata()
    assert found["c.wav"].error == f"named in recordings{suffix} but not found"
    assert "line 3: no recording in this folder's manifests has id 'who'" in found[f"supervisions{suffix}"].error


def test_lhotse_cuts(tmp_path):
    audio(tmp_path, "a.wav")
    cut = {"id": "c", "start": 0, "duration": 1.0, "channel": 0, "type": "MonoCut"}
    supervision = {"id": "s", "recording_id": "ra", "start": 0.0, "duration": 1.0, "text": "hi", "speaker": "bob"}
    cuts = jsonl(cut | {"recording": lhotse_recording("ra", "a.wav"), "supervisions": [supervision]})
    (tmp_path / "cuts.jsonl.gz").write_bytes(gzip.compress(cuts, mtime=0))
    found = rows(tmp_path)
    assert list(found) == ["a.wav"]
    assert found["a.wav"].metadata == Metadata("hi", "bob")


def test_a_sidecar_overrules_a_manifest_field_by_field(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "m.jsonl").write_bytes(jsonl({"audio_filepath": "a.wav", "text": "manifest", "speaker": "ann"}))
    (tmp_path / "a.txt").write_text("sidecar")
    assert rows(tmp_path)["a.wav"].metadata == Metadata("sidecar", "ann")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metadata.csv", b"a|one\nno bar here\n\n|x\n", "line 2: expected id|text, got 'no bar here' (and 1 more)"),
        ("metadata.csv", b"a|caf\xe9", "expected UTF-8"),
        ("m.jsonl", b'{"audio_filepath": "a.wav"}\n{"audio', "line 2: expected JSON"),
        ("m.jsonl", b'{"audio_filepath": 3}', "line 1: audio_filepath: Input should be a valid string, got 3"),
        ("m.jsonl", b"[1, 2]", "line 1: expected an object with one of audio_filepath, sources"),
        ("m.jsonl", b"[" * 100_000, "line 1: expected JSON"),
        ("m.jsonl", b'{"id": "r", "sources": [{"type": "command", "source": "rm"}]}', "Input should be 'file'"),
        ("m.jsonl.gz", b"not packed", "cannot read: Not a gzipped file"),
        ("m.jsonl.gz", gzip.compress(b'{"audio_filepath": "a.wav"}\n' * 99, mtime=0)[:-12], "cannot read: "),
        ("a.json", b'["text"]', "Input should be a valid dictionary"),
        ("a.json", b"{", "expected JSON"),
        ("a.txt", b"\xff\xfe", "expected UTF-8"),
    ],
)
def test_a_malformed_manifest_has_its_row_and_stops_nothing(name, content, message, tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / name).write_bytes(content)
    found = rows(tmp_path)
    assert sorted(found) == sorted(["a.wav", name])
    assert found["a.wav"].error is None
    assert found[name].error.startswith("malformed manifest: ")
    assert message in found[name].error


def test_good_lines_of_a_bad_manifest_count(tmp_path):
    audio(tmp_path, "a.wav", "b.wav")
    (tmp_path / "metadata.csv").write_text("a|one\nbad\nb|two\n")
    found = rows(tmp_path)
    assert (found["a.wav"].metadata.text, found["b.wav"].metadata.text) == ("one", "two")


def test_text_that_no_utf8_holds_is_escaped(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "a.json").write_text('{"text": "half \\ud83d pair"}')
    assert rows(tmp_path)["a.wav"].metadata.text == r"half \ud83d pair"


def test_of_two_lines_of_ljspeech_the_later_one_counts_and_of_two_manifests_too(tmp_path):
    audio(tmp_path, "a.wav", "x/b.wav", "x/c.wav")
    (tmp_path / "metadata.csv").write_text("a|one\na|two\nx/b|csv\nx/c|csv\nx/c|\n")
    said = {"audio_filepath": "x/b.wav", "text": "of m", "speaker": "m"}
    (tmp_path / "m.jsonl").write_bytes(jsonl(said, {"audio_filepath": "x/c.wav", "speaker": "m"}))
    (tmp_path / "x/a.jsonl").write_bytes(jsonl({"audio_filepath": "b.wav", "text": "of x/a"}))
    (tmp_path / "z.jsonl").write_bytes(jsonl({"audio_filepath": "x/b.wav", "consent": "z"}))
    found = rows(tmp_path)
    assert found["a.wav"].metadata == Metadata("two")
    assert found["x/b.wav"].metadata == Metadata("of x/a", "m", consent="z")
    assert found["x/c.wav"].metadata == Metadata(None, "m"), "what a later line leaves empty is not known"


def test_supervisions_may_come_first_and_ids_belong_to_a_folder(tmp_path):
    audio(tmp_path, "one/a.wav", "two/a.wav")
    for folder in ("one", "two"):
        (tmp_path / folder / "recordings.jsonl").write_bytes(jsonl(lhotse_recording("r", "a.wav")))
        supervisions = jsonl({"recording_id": "r", "text": folder}, {"recording_id": "half \ud83d"})
        (tmp_path / folder / "a.jsonl").write_bytes(supervisions + b"[]\n" * 3)
    found = rows(tmp_path)
    assert {path: row.metadata.text for path, row in found.items() if not row.error} == {
        "one/a.wav": "one",
        "two/a.wav": "two",
    }
    assert "line 3: expected an object" in found["one/a.jsonl"].error
    assert found["one/a.jsonl"].error.endswith(" (and 3 more)"), "two more lines, and an id"


def test_a_name_that_no_file_can_have_is_escaped(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "m.jsonl").write_text(
        '{"audio_filepath": "half \\ud83d.wav"}\n{"audio_filepath": "a.wav", "text": "one"}\n'
    )
    found = rows(tmp_path)
    assert found["a.wav"].metadata.text == "one"
    assert found[r"half \ud83d.wav"].error == "named in m.jsonl but not found"


def test_what_was_found_with_an_error_keeps_it(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "b.wav").symlink_to("nowhere")
    (tmp_path / "a.jsonl").write_bytes(jsonl({"audio_filepath": "b.wav"}, {"audio_filepath": "c.wav"}))
    (tmp_path / "m.jsonl").write_bytes(jsonl({"audio_filepath": "c.wav"}))
    found = rows(tmp_path)
    assert found["b.wav"].error == "broken link"
    assert found["c.wav"].error == "named in a.jsonl but not found"


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
