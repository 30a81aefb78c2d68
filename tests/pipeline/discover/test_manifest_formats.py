"""Formats of manifests: the files that names in LJSpeech, NeMo and lhotse mean, and what is said of them."""

import gzip

import pytest

from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover.manifest_formats import encode_id, manifest_kind
from clean_corpus.pipeline.discover.names import encode_name
from tests.support.manifests import audio, found_rows, jsonl, lhotse_recording


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("metadata.csv", "table"),
        ("deep/er/metadata.csv", "table"),
        ("cuts.jsonl", "jsonl"),
        ("deep/cuts.jsonl.gz", "jsonl"),
        ("other-metadata.csv", "maybe table"),
        ("metadata.csv.wav", None),
        ("metadata.csv/a.wav", None),
        ("train.json", "maybe jsonl"),
        ("a.wav.gz", None),
    ],
)
def test_a_manifest_is_known_by_its_name(path, kind):
    assert manifest_kind(path) == kind


@pytest.mark.parametrize(
    ("name", "encoded"),
    [("é.wav", b"\xc3\xa9.wav"), ("caf\udce9.wav", b"caf\xe9.wav"), ("half \ud83d.wav", rb"half \ud83d.wav")],
)
def test_a_name_is_encoded_as_the_file_system_has_it(name, encoded):
    assert encode_name(name) == encoded


def test_ids_that_are_no_text_stay_apart():
    assert encode_id("é") == "é".encode()
    assert encode_id("half \ud83d").decode("utf-8", "surrogatepass") == "half \ud83d"


def test_ljspeech_ids_and_columns(tmp_path):
    audio(tmp_path, "set/wavs/LJ-1.wav", "set/sub/b.flac", "set/c.wav", "set/d.e.wav")
    lines = ["LJ-1|Dr. Who|Doctor Who", "sub/b|bee", "c.wav|see|", "d.e|dee\r", "", "gone|lost"]
    (tmp_path / "set/metadata.csv").write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    found = found_rows(tmp_path)
    assert {path: row.metadata.text for path, row in found.items()} == {
        "set/wavs/LJ-1.wav": "Doctor Who",
        "set/sub/b.flac": "bee",
        "set/c.wav": "see",
        "set/d.e.wav": "dee",
        "set/gone": None,
    }
    assert found["set/gone"].error == "not found: named in set/metadata.csv line 6"


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
    found = found_rows(tmp_path)
    said = {path: (row.metadata.text, row.metadata.speaker) for path, row in found.items() if row.error is None}
    assert said == {
        "m/a.wav": ("one", "ann"),
        "b.wav": ("two", None),
        "c.wav": ("three", None),
        "d.wav": ("first second", None),  # two speakers: neither
    }
    [lost] = [row for row in found.values() if row.error]
    assert lost.path.endswith("elsewhere/e.wav")
    assert lost.error == "not found: named in m/train.jsonl line 6"


def test_absolute_names_through_a_linked_root(tmp_path):
    audio(tmp_path, "real/a.wav", "real/b.wav")
    root = tmp_path / "link"
    root.symlink_to("real")
    manifest = jsonl(
        {"audio_filepath": str(tmp_path / "real/a.wav"), "text": "one"},
        {"audio_filepath": str(root / "b.wav"), "text": "two"},
    )
    (root / "m.jsonl").write_bytes(manifest)
    assert {path: row.metadata.text for path, row in found_rows(root).items()} == {"a.wav": "one", "b.wav": "two"}


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
    found = found_rows(tmp_path)
    assert sorted(found) == ["a.wav", "b.wav", "c.wav", f"supervisions{suffix}:3"]
    assert found["a.wav"].metadata == Metadata("hello world", "ann", "CC0", "yes")
    assert found["b.wav"].metadata == Metadata()
    assert found["c.wav"].error == f"not found: named in recordings{suffix} line 3"
    assert "line 3: no recording in this folder's manifests has id 'who'" in found[f"supervisions{suffix}:3"].error


def test_lhotse_cuts(tmp_path):
    audio(tmp_path, "a.wav")
    cut = {"id": "c", "start": 0, "duration": 1.0, "channel": 0, "type": "MonoCut"}
    supervision = {"id": "s", "recording_id": "ra", "start": 0.0, "duration": 1.0, "text": "hi", "speaker": "bob"}
    cuts = jsonl(cut | {"recording": lhotse_recording("ra", "a.wav"), "supervisions": [supervision]})
    (tmp_path / "cuts.jsonl.gz").write_bytes(gzip.compress(cuts, mtime=0))
    found = found_rows(tmp_path)
    assert list(found) == ["a.wav"]
    assert found["a.wav"].metadata == Metadata("hi", "bob")


def test_a_name_that_no_file_can_have_is_escaped(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "m.jsonl").write_text(
        '{"audio_filepath": "half \\ud83d.wav"}\n{"audio_filepath": "a.wav", "text": "one"}\n'
    )
    found = found_rows(tmp_path)
    assert found["a.wav"].metadata.text == "one"
    assert found[r"half \ud83d.wav"].error == "not found: named in m.jsonl line 1"


def test_an_id_of_ljspeech_is_a_name_with_or_without_its_extension(tmp_path):
    """An id that has a dot is no name with an extension cut off, and a longer name is another one's."""
    audio(tmp_path, "a.wav", "a.b.wav", "ab.wav", "wavs/a.flac")
    (tmp_path / "metadata.csv").write_text("a|one\n")
    found = found_rows(tmp_path)
    assert {path: row.metadata.text for path, row in found.items()} == {
        "a.wav": "one", "a.b.wav": None, "ab.wav": None, "wavs/a.flac": "one",
    }  # fmt: skip


def test_rows_of_any_kind_may_stand_in_one_manifest_in_any_order(tmp_path):
    audio(tmp_path, "a.wav", "b.wav", "c.wav")
    said = {"id": "s", "recording_id": "ra", "start": 0.0, "text": "hi"}
    cut = {"recording": lhotse_recording("rb", "b.wav"), "supervisions": [said | {"recording_id": "rb", "text": "cut"}]}
    nemo = {"audio_filepath": "c.wav", "text": "nemo"}
    (tmp_path / "all.jsonl").write_bytes(jsonl(said, cut, nemo, lhotse_recording("ra", "a.wav")))
    found = found_rows(tmp_path)
    assert {path: row.metadata.text for path, row in found.items()} == {"a.wav": "hi", "b.wav": "cut", "c.wav": "nemo"}


def test_a_cut_without_supervisions_names_its_recording(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "cuts.jsonl").write_bytes(jsonl({"recording": lhotse_recording("ra", "a.wav")}))
    assert found_rows(tmp_path)["a.wav"].metadata == Metadata()
    (tmp_path / "cuts.jsonl").write_bytes(jsonl({"recording": lhotse_recording("ra", "gone.wav")}))
    assert found_rows(tmp_path)["gone.wav"].error == "not found: named in cuts.jsonl line 1"
