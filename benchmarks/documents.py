"""The documents of this repository: figures between markers, and Markdown tables."""

import re
from pathlib import Path

from environment import REPOSITORY


def write_section(name: str, text: str, repository: Path = REPOSITORY) -> None:
    """Replace the lines between `<!-- name -->` and `<!-- /name -->` in README.md or docs/*.md, and print the text.

    Raises: ValueError that names the documents unless exactly one holds these markers, each on a line of its own.
    """
    section = re.compile(rf"(?<=^<!-- {re.escape(name)} -->\n).*?(?=^<!-- /{re.escape(name)} -->$)", re.M | re.S)
    documents = [repository / "README.md", *sorted((repository / "docs").glob("*.md"))]
    found = [path for path in documents if section.search(path.read_text())]
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(repository)) for path in found or documents)
        raise ValueError(f"markers <!-- {name} --> and <!-- /{name} -->: {len(found)} of {names} hold them, 1 expected")
    (path,) = found
    path.write_text(section.sub(lambda _: text.strip() + "\n", path.read_text()))
    print(text)


def table(head: list[str], rows: list[list[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
