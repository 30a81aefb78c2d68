"""A table on standard output has all of its figures, however narrow the terminal is."""

import pytest
from rich.table import Table

from clean_corpus.flows.observe.tables import print_table

ROW = ("1 (again)", "2026-01-31 02:00", "[/] /models/of the [new] network/crn-with-a-long-name.safetensors")


@pytest.mark.parametrize(
    "terminal", [{}, {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"}], ids=["pipe", "terminal"]
)
@pytest.mark.parametrize("columns", [20, 80, 200])
def test_each_row_is_a_line_with_every_cell_whole(capsys, monkeypatch, columns, terminal):
    for name, value in {"COLUMNS": str(columns), **terminal}.items():
        monkeypatch.setenv(name, value)
    table = Table("version", "made", "enhancer")
    table.add_row(*ROW)
    print_table(table)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "again" in line]
    assert [cell.strip() for cell in line.split("│")[1:-1]] == list(ROW)
