"""What is measured of each row: parameters and work by the papers' rule, delays; and the file that keeps it."""

import json

import pytest

from clean_corpus.enhancers.measure import CATALOGUE, measure, write_catalogue
from clean_corpus.enhancers.table import ENHANCERS
from clean_corpus.pipeline.core.errors import ConfigError

# reported by paper [001] to three or four digits; SYSTEMS.md section 1 has what reproduces them
FMA = {
    "pl-dnn": 17_871_331, "pl-lstm": 42_249_699, "crnn": 25_281_953, "scrnn": 6_337_057, "pl-crnn": 5_921_187,
    "pl-crnn-q5": 9_907_045,
}  # fmt: skip
PARAMETERS = {
    "pl-crnn": 1_221_731, "pl-crnn-q5": 1_334_917, "pl-crnn-q5-iam": 1_334_917, "pl-dnn": 17_871_331,
    "pl-lstm": 42_249_699, "crnn": 17_579_457, "scrnn": 4_399_585, "crn-dnn-dec": 27_351_388, "dnn-dec": 4_917_962,
    "dcunet-16": 3_604_000, "nsnet": 1_259_814, "lstm-9.6m": 9_183_657, "complex-crn": 5_707_698,
    "cgcrn-add-skips": 3_676_515, "cgcrn-crm": 3_764_406,
}  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    return {name: measure(name) for name in ENHANCERS}


def test_the_file_holds_what_is_measured(rows):
    """After a change of a network or of the table, write it anew: see `write_catalogue`."""
    assert json.loads(CATALOGUE.read_text()) == list(rows.values())


def test_the_file_is_written_a_line_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr("clean_corpus.enhancers.measure.ENHANCERS", ["nsnet", "fcnn"])
    write_catalogue(tmp_path / "catalogue.json")
    lines = (tmp_path / "catalogue.json").read_text().splitlines()
    wanted = CATALOGUE.read_text()
    assert lines[0] == "[" and lines[-1] == "]" and len(lines) == 4
    assert all(line.rstrip(",") in wanted for line in lines)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_parameters_are_those_of_the_papers(rows, name, parameters):
    assert rows[name]["parameters"] == parameters


@pytest.mark.parametrize(("name", "work"), FMA.items())
def test_work_per_frame_is_that_of_the_papers(rows, name, work):
    assert rows[name]["fma_per_frame"] == work and rows[name]["fma_per_s"] == 100 * work  # frames of 10 ms


def test_two_passes_take_twice_the_work_with_the_same_parameters(rows):
    once, twice = rows["cgcrn-complex"], rows["cgcrn-refined"]
    assert once["parameters"] == twice["parameters"] == 3_764_502 and once["causal"] and once["lookahead_ms"] == 0
    assert twice["fma_per_frame"] == 2 * once["fma_per_frame"]
    assert once["stft"] == {"window": "hamming", "window_ms": 20.0, "hop_ms": 10.0, "n_fft": 320}


def test_look_ahead_is_six_frames_of_6_25_ms_for_dccrn_and_all_for_attention(rows):
    assert rows["dccrn-e"]["lookahead_ms"] == 37.5 and not rows["dccrn-e"]["causal"]
    assert rows["mhanet-irm"]["lookahead_ms"] is None and not rows["mhanet-irm"]["causal"]
    assert rows["nsnet"]["lookahead_ms"] == 0 and rows["nsnet"]["causal"]


def test_systems_of_windows_have_work_per_second_alone(rows):
    row = rows["wgan-glu"]
    assert row["fma_per_frame"] is None and row["stft"] is None and row["critic_parameters"] == 48_735_082
    assert row["fma_per_s"] > 1e9


def test_sizes_stand_in_for_the_papers(rows):
    longer = measure("pl-crnn", stages=5)
    assert longer == rows["pl-crnn-q5"] | {"name": "pl-crnn"}
    with pytest.raises(ConfigError, match="did you mean 'stages'"):
        measure("pl-crnn", stage=5)


def test_an_unknown_name_is_explained():
    with pytest.raises(ConfigError, match="did you mean 'pl-crnn'"):
        measure("pl-crn")
