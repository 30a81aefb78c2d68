"""Draw quality against work: shipped weights, other tools and the papers' systems on the same pairs.

usage: python benchmarks/quality_work.py [OUT.svg]     default: docs/quality-work.svg

Quality comes from the section `shipped` of the documents, from `paper_systems.jsonl` and, for other tools, from
`peers16.json`, which says where their work is from; work of our own networks is measured as the catalogue's. Draw it
anew after benchmarks/pairs.py or benchmarks/paper_systems.py.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from environment import REPOSITORY
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, BboxBase
from paper_orders import mean_and_half
from paper_systems import ROWS, read_rows

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.catalogue import describe
from clean_corpus.enhancers.measure import measure
from clean_corpus.pipeline.report.plots import PAPER, no_metadata, style

FIGURE = REPOSITORY / "docs" / "quality-work.svg"
PEERS = Path(__file__).with_name("peers16.json")
PANELS = {"pesq_wb": "PESQ wb", "stoi": "STOI", "si_sdr_db": "SI-SDR dB", "dnsmos_ovrl": "OVRL"}
YARDSTICK = dict(zip(PANELS, ("pesq", "stoi", "sisdr", "ovrl"), strict=True))  # names in peers16.json
COLUMNS = dict(zip(("PESQ wb", "STOI", "SI-SDR dB", "OVRL"), PANELS, strict=True))  # of the section `shipped`

OFFSETS = ((5, 0), (4, 6), (4, -6), (-5, 0), (-4, 6), (-4, -6), (0, 8), (0, -8))  # points from a point to its name
MARKER = 4  # pixels from the middle of a point to its edge


class Point(NamedTuple):
    """A system: millions of multiplications for a second of audio, and its mean by each measure of PANELS."""

    name: str
    mmac_per_s: float
    quality: dict[str, float]


def shipped(repository: Path = REPOSITORY) -> tuple[list[Point], dict[str, float]]:
    """Return the shipped weights of the section `shipped`, and the noisy speech's quality.

    Raises: ValueError if no document has the section.
    """
    for path in sorted((repository / "docs").glob("*.md")):
        if section := re.search(r"^<!-- shipped -->\n(.*?)^<!-- /shipped -->$", path.read_text(), re.M | re.S):
            break
    else:
        raise ValueError(
            f"no document in {repository / 'docs'} has a section <!-- shipped -->; run benchmarks/pairs.py"
        )
    head, _, *lines = ([cell.strip(" *`") for cell in line.strip("|").split("|")] for line in section[1].splitlines())
    rows = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    quality = {
        name: {COLUMNS[column]: float(row[column]) for column in COLUMNS}
        for name, row in rows.items()
        if name == "noisy" or name in checkpoints.shipped()
    }
    points = [Point(name, _shipped_work(name), quality[name]) for name in quality if name != "noisy"]
    return points, quality["noisy"]


def _shipped_work(weights: str) -> float:
    card = checkpoints.card(weights)
    return _work(card["method"], card["sizes"])


def _work(system: str, sizes: Mapping[str, Any]) -> float:
    """Return the work of a system, in millions: at the paper's size as the catalogue has it."""
    row = measure(system, **sizes) if sizes else describe(system)
    return row["fma_per_s"] / 1e6


def peers() -> list[Point]:
    """Return the other tools that are networks."""
    rows = json.loads(PEERS.read_text())
    return [
        Point(row["name"], row["mmac_per_s"], {key: row["scores"]["all"][YARDSTICK[key]] for key in PANELS})
        for row in rows
        if row["mmac_per_s"]
    ]


def papers(path: Path = REPOSITORY / ROWS) -> list[tuple[float, Point]]:
    """Return the papers' systems with their minutes of training."""
    _, rows = read_rows(path)
    return [
        (row["minutes"], Point(name, _work(name, row.get("sizes", {})), _quality(row)))
        for name, row in rows.items()
        if row["minutes"]
    ]


def _quality(row: dict) -> dict[str, float]:
    found = {key: mean_and_half(row, key) for key in PANELS}
    return {key: value[0] for key, value in found.items() if value}


