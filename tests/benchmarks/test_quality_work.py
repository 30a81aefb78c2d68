"""The figure of quality against work: it lies in the documents, small, with every shipped weight and tool in it."""

import itertools
import json

import pytest
from matplotlib.figure import Figure

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.catalogue import describe
from tests.support.paths import REPOSITORY

FIGURE = REPOSITORY / "docs" / "quality-work.svg"


@pytest.fixture
def quality_work(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import quality_work

    return quality_work


def test_the_figure_names_what_the_documents_have_and_is_small(quality_work):
    """After a change of the section `shipped`: python benchmarks/quality_work.py."""
    text = FIGURE.read_text()
    names = [point.name for point in [*quality_work.shipped()[0], *quality_work.peers()]]
    assert len(names) >= 7 and all(text.count(f">{name}<") == 4 for name in names)  # a panel for each measure
    assert FIGURE.stat().st_size < 150_000
    assert f"]({FIGURE.name})" in (REPOSITORY / "docs" / "ENHANCERS.md").read_text()


def test_points_have_work_and_quality_and_peers_their_source(quality_work):
    ours, noisy = quality_work.shipped()
    work = {point.name: 1e6 * point.mmac_per_s for point in ours}
    full = {name: describe(checkpoints.card(name)["method"])["fma_per_s"] for name in work}
    assert work["default"] == pytest.approx(full["default"]) and work["wgan-mild"] < full["wgan-mild"] / 4  # narrower
    assert noisy.keys() == quality_work.PANELS.keys() and noisy["pesq_wb"] == 1.859
    sources = json.loads(quality_work.PEERS.read_text())
    drawn = {point.name for point in quality_work.peers()}
    assert {row["name"] for row in sources if row["work"] != "no network"} == drawn >= {"DeepFilterNet3", "DTLN"}


def test_names_of_neighbours_stand_apart_and_inside_the_panel(quality_work):
    """Three whose names, each to the right, would lie on one another, one whose name would leave the panel, one whose
    name would cover a point that has none, and one on a line.
    """
    ax = Figure(figsize=(3, 3)).subplots()
    ax.set(xscale="log", xlim=(10, 1000), ylim=(0, 1))
    places = [("one", 300, 0.5), ("another", 320, 0.51), ("third", 500, 0.5), ("at the edge", 900, 0.7)]
    places += [("beside", 20, 0.2), ("on a line", 20, 0.8)]
    points = [quality_work.Point(name, x, {"pesq_wb": y}) for name, x, y in places]
    unmeasured = quality_work.Point("unmeasured", 300, {})
    nameless = [quality_work.Point("", 28, {"pesq_wb": 0.2}), unmeasured]
    line = ax.axhline(0.8)
    ax.figure.draw_without_rendering()
    quality_work._name(ax, "pesq_wb", {"black": points[:2], "red": [*points[2:], unmeasured]}, nameless)
    assert [text.get_text() for text in ax.texts] == [point.name for point in points]
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert not any(box.overlaps(line.get_window_extent().padded(0, 1)) for box in boxes)
    spots = ax.transData.transform([(x, y) for _, x, y in [*places, ("", 28, 0.2)]])
    assert not any(box.contains(*spot) for box in boxes for spot in spots)
    assert all(ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 for box in boxes)


def test_the_whole_legend_lies_in_the_figure(quality_work, monkeypatch, tmp_path):
    drawn = []
    point = quality_work.Point("", 500, dict.fromkeys(quality_work.PANELS, 1.0))
    monkeypatch.setattr(quality_work, "papers", lambda: [(10, point), (40, point)])
    monkeypatch.setattr(quality_work.Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    quality_work.draw(tmp_path / "figure.svg")
    (figure,) = drawn
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert len(legend.get_texts()) >= 4
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0 and box.y1 <= figure.bbox.height
