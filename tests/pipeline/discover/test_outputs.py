"""Outputs of other runs that lie in an input are passed over and named; as the input itself one is refused."""

import os
import re
from pathlib import Path

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.discover import find_all

BUCKET = "found"
FILES = (
    "a.wav", "corpus/run.json", "corpus/report/audio/a.wav", "corpus/versions/0001/manifest.json",
    "corpus0.wav", "corpus.wav", "nightly/de/versions/12345/manifest.json", "nightly/de/shards/x.tar", "nightly/b.wav",
    "killed/work/groups.parquet", "killed/work/raw/x.tar", "versions/take2/manifest.json", "work/groups.wav",
)  # fmt: skip
RECORDINGS = ["a.wav", "corpus.wav", "corpus0.wav", "nightly/b.wav", "work/groups.wav"]


def put(request: pytest.FixtureRequest, root: Location, *files: str) -> None:
    for name in files:
        if isinstance(root, Path):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(name.encode())
        else:
            request.getfixturevalue("client").put_object(Bucket=BUCKET, Key=root.key(name), Body=name.encode())


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    made = tmp_path if request.param == "folder" else S3Folder(BUCKET, request.node.name)
    put(request, made, *FILES)
    return made


def names(root: Location) -> list[str]:
    return [recording.path for recording in find_all(root, exclude=None) if recording.path.endswith(".wav")]


def test_what_other_runs_wrote_is_no_recording(root, caplog):
    assert names(root) == RECORDINGS
    (line,) = (record.getMessage() for record in caplog.records if record.name == "clean_corpus")
    assert line == f"{root}: passed over what other runs wrote there: corpus/, killed/, nightly/de/"


def test_as_input_it_is_refused_and_what_lies_in_it_is_not(root):
    for name in ("corpus", "nightly/de", "killed"):
        with pytest.raises(ConfigError, match=rf"input .*/{name} is what a run wrote, .*: give the recordings that"):
            find_all(root / name, exclude=None)
    assert names(root / "corpus/report/audio") == ["a.wav"], "that was asked for"


def test_what_an_export_wrote_is_no_recording_unless_it_is_asked_for(root, request, caplog):
    export = (".export/layout.json", ".export/units.jsonl.gz", "README.md", "card.json", "wavs/a.wav", "list.txt")
    put(request, root, *(f"voices/anna/{name}" for name in export), "voices/b.wav", ".old/x/.export/layout.json")
    put(request, root, "voices/c/.export/notes.txt", "voices/c/c.wav", "voices/d.export/layout.json")
    found = [recording.path for recording in find_all(root, exclude=None)]
    others = ["voices/b.wav", "voices/c/c.wav", "voices/d.export/layout.json"]
    assert [path for path in found if "voices" in path] == others
    lines = [record.getMessage() for record in caplog.records if record.name == "clean_corpus"]
    assert lines[1:] == [f"{root}: passed over exports that lie there: voices/anna/"]
    assert not [path for path in found if "/.export" in path]
    assert names(root / "voices/anna") == ["wavs/a.wav"], "that was asked for"
    assert not [r.path for r in find_all(root / "voices/anna", exclude=None) if ".export" in r.path]


def test_a_manifest_beside_an_export_names_what_it_names(tmp_path, request):
    put(request, tmp_path, "x/.export/layout.json", ".export/layout.json", "a.wav")
    (tmp_path / "list.jsonl").write_text('{"audio_filepath": "a.wav", "text": "one"}\n')
    assert [recording.path for recording in find_all(tmp_path / "list.jsonl", exclude=None)] == ["a.wav"]


def test_names_need_not_be_utf_8_and_many_are_counted(tmp_path, caplog):
    folders = [os.fsdecode(b"caf\xe9"), "new\nline", "c", "d", "e"]
    for folder in folders:
        (tmp_path / folder / "versions/0001").mkdir(parents=True)
        (tmp_path / folder / "versions/0001/manifest.json").touch()
        (tmp_path / folder / "a.wav").touch()
    assert find_all(tmp_path, exclude=None) == []
    assert caplog.messages[0].endswith(r": c/, caf\xe9/, d/ and 2 more")


def test_a_manifest_may_lie_in_an_output(tmp_path):
    (tmp_path / "versions/0001").mkdir(parents=True)
    (tmp_path / "versions/0001/manifest.json").touch()
    (tmp_path / "a.wav").write_bytes(b"a")
    (tmp_path / "list.jsonl").write_text('{"audio_filepath": "a.wav", "text": "one"}\n')
    (recording,) = find_all(tmp_path / "list.jsonl", exclude=None)
    assert (recording.path, recording.metadata.text) == ("a.wav", "one")


def test_an_input_may_lie_in_its_output(root):
    def found(source: Location, output: Location) -> list[str]:
        return [recording.path for recording in find_all(source, exclude=output)]

    assert found(root / "corpus/report/audio", root / "corpus") == ["a.wav"]
    assert found(root / "nightly/b.wav", root / "nightly") == ["b.wav"]
    assert "corpus/run.json" not in found(root, root / "corpus"), "what lies in INPUT is passed over as ever"
    with pytest.raises(ConfigError, match=rf"output {re.escape(str(root))} is the input folder itself; choose another"):
        find_all(root, exclude=root)


def test_a_whole_bucket_is_an_output_like_any_folder(client):
    bucket = S3Folder(f"{BUCKET}-whole")
    client.create_bucket(Bucket=bucket.bucket)
    client.put_object(Bucket=bucket.bucket, Key="rec/a.wav", Body=b"a")
    assert [recording.path for recording in find_all(bucket / "rec", exclude=bucket)] == ["a.wav"]
    with pytest.raises(ConfigError, match=f"output {bucket} is the input folder itself"):
        find_all(bucket, exclude=bucket)
