"""Figures are written into whichever document holds their markers, and scripts say how they are used."""

import os
import subprocess
import sys

import pytest

from tests.support.paths import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"


@pytest.fixture
def documents(monkeypatch):
    """The module, found as the scripts beside it find it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import documents

    return documents


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Title\n\nFigures stand between `<!-- speed -->` markers.\n")
    (tmp_path / "docs/A.md").write_text("Before.\n\n<!-- speed -->\nold\n<!-- /speed -->\n\nAfter.\n")
    (tmp_path / "docs/B.md").write_text("<!-- size -->\n<!-- /size -->\n")
    return tmp_path


def test_a_section_is_replaced_in_the_document_that_has_its_markers(documents, repository, capsys):
    before = {path: path.read_text() for path in repository.rglob("*.md")}
    documents.write_section("speed", "new\nlines\n", repository)
    changed = {path.name for path, text in before.items() if path.read_text() != text}
    assert changed == {"A.md"} and capsys.readouterr().out == "new\nlines\n\n"
    expected = "Before.\n\n<!-- speed -->\nnew\nlines\n<!-- /speed -->\n\nAfter.\n"
    assert (repository / "docs/A.md").read_text() == expected
    documents.write_section("size", "3 m", repository)  # an empty one that begins its document
    assert (repository / "docs/B.md").read_text() == "<!-- size -->\n3 m\n<!-- /size -->\n"


def test_markers_in_no_document_or_in_two_are_refused(documents, repository):
    with pytest.raises(ValueError, match=r"<!-- weight --> .*: 0 of README\.md, docs/A\.md, docs/B\.md hold them"):
        documents.write_section("weight", "x", repository)
    (repository / "README.md").write_text("<!-- speed -->\n<!-- /speed -->\n")
    with pytest.raises(ValueError, match=r"<!-- speed --> .*: 2 of .*README\.md, docs/A\.md hold them"):
        documents.write_section("speed", "x", repository)


def test_a_table_is_markdown(documents):
    assert documents.table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"


def test_the_table_of_settings_says_how_it_is_used():
    command = [sys.executable, str(BENCHMARKS / "settings_table.py"), "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert ended.returncode == 0 and "section `settings`" in ended.stdout, ended.stderr


def test_benchmarks_hold_no_paths_of_one_machine():
    for path in BENCHMARKS.iterdir():
        if path.suffix in (".py", ".yaml", ".json"):
            assert not [word for word in ("/work", "/home/", "/root", "/tmp/") if word in path.read_text()], path.name
