"""Write the table of export layouts from the layouts themselves.

usage: python benchmarks/layout_table.py     writes the section `layouts` of the documents
"""

import argparse

from documents import table, write_section

from clean_corpus.pipeline.export.layouts import LAYOUTS, Layout


def row(name: str, layout: Layout) -> list[object]:
    """Return what the table says of a layout."""
    rate = layout.sample_rate or "the corpus'"
    least, most = (f"{limit:.3g}" if limit else "" for limit in layout.limits_s(layout.sample_rate))
    length = f"{least} to {most}".strip() if least or most else "any"
    lists = (layout.write.__doc__ or "").splitlines()[0].removeprefix("Write ").rstrip(".")
    return [f"`{name}`", layout.reader, rate, length, lists.replace("|", r"\|"), layout.split, layout.source]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    head = ["`--for`", "reader", "Hz", "seconds", "lists", "split", "source of the layout"]
    write_section("layouts", table(head, [row(name, layout) for name, layout in LAYOUTS.items()]))


if __name__ == "__main__":
    main()
