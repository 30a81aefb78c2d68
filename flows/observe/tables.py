"""Tables for people, and for what reads a command's standard output."""

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

WIDEST = 100_000  # characters


def print_table(table: Table) -> None:
    """Print a table on standard output with all of its figures, each row as one line however narrow the terminal is.

    Rich would cut cells off to make them fit, also where the output is a file or a pipe, which it takes for 80 wide.
    """
    out = Console(markup=False)
    needed = Measurement.get(out, out.options.update(max_width=WIDEST), table).maximum
    out.width = max(out.width, needed)
    out.print(table, crop=False)