def draw(out: Path) -> Path:
    """Draw a panel for each measure; return `out`."""
    ours, noisy = shipped()
    trained = papers()
    minutes = sorted({each for each, _ in trained})
    with matplotlib.rc_context(style(PAPER, salt=out.name)):
        figure = Figure(figsize=(7.6, 5.6), layout="constrained")
        for ax, (key, title) in zip(figure.subplots(2, 2, sharex=True).flat, PANELS.items(), strict=True):
            ax.axhline(noisy[key], color=PAPER.ink, linewidth=0.8, linestyle=":", label="noisy")
            for number, each in enumerate(minutes, 1):
                points = [point for length, point in trained if length == each]
                label = f"papers' systems after {each:g} minutes of training"
                _scatter(ax, points, key, "o", PAPER.ink, label, size=14, alpha=0.6 * number / len(minutes))
            _scatter(ax, peers(), key, "^", PAPER.raw, "other tools")
            _scatter(ax, ours, key, "D", PAPER.enhanced, "shipped")
            ax.set_xscale("log")
            ax.set_title(title, loc="left", fontsize=9)
            ax.grid(axis="y")
        for ax in figure.axes[2:]:
            ax.set_xlabel("million multiplications for a second of audio")
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        figure.draw_without_rendering()  # from here on panels stay where they are, and names can be placed in them
        for ax, key in zip(figure.axes, PANELS, strict=True):
            _name(ax, key, {PAPER.enhanced: ours, PAPER.raw: peers()}, [point for _, point in trained])
        figure.savefig(out, dpi=150, facecolor="white", metadata=no_metadata(out.suffix))
    return out


def _scatter(
    ax: Axes, points: list[Point], key: str, marker: str, colour: str, label: str,
    *, size: float = 30, alpha: float = 1.0,
) -> None:  # fmt: skip
    """Draw points of one kind that have this measure."""
    points = [point for point in points if key in point.quality]
    x, y = [point.mmac_per_s for point in points], [point.quality[key] for point in points]
    ax.scatter(x, y, size, marker=marker, color=colour, alpha=alpha, linewidths=0, label=label)


def _name(ax: Axes, key: str, points: dict[str, list[Point]], nameless: list[Point]) -> None:
    """Write the names of points beside them, by colour: where least of a name, a point or a line is covered."""
    named = [
        (each.name, colour, (each.mmac_per_s, each.quality[key]))
        for colour, some in points.items()
        for each in some
        if key in each.quality
    ]
    places = [place for *_, place in named]
    places += [(each.mmac_per_s, each.quality[key]) for each in nameless if key in each.quality]
    pixels = ax.transData.transform(places)
    taken = [Bbox.from_extents(x - MARKER, y - MARKER, x + MARKER, y + MARKER) for x, y in pixels]
    taken += [line.get_window_extent().padded(0, 1) for line in ax.lines]
    for name, colour, place in named:
        candidates = [
            ax.annotate(
                name, place, offset, textcoords="offset points", fontsize=7, color=colour,
                ha={1: "left", 0: "center", -1: "right"}[np.sign(offset[0])], va="center",
            )
            for offset in OFFSETS
        ]  # fmt: skip
        boxes = [text.get_window_extent() for text in candidates]
        best = min(range(len(boxes)), key=lambda i: _covered(boxes[i], [*taken, *_outside(boxes[i], ax.bbox)]))
        taken.append(boxes[best])
        for text in candidates[:best] + candidates[best + 1 :]:
            text.remove()


def _covered(box: BboxBase, others: Sequence[BboxBase]) -> float:
    """Return the area of a box that others cover."""
    shared = (Bbox.intersection(box, other) for other in others)
    return sum(each.width * each.height for each in shared if each)


def _outside(box: BboxBase, panel: BboxBase) -> list[BboxBase]:
    """Return a box if it does not lie whole within a panel."""
    return [box] if box.x0 < panel.x0 or box.x1 > panel.x1 or box.y0 < panel.y0 or box.y1 > panel.y1 else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="?", type=Path, default=FIGURE, help="ends in .svg or .png")
    print(draw(parser.parse_args().out))


if __name__ == "__main__":
    main()
