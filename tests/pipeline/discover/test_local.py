"""Discovery: which files have a row, and what it says, whatever their names and links are."""

import hashlib
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.discover import find, find_all, hashes, manifests
from clean_corpus.pipeline.discover import local as sources
from clean_corpus.pipeline.discover.groups import group_recordings
from clean_corpus.pipeline.storage.local import LocalStore


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(name))


def found(root: Path, exclude: Path | None = None) -> dict[str, str | None]:
    return {recording.path: recording.error for recording in find_all(root, exclude=exclude)}


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything, so tests of permissions give that up for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_every_file_has_one_row_sorted_and_hashed(tmp_path):
    write(tmp_path, "b/x.wav", "a.flac", "notes.md", "a/x.wav", "photo.jpg")
    recordings = find_all(tmp_path, exclude=None)
    assert [recording.path for recording in recordings] == ["a.flac", "a/x.wav", "b/x.wav", "notes.md", "photo.jpg"]
    for recording in recordings:
        content = recording.path.encode()
        assert (recording.size, recording.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert (recording.source, recording.error) == (recording.path, None)
    assert len({recording.key for recording in recordings}) == 5


def test_hidden_files_and_the_output_folder_are_passed_over(tmp_path):
    write(tmp_path, "a.wav", ".b.wav", ".git/c.wav", "out/d.wav", "in/out/e.wav")
    (tmp_path / "link").symlink_to("out")
    assert list(found(tmp_path, tmp_path / "out")) == ["a.wav", "in/out/e.wav"]
    assert list(found(tmp_path, tmp_path / "not-yet")) == ["a.wav", "in/out/e.wav", "link/d.wav", "out/d.wav"]


def test_nothing_missing_and_the_same_folder(tmp_path):
    assert find_all(tmp_path, exclude=None) == []
    with pytest.raises(ConfigError, match=r"no such file or folder"):
        find_all(tmp_path / "gone", exclude=None)
    with pytest.raises(ConfigError, match=r"is the input folder itself"):
        find_all(tmp_path, exclude=tmp_path / "x" / "..")


def test_names_of_every_kind(tmp_path):
    names = ["two words.wav", "a.b.c.wav", 'it\'s "quoted".wav', "new\nline.wav", "x" * 196 + ".wav", "ünï/x.wav"]
    names.append(os.fsdecode(b"caf\xe9.wav"))
    write(tmp_path, *names)
    recordings = find_all(tmp_path, exclude=None)
    assert sorted(recording.path for recording in recordings) == sorted(names)
    assert not any(recording.error for recording in recordings)
    sources = {recording.path: recording.source for recording in recordings}
    assert sources.pop(os.fsdecode(b"caf\xe9.wav")) == r"caf\xe9.wav"
    assert all(path == source for path, source in sources.items())


def test_links_are_followed_and_loops_and_broken_ones_named(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    root = tmp_path / "in"
    write(elsewhere, "y.wav")
    write(root, "a/x.wav")
    (root / "a" / "again").symlink_to(".")
    (root / "a" / "up").symlink_to("..")
    (root / "broken.wav").symlink_to("nowhere.wav")
    (root / "folder").symlink_to(elsewhere)
    (root / "link.wav").symlink_to("a/x.wav")
    (root / "self.wav").symlink_to("self.wav")
    assert found(root) == {
        "a/again": "symlink loop",
        "a/up": "symlink loop",
        "a/x.wav": None,
        "broken.wav": "broken link",
        "folder/y.wav": None,
        "link.wav": None,
        "self.wav": "symlink loop",
    }


@pytest.mark.timeout(10)
def test_a_fifo_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert found(tmp_path) == {"pipe.wav": "not a regular file"}


def test_what_may_not_be_read_says_so(tmp_path):
    root = tmp_path / "in"
    write(root, "good.wav", "file.wav", "folder/x.wav")
    for path in (tmp_path, *tmp_path.parents):  # pytest's own folders are for their owner only
        if "pytest-of" in str(path):
            path.chmod(0o755)
    (root / "file.wav").chmod(0)
    (root / "folder").chmod(0)
    with unprivileged():
        assert found(root) == {"file.wav": "permission denied", "folder": "permission denied", "good.wav": None}
    (root / "folder").chmod(0o700)


def test_one_file_alone_with_its_sidecar(tmp_path):
    write(tmp_path, "a.wav", "b.wav")
    (tmp_path / "a.txt").write_text("hello")
    [recording] = find_all(tmp_path / "a.wav", exclude=None)
    assert (recording.path, recording.metadata.text) == ("a.wav", "hello")


def test_one_manifest_gives_what_it_names(tmp_path):
    write(tmp_path, "a.wav", "b.wav", "c.wav")
    rows = ['{"audio_filepath": "a.wav", "text": "one"}', '{"audio_filepath": "gone.wav", "text": "two"}', "nonsense"]
    (tmp_path / "m.jsonl").write_text("\n".join(rows))
    (tmp_path / "c.txt").write_text("not asked for")
    recordings = find_all(tmp_path / "m.jsonl", exclude=None)
    assert [recording.path for recording in recordings] == ["a.wav", "gone.wav", "m.jsonl:3"]
    assert recordings[0].metadata.text == "one"
    assert recordings[1].error == "not found: named in m.jsonl line 2"
    assert recordings[2].error.startswith("malformed manifest: m.jsonl line 3: expected JSON")


def test_the_order_is_that_of_bytes(tmp_path):
    names = [os.fsdecode(name) for name in (b"Z.wav", b"a-1.wav", b"a/x.wav", b"\xee\x80\x80.wav", b"\xf5.wav")]
    write(tmp_path, *names[::-1])
    assert list(found(tmp_path)) == names != sorted(names)


def test_windows_change_nothing(tmp_path, monkeypatch):
    for i in range(7):
        write(tmp_path, f"{i}/x.wav", f"{i}/y.wav")
        (tmp_path / f"{i}/x.txt").write_text(f"text {i}")
        (tmp_path / f"{i}/metadata.csv").write_text(f"y|why {i}")
    whole = find_all(tmp_path, exclude=None)
    assert [r.metadata.text for r in whole] == [text for i in range(7) for text in (f"text {i}", f"why {i}")]
    monkeypatch.setattr(sources, "_WINDOW", 2)
    monkeypatch.setattr(manifests, "_WINDOW", 2)
    assert find_all(tmp_path, exclude=None) == whole


def test_a_file_is_hashed_once_as_long_as_it_is_as_it_was(tmp_path, monkeypatch):
    """In one run and in the next, whatever is done to its time stamps; and what is hidden is not remembered."""
    folder, store = tmp_path / "in", LocalStore(tmp_path / "out")
    write(folder, "a.wav", "b.wav", "odd\udce9.wav")
    hashed, digest = [], hashlib.file_digest

    def file_digest(file, name):
        hashed.append(file.name)
        return digest(file, name)

    monkeypatch.setattr(sources.hashlib, "file_digest", file_digest)

    def run(hidden=None) -> list[Recording]:
        hashed.clear()
        with scratch_database() as db:
            recordings = find(folder, db, exclude=None, store=store)
            listed = list(recordings)
            group_recordings(store, recordings, 64, hidden)
        assert [sources.verify_unchanged(folder, recording) for recording in listed] == listed
        return listed

    first = run()
    assert len(hashed) == 6 and first[0].stamp is None, "just written: the next change may not be seen in its times"
    monkeypatch.setattr(hashes.time, "time_ns", lambda now=time.time_ns: now() + 10**10)
    assert run() == first and len(hashed) == 3 and store.size(hashes.KEY)
    written = store.path(hashes.KEY).stat().st_mtime_ns
    assert run() == first and not hashed and store.path(hashes.KEY).stat().st_mtime_ns == written
    times = (folder / "a.wav").stat()
    (folder / "a.wav").write_bytes(b"A.wav")  # as long as before
    os.utime(folder / "a.wav", ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = run(lambda source, *_: ("forgotten", "forgotten: asked") if source == "b.wav" else None)
    assert hashed == [os.fsencode(folder / "a.wav")] and changed[0].sha256 == hashlib.sha256(b"A.wav").hexdigest()
    assert pq.read_table(io.BytesIO(store.read(hashes.KEY)))["path"].to_pylist() == [b"a.wav", b"odd\xe9.wav"]
    (folder / "a.wav").write_bytes(b"another")
    assert sources.verify_unchanged(folder, changed[0]).error.startswith("source changed")
