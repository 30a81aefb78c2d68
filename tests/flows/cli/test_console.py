"""What all commands print alike: failures by name, the end of a folder, locations; output that cannot be written."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from clean_corpus.flows.cli import console
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.paths import COMMAND
from tests.support.versions import draft, row


def test_failures_are_lines_of_standard_error_with_names_as_they_are(capsys):
    console.print_failures({"[red]a.wav": "no audio", "b [1].wav": "expected [/] 16000 Hz"})
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [
        "failed: [red]a.wav: no audio",
        "failed: b [1].wav: expected [/] 16000 Hz",
    ]
    assert printed.out == ""


LONG = "recordings of a long evening in the studio/take 17 [final] of the second session, as somebody named it.wav"


def test_a_line_in_a_file_or_a_pipe_is_not_broken(capsys):
    console.print_failures({LONG: "not audio: format not recognised"})
    console.console.print(f"demo corpus: {LONG}")
    assert capsys.readouterr().err.splitlines() == [
        f"failed: {LONG}: not audio: format not recognised",
        f"demo corpus: {LONG}",
    ]


def test_a_name_cannot_move_the_cursor_nor_begin_a_line_of_its_own(capsys):
    console.print_failures({"a\nfailed: b.wav\x1b[2J": "no audio", "c\r\x9b1A\u2028.wav": "no audio"})
    console.console.print("two lines\nof ours, \x1b]0;title\x07")
    assert capsys.readouterr().err.splitlines() == [
        r"failed: a\nfailed: b.wav\x1b[2J: no audio",
        r"failed: c\r\x9b1A\u2028.wav: no audio",
        "two lines",
        r"of ours, \x1b]0;title\x07",
    ]


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


FULL = "error: standard output: No space left on device; what is missing of it was not printed: make room there\n"


@pytest.mark.parametrize("command", ["versions {}", "versions {} --json", "diff {} 1 2", "--help"])
def test_a_full_standard_output_is_one_line_and_exit_code_1(tmp_path, command):
    """Tables of rich, lines of print and texts of click, each of which fails at another moment."""
    store = LocalStore(tmp_path)
    versions.publish(store, draft(store, row("a")))
    versions.publish(store, draft(store, row("b")))
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [COMMAND, *command.format(tmp_path).split()], stdout=full, stderr=subprocess.PIPE, text=True, timeout=100
        )
    remark = "1 new, 1 gone, 0 changed\n" if command.startswith("diff") else ""
    assert (ended.returncode, ended.stderr) == (1, remark + FULL)


def test_an_error_keeps_its_exit_code_where_nothing_can_be_printed(tmp_path):
    with open("/dev/full", "w") as full:
        ended = subprocess.run([COMMAND, "diff", tmp_path, "1", "2"], stdout=full, stderr=full, timeout=100)
    assert ended.returncode == 2


def test_a_reader_that_has_enough_is_told_nothing(tmp_path):
    ended = subprocess.run(
        f"{COMMAND} versions {tmp_path} --json | true; exit ${{PIPESTATUS[0]}}",
        shell=True, executable="/bin/bash", stderr=subprocess.PIPE, text=True, timeout=100,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, "")


def test_an_error_of_another_kind_is_not_taken_for_one_of_standard_output(monkeypatch):
    with monkeypatch.context() as patch, open("/dev/full", "w") as full:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(CleanCorpusError, match="no such version"), console.whole_output():
            print("begun")
            raise CleanCorpusError("no such version")
    with pytest.raises(OSError, match="the disk of another file"), console.whole_output():
        raise OSError(errno.ENOSPC, "the disk of another file")
