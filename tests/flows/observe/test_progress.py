"""Progress for people: lines where standard error is no terminal, bars where it is one."""

import io

import pytest
from rich.console import Console

from clean_corpus.flows.observe import progress


def printed(total: int, *steps: int) -> list[str]:
    """What a stage prints to a file while it advances by these steps."""
    file = io.StringIO()
    with progress.stage(Console(file=file), "enhance", total, "shards") as advance:
        for pieces in steps:
            advance(pieces)
    return file.getvalue().splitlines()


def test_a_long_stage_has_a_line_per_tenth():
    lines = printed(1000, *[1] * 1000)
    assert lines == [f"enhance: {finished}/1000 shards" for finished in range(100, 1001, 100)]


def test_a_short_stage_has_a_line_per_piece():
    assert printed(3, 1, 1, 1) == ["enhance: 1/3 shards", "enhance: 2/3 shards", "enhance: 3/3 shards"]


def test_several_pieces_at_once_have_one_line():
    assert printed(20, 1, 12, 7) == ["enhance: 13/20 shards", "enhance: 20/20 shards"]


def test_a_piece_is_one_if_nothing_is_said():
    file = io.StringIO()
    with progress.stage(Console(file=file), "score", 1, "clips") as advance:
        advance()
    assert file.getvalue() == "score: 1/1 clips\n"


def test_a_stage_without_pieces_prints_nothing():
    assert printed(0) == [] and printed(0, 0) == ["enhance: 0/0 shards"]


def test_an_error_in_the_block_is_raised():
    with pytest.raises(ZeroDivisionError), progress.stage(Console(file=io.StringIO()), "score", 2, "clips"):
        raise ZeroDivisionError


def test_a_terminal_gets_a_bar_with_the_count_and_the_unit():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system=None, width=120)
    with progress.stage(console, "enhance", 8, "shards") as advance:
        advance()
        advance(7)
    bars = [line.removeprefix("\x1b[2K") for line in file.getvalue().splitlines() if "shards" in line]
    assert bars[0].split()[0] == bars[-1].split()[0] == "enhance"
    assert " 0/8 shards " in bars[0] and " 8/8 shards " in bars[-1]
