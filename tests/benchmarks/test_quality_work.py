"""The figure of quality against work: it lies in the documents, small, with every shipped weight and tool in it."""

import json

import pytest

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


def test_names_of_neighbours_stand_apart(quality_work):
    points = [
        quality_work.Point(*each) for each in (("a", 33, {"x": 3.0}), ("b", 40, {"x": 3.1}), ("c", 900, {"x": 4}))
    ]
    assert [quality_work._shift(point, points, "x") for point in points] == [-3.5, 3.5, 0.0]
