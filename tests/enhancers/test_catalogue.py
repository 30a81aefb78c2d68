"""The list of systems: names, parameters and work by the papers' rule, delays, shipped weights."""

import json

import pytest
from typer.testing import CliRunner

from clean_corpus.enhancers.catalogue import describe, describe_all
from clean_corpus.enhancers.table import ENHANCERS
from clean_corpus.flows.cli.app import app
from clean_corpus.pipeline.core.errors import ConfigError

# reported by paper [001] to three or four digits; SYSTEMS.md section 1 has what reproduces them
FMA = {
    "pl-dnn": 17_871_331, "pl-lstm": 42_249_699, "crnn": 25_281_953, "scrnn": 6_337_057, "pl-crnn": 5_921_187,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    return {row["name"]: row for row in describe_all()}


PARAMETERS = {
    "pl-crnn": 1_221_731, "pl-dnn": 17_871_331, "pl-lstm": 42_249_699, "crnn": 17_579_457, "scrnn": 4_399_585,
    "crn-dnn-dec": 27_351_388, "dnn-dec": 4_917_962, "dcunet-16": 3_604_000, "nsnet": 1_259_814,
    "lstm-9.6m": 9_183_657, "complex-crn": 5_707_698,
}  # fmt: skip


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_parameters_are_those_of_the_papers(rows, name, parameters):
    assert rows[name]["parameters"] == parameters


def test_look_ahead_is_six_frames_of_6_25_ms_for_dccrn_and_all_for_attention(rows):
    assert rows["dccrn-e"]["lookahead_ms"] == 37.5 and not rows["dccrn-e"]["causal"]
    assert rows["mhanet-irm"]["lookahead_ms"] is None and not rows["mhanet-irm"]["causal"]
    assert rows["nsnet"]["lookahead_ms"] == 0 and rows["nsnet"]["causal"]


def test_every_row_of_the_table_is_described(rows):
    assert list(rows) == [*ENHANCERS, "sgmse+"]


@pytest.mark.parametrize(("name", "work"), FMA.items())
def test_work_per_frame_is_that_of_the_papers(rows, name, work):
    assert rows[name]["fma_per_frame"] == work and rows[name]["fma_per_s"] == 100 * work  # frames of 10 ms


def test_a_row_in_plain_values(rows):
    row = rows["cgcrn-complex"]
    assert row["parameters"] == 3_764_502 and row["causal"] and row["lookahead_ms"] == 0
    assert row["stft"] == {"window": "hamming", "window_ms": 20.0, "hop_ms": 10.0, "n_fft": 320}
    shipped = rows["cgcrn-refined"]
    assert list(shipped["weights"]) == ["default-causal"] and "Apache-2.0" in shipped["weights"]["default-causal"]
    assert shipped["parameters"] == row["parameters"] and shipped["fma_per_frame"] == 2 * row["fma_per_frame"]
    assert list(rows["cgcrn-dual-path"]["weights"]) == ["default"] and not rows["cgcrn-dual-path"]["causal"]
    assert list(rows["wgan-glu"]["weights"]) == ["wgan-mild"]
    assert rows["cgcrn"]["weights"] == {} and rows["cgcrn"]["target"] == "amplitude_mask"


def test_the_command_prints_a_table_and_json():
    runner = CliRunner()
    assert json.loads(runner.invoke(app, ["models", "--json"]).stdout)[0] == describe("cgcrn")
    text = runner.invoke(app, ["models"]).stdout
    assert all(name in text for name in [*ENHANCERS, "sgmse+"])


def test_an_unknown_name_is_explained():
    with pytest.raises(ConfigError, match="did you mean 'pl-crnn'"):
        describe("pl-crn")
