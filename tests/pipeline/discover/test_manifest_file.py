"""One manifest on its way into the database: its lines, its problems, and the rows that it leaves."""

import gzip
import os

import pytest

from clean_corpus.pipeline.core.config import ManifestConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover.manifest_file import TABLES, ManifestFile


@pytest.fixture
def db():
    """A database with the tables that manifests fill, and one manifest."""
    with scratch_database() as made:
        for name, columns in TABLES.items():
            made.execute(f"CREATE TABLE {name} ({columns})")
        made.execute("INSERT INTO manifest (number, path, folder) VALUES (1, ?, ?)", (b"deep/m.jsonl", b"deep"))
        yield made


def problems(db):
    """Line and words of each problem that was noted."""
    return db.execute("SELECT line, words FROM problem ORDER BY rowid").fetchall()


@pytest.fixture
def manifest(db, tmp_path):
    (tmp_path / "deep").mkdir()
    return ManifestFile(db, 1, b"deep/m.jsonl", tmp_path, tmp_path)


def test_a_manifest_knows_its_file_its_folder_and_the_roots_of_absolute_names(db, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    manifest = ManifestFile(db, 1, b"deep/caf\xe9.jsonl", tmp_path / "link", tmp_path)
    assert manifest.file == tmp_path / "link" / os.fsdecode(b"deep/caf\xe9.jsonl") and manifest.folder == b"deep"
    assert manifest.roots == (os.fsencode(tmp_path / "link"), os.fsencode((tmp_path / "real").resolve()))
    assert ManifestFile(db, 1, b"m.jsonl", tmp_path, tmp_path).folder == b""


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\nb\n", [(1, "a"), (2, "b")]),
        (b"a\n\n  \nb", [(1, "a"), (4, "b")]),
        (b"\xef\xbb\xbfa\r\nb \n", [(1, "a"), (2, "b ")]),
        ("é\n\u2028\n".encode(), [(1, "é")]),
        (b"", []),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_lines_that_are_not_blank_have_their_numbers(db, tmp_path, content, lines, packed):
    path, pack = ("m.jsonl.gz", gzip.compress) if packed else ("m.jsonl", bytes)
    (tmp_path / path).write_bytes(pack(content))
    manifest = ManifestFile(db, 1, path.encode(), tmp_path, tmp_path)
    assert list(manifest.lines()) == lines and problems(db) == []


@pytest.mark.parametrize(
    ("name", "content", "lines", "problem"),
    [
        ("m.jsonl", None, [], "cannot read: No such file or directory"),
        ("m.jsonl", b"a\ncaf\xe9\n", [(1, "a")], "expected UTF-8, but byte 0xe9"),
        ("m.jsonl.gz", b"not packed", [], "cannot read: Not a gzipped file"),
        ("m.jsonl.gz", gzip.compress(b"a\n" * 9, mtime=0)[:-4], None, "cannot read: Compressed file ended before"),
    ],
)
def test_what_cannot_be_read_is_a_problem_and_no_error(db, tmp_path, name, content, lines, problem):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    manifest = ManifestFile(db, 1, name.encode(), tmp_path, tmp_path)
    found = list(manifest.lines())
    assert lines is None or found == lines
    [(_, words)] = problems(db)
    assert words.startswith(problem)


def test_problems_are_noted_with_their_lines(manifest, db):
    manifest.add_problem("half \ud83d", 3)
    with manifest.noting_problems(9):
        raise ConfigError("expected JSON")
    with manifest.noting_problems():
        raise ConfigError("of the whole file")
    assert problems(db) == [(3, r"half \ud83d"), (9, "expected JSON"), (None, "of the whole file")]


def test_errors_of_the_program_are_not_hidden(manifest, db):
    with pytest.raises(ZeroDivisionError), manifest.noting_problems():
        raise ZeroDivisionError
    assert problems(db) == []


def test_statements_are_rows_of_their_manifest(manifest, db):
    manifest.add_statement(7, 3, 1.5, Metadata("hi", "ann", "CC0", "yes"))
    manifest.add_statement(None, 4, 0.0, Metadata(language="en"), end_s=2.0, part="p", lhotse_id=b"r1")
    assert db.execute("SELECT * FROM statement").fetchall() == [
        (7, None, 1, 3, 1.5, None, "", "hi", "ann", "CC0", "yes", None),
        (None, b"r1", 1, 4, 0.0, 2.0, "p", None, None, None, None, "en"),
    ]


def test_a_missing_file_is_noted_once_for_each_manifest(manifest, db, tmp_path):
    for _ in range(2):
        manifest.add_missing(b"deep/a.wav", 4)
    ManifestFile(db, 2, b"n.jsonl", tmp_path, tmp_path).add_missing(b"deep/a.wav", 5)
    assert db.execute("SELECT * FROM missing ORDER BY manifest").fetchall() == [
        (b"deep/a.wav", 1, 4), (b"deep/a.wav", 2, 5),
    ]  # fmt: skip


@pytest.mark.parametrize("bomb", [b"c\n", b"\n", b"x" * 2**20])  # lines, blank lines, one line without an end
def test_what_exceeds_a_limit_is_not_read_and_said(db, tmp_path, bomb):
    (tmp_path / "m.jsonl.gz").write_bytes(gzip.compress(b"a\nb\n" + bomb * (2**21 // len(bomb)), 1))
    manifest = ManifestFile(db, 1, b"m.jsonl.gz", tmp_path, tmp_path, ManifestConfig(max_lines=1000, max_mb=1))
    lines = list(manifest.lines())
    assert lines[:2] == [(1, "a"), (2, "b")] and len(lines) <= 1000
    [(line, words)] = problems(db)
    assert line is None and "the rest is not read" in words
    assert ("manifest.max_mb, 1 MiB" if len(bomb) > 2 else "manifest.max_lines, 1000") in words
    assert manifest.first_lines(2) == ["a", "b"]
