"""Trained weights: their cards and hashes."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from clean_corpus.enhancers import checkpoints, table
from clean_corpus.enhancers.domains.high_band import HighBand
from clean_corpus.pipeline.training import recording_list
from clean_corpus.vocoder import checkpoint as vocoders

TINY = {"channels": (4, 4, 8, 8, 16)}


@pytest.fixture
def trained(tmp_path):
    """Weights of a small untrained network with a card, as training writes them; BatchNorm statistics not trivial."""
    torch.manual_seed(0)
    network = table.method("cgcrn-complex").build(**TINY)
    network(torch.randn(4, 2, 50, 161))
    save_file(network.state_dict(), tmp_path / "tiny.safetensors")
    card = {"name": "tiny", "method": "cgcrn-complex", "sizes": TINY, "sample_rate": 16000}
    (tmp_path / "tiny.json").write_text(json.dumps(card))
    return tmp_path / "tiny.safetensors"


def test_the_hash_covers_weights_and_card(trained):
    first = checkpoints.weights_sha256(str(trained))
    trained.with_suffix(".json").write_text(trained.with_suffix(".json").read_text() + " ")
    assert checkpoints.weights_sha256(str(trained)) != first


def test_the_band_above_is_treated_by_what_is_asked_for_or_the_card_names(trained):
    card = trained.with_suffix(".json")
    assert checkpoints.upper_band(str(trained)) == checkpoints.upper_band(str(trained), checkpoints.UPPER_BAND)
    card.write_text(json.dumps(json.loads(card.read_text()) | {"upper_band": "full-band-causal"}))
    assert checkpoints.upper_band(str(trained)) == "full-band-causal"
    assert checkpoints.upper_band(str(trained), "mine.safetensors") == "mine.safetensors"
    assert checkpoints.upper_band(str(trained), "extrapolated") is None


def test_the_rows_for_the_band_above_are_those_of_its_domain():
    rows = {name for name, row in table.ENHANCERS.items() if isinstance(row.domain, HighBand)}
    assert rows == set(checkpoints.UPPER_BAND_METHODS) and not rows & set(checkpoints.shipped())


def test_shipped_weights_have_cards_that_say_what_they_are():
    for path in checkpoints.WEIGHTS.glob("*.safetensors"):
        card = checkpoints.card(path.stem)
        assert {"name", "method", "sizes", "sample_rate", "steps", "data", "licence", "scores"} <= card.keys()
        parameters = sum(p.numel() for p in table.method(card["method"]).build(**card["sizes"]).parameters())
        assert parameters == card["parameters"] and len(load_file(path)) > 0


def test_shipped_weights_and_states_of_trainings_stay_small():
    """A clone is no download: of a limit of 40 MB for weights and 10 MB for what continues unfinished trainings.

    Beside the weights lie their lists of recordings, and cards that can be read.
    """
    shipped = [
        path for folder in (checkpoints.WEIGHTS, vocoders.WEIGHTS) for path in folder.glob("*") if path.is_file()
    ]
    cards = [path for path in shipped if path.suffix == ".json" and recording_list.SUFFIX not in path.name]
    weights = [path for path in shipped if path.suffix == ".safetensors"]
    assert {path.with_suffix(".json") for path in weights} == set(cards)
    assert all(recording_list.read(path).counts["speech"] > 500 for path in weights)
    assert all(path.stat().st_size < 20_000 for path in cards)
    assert not [path.name for path in cards if '"/' in path.read_text()], "a path of one machine"
    states = [path for path in (checkpoints.WEIGHTS / "in_training").glob("*") if path.is_file()]
    assert len(shipped) >= 4 and sum(path.stat().st_size for path in shipped) < 40e6
    assert sum(path.stat().st_size for path in states) < 10e6
