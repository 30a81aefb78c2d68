"""What all commands print alike: failures by name, the end of a folder, locations."""

from pathlib import Path

import pytest

from clean_corpus.flows.cli import console
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.locations import S3Folder


def test_failures_are_lines_of_standard_error_with_names_as_they_are(capsys):
    console.print_failures({"[red]a.wav": "no audio", "b [1].wav": "expected [/] 16000 Hz"})
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "failed: [red]a.wav: no audio",
        "failed: b [1].wav: expected [/] 16000 Hz",
    ]
    assert printed.out == ""


def test_the_end_of_a_folder_counts_what_was_done_and_what_failed(capsys):
    console.print_end_of_folder("in", "scored", 3, {"a.wav": "no audio"})
    assert capsys.readouterr().err.splitlines() == ["failed: a.wav: no audio", "scored 3, failed 1"]


def test_a_folder_of_which_nothing_could_be_read_is_an_error(capsys):
    with pytest.raises(CleanCorpusError, match=r"^nothing could be read in in/put$"):
        console.print_end_of_folder(Path("in/put"), "enhanced", 0, {"a.wav": "no audio"})
    assert "enhanced 0, failed 1" in capsys.readouterr().err


def test_paths_are_shown_from_the_root_and_buckets_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert console.shown(Path("out")) == tmp_path / "out"
    assert console.shown(S3Folder("b", "x")) == S3Folder("b", "x")


def test_the_message_of_an_interruption_comes_last_with_the_cursor(capsys):
    console._print_last("interrupted; run the same command again")
    assert capsys.readouterr().err.endswith("interrupted; run the same command again\n")
