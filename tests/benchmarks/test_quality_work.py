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
    """Three whose names, each to the right, would lie on one another, and one whose name would leave the panel."""
    ax = Figure(figsize=(3, 3)).subplots()
    ax.set(xscale="log", xlim=(10, 1000), ylim=(0, 1))
    places = [("one", 300, 0.5), ("another", 320, 0.51), ("third", 500, 0.5), ("at the edge", 900, 0.7)]
    points = [quality_work.Point(name, x, {"pesq_wb": y}) for name, x, y in places]
    unmeasured = quality_work.Point("unmeasured", 300, {})
    ax.figure.draw_without_rendering()
    quality_work._name(ax, "pesq_wb", {"black": points[:2], "red": [*points[2:], unmeasured]})
    assert [text.get_text() for text in ax.texts] == [point.name for point in points]
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    spots = ax.transData.transform([(x, y) for _, x, y in places])
    assert not any(box.contains(*spot) for box in boxes for spot in spots)
    assert all(ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 for box in boxes)
