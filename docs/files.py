"""Write the table of files in docs/ARCHITECTURE.md: each module with the first line of its docstring, room by room.

usage: python docs/files.py [--check]     with --check nothing is written; the exit code says whether the table is true
"""

import ast
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
ARCHITECTURE = REPOSITORY / "docs" / "ARCHITECTURE.md"
ROOMS = ("pipeline", "enhancers", "vocoder", "flows")
BEGIN, END = "<!-- files -->\n", "<!-- /files -->"


def main() -> None:
    """Replace what stands between the markers, or compare it with `--check`."""
    head, rest = ARCHITECTURE.read_text().split(BEGIN)
    table, tail = rest.split(END)
    if "--check" not in sys.argv[1:]:
        ARCHITECTURE.write_text(head + BEGIN + tables() + END + tail)
    elif table != tables():
        sys.exit(
            f"{ARCHITECTURE.relative_to(REPOSITORY)} does not list the files as they are: run python docs/files.py"
        )


def tables() -> str:
    """Return one Markdown table a room."""
    return "\n".join(_table(room) for room in ROOMS)


def _table(room: str) -> str:
    rows = [f"| `{path.relative_to(REPOSITORY)}` | {_first_line(path)} |\n" for path in _modules(REPOSITORY / room)]
    return f"### {room}/\n\n| file | what it is for |\n| --- | --- |\n" + "".join(rows)


def _modules(folder: Path) -> list[Path]:
    """Return the modules of a folder, then those of its subfolders, without empty `__init__.py`."""
    entries = sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name))
    files = [path for path in entries if path.suffix == ".py" and path.read_text().strip()]
    return files + [path for entry in entries if entry.is_dir() for path in _modules(entry)]


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    if not docstring:
        sys.exit(f"{path.relative_to(REPOSITORY)} has no docstring to quote")
    return docstring.splitlines()[0].replace("|", "\\|")


if __name__ == "__main__":
    main()
