"""The table of recordings: read as often as one likes, compared with other tables, searched by path, name and stem."""

import os
from pathlib import Path

from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.discover import find, find_all
from clean_corpus.pipeline.discover.recordings import (
    Recordings,
    add,
    create_table,
    find_by_name,
    find_by_path,
    find_by_stem,
)


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).write_bytes(os.fsencode(name))


def test_recordings_are_read_from_the_database_as_often_as_one_likes(tmp_path):
    write(tmp_path, "a.wav", "b.wav", "c.wav")
    (tmp_path / "b.txt").write_text("bee")
    with scratch_database() as db:
        recordings = find(tmp_path, db, exclude=None)
        assert len(recordings) == 3
        one, other = iter(recordings), iter(recordings)
        assert next(one) == next(other)
        db.execute("CREATE TABLE elsewhere (x)")
        assert [next(one), *one] == list(other) == list(recordings)[1:]
        assert list(recordings) == find_all(tmp_path, exclude=None)


def test_sources_that_a_table_lacks_are_counted(tmp_path):
    names = ["a.wav", "b.wav", "c.wav", "d.wav", os.fsdecode(b"caf\xe9.wav")]
    write(tmp_path, *names)
    with scratch_database() as db:
        recordings = find(tmp_path, db, exclude=None)
        db.execute("CREATE TABLE named (source TEXT)")
        assert recordings.absent("named") == (5, ["a.wav", "b.wav", "c.wav"])
        db.executemany("INSERT INTO named VALUES (?)", [("b.wav",), ("b.wav",), (None,), ("other.wav",)])
        assert recordings.absent("named") == (4, ["a.wav", "c.wav", r"caf\xe9.wav"])
        db.executemany("INSERT INTO named VALUES (?)", [(recording.source,) for recording in recordings])
        assert recordings.absent("named") == (0, [])


def test_what_is_no_recording_is_not_lacking(tmp_path):
    write(tmp_path, "a.wav")
    (tmp_path / "a.txt").write_text("hello")
    with scratch_database() as db:
        recordings = find(tmp_path, db, exclude=None)
        db.execute("CREATE TABLE named AS SELECT 'a.wav' AS source")
        assert recordings.absent("named") == (0, [])


def test_recordings_are_found_by_path_name_and_stem():
    with scratch_database() as db:
        create_table(db)
        names = ["a.wav", "a.b.wav", "a", "a/x.wav", "ab.wav", "a-1.wav"]
        add(db, ((name, None, 0, None) for name in names))
        add(db, [("a.bad", "permission denied", 0, None)])
        paths = {number: os.fsdecode(path) for number, path in db.execute("SELECT number, path FROM found")}
        assert [paths[number] for number, _ in find_by_path(db, b"a.wav")] == ["a.wav"]
        assert find_by_path(db, b"a.bad") == [] == find_by_path(db, b"gone")
        assert sorted(path for _, path in find_by_name(db, b"a")) == [b"a", b"a.wav"]
        assert [path for _, path in find_by_name(db, b"a.b.wav")] == [b"a.b.wav"]
        assert sorted(path for _, path in find_by_stem(db, b"a")) == [b"a", b"a.wav"]


def test_of_two_with_one_path_the_later_one_counts():
    with scratch_database() as db:
        create_table(db)
        add(db, [("a.wav", None, 1, "first"), ("a.wav", "symlink loop", 2, None)])
        (recording,) = Recordings(db)
        assert (recording.size, recording.etag, recording.error) == (2, None, "symlink loop")


def test_names_that_are_not_there_are_searched_composed():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    with scratch_database() as db:
        create_table(db)
        add(db, [(f"{decomposed}.wav", None, 0, None), (f"{decomposed}/x.wav", None, 0, None)])
        for find_it in (find_by_name, find_by_stem):
            assert [path for _, path in find_it(db, composed.encode())] == [f"{decomposed}.wav".encode()]
        assert [path for _, path in find_by_path(db, f"{composed}/x.wav".encode())] == [f"{decomposed}/x.wav".encode()]
        add(db, [(f"{composed}.wav", None, 0, None)])
        for name in (composed, decomposed):
            assert [path for _, path in find_by_path(db, f"{name}.wav".encode())] == [f"{name}.wav".encode()]
            assert [path for _, path in find_by_name(db, name.encode())] == [f"{name}.wav".encode()]
