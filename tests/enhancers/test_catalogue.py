"""The list of systems, read from a file in a moment."""

import subprocess
import sys

import pytest

from clean_corpus.enhancers.catalogue import PAPERS, describe, describe_all
from clean_corpus.enhancers.table import ENHANCERS
from clean_corpus.pipeline.core.errors import ConfigError


@pytest.fixture(scope="module")
def rows():
    return {row["name"]: row for row in describe_all()}


def test_every_row_of_the_table_is_described(rows):
    assert list(rows) == [*ENHANCERS, "sgmse+"]


def test_rows_name_the_paper_of_the_table_and_own_networks_none(rows):
    assert all(rows[name]["paper"] == row.paper in PAPERS for name, row in ENHANCERS.items())
    own = [name for name, row in rows.items() if row["paper"] == "own"]
    assert own == [
        "cgcrn-complex",
        "cgcrn-refined",
        "cgcrn-dual-path",
        "lean",
        "lean-causal",
        "full-band",
        "full-band-causal",
    ]


def test_shipped_weights_stand_with_their_row(rows):
    assert list(rows["lean-causal"]["weights"]) == ["default-causal"] and rows["lean-causal"]["causal"]
    assert "Apache-2.0" in rows["lean-causal"]["weights"]["default-causal"]
    assert list(rows["cgcrn-dual-path"]["weights"]) == ["default"] and not rows["cgcrn-dual-path"]["causal"]
    assert rows["cgcrn"]["weights"] == {} and rows["cgcrn"]["target"] == "amplitude_mask"


def test_weights_trained_without_the_critic_are_called_no_gan(rows):
    assert list(rows["wgan-glu"]["weights"]) == ["wgan-mild"]
    assert rows["wgan-glu"]["remarks"]["wgan-mild"].startswith("no GAN: the adversarial loss had weight 0")


def test_no_network_is_loaded_to_list_the_systems():
    code = (
        "from clean_corpus.enhancers.catalogue import describe_all as d; d(); import sys; print('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_an_unknown_name_is_explained():
    with pytest.raises(ConfigError, match="did you mean 'pl-crnn'"):
        describe("pl-crn")
