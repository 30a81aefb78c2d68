"""The deployed flow: its parameters are the fields of the settings, and become them again."""

import inspect
from types import SimpleNamespace

import pytest

from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.deploy import flow
from clean_corpus.flows.observe import hooks
from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.core.errors import ConfigError


def test_parameters_of_the_flow_are_the_fields_of_the_settings():
    schema = flow.clean_corpus.parameters.model_dump()
    assert set(schema["properties"]) == set(RunConfig.model_fields)
    assert list(schema["properties"])[:2] == schema["required"] == ["input", "output"]
    assert schema["definitions"]["GateConfig"]["additionalProperties"] is False
    expected = RunConfig.model_json_schema()["properties"]
    for name, parameter in inspect.signature(flow.clean_corpus.fn).parameters.items():
        if name not in ("input", "output"):
            assert parameter.default == RunConfig.model_fields[name].get_default(), name
        for key in ("type", "minimum", "maximum"):
            assert schema["properties"][name].get(key) == expected[name].get(key), (name, key)


@pytest.fixture
def given(monkeypatch) -> list[RunConfig]:
    """The configurations that the flow within was called with."""
    seen: list[RunConfig] = []
    monkeypatch.setattr(flow, "inner", SimpleNamespace(fn=lambda config: seen.append(config) or {"run": "summary"}))
    return seen


def test_parameters_become_the_configuration_of_the_run(given):
    gate = GateConfig(snr_db_min=3)
    assert flow.clean_corpus.fn("s3://b/in", "out", gate=gate, enhancer="default", keep_versions=2) == {
        "run": "summary"
    }
    expected = {"input": "s3://b/in", "output": "out", "gate": {"snr_db_min": 3}, "enhancer": "default"}
    assert given == [RunConfig.model_validate(expected | {"keep_versions": 2})]


def test_of_a_section_only_what_was_set_is_passed_on(given):
    """The default of what was not set may depend on the machine that works."""
    flow.clean_corpus.fn("in", "out", gate=GateConfig(snr_db_min=3))
    (config,) = given
    assert config.gate.model_fields_set == {"snr_db_min"} and config.audio.model_fields_set == set()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"input": "gs://b/in"}, "input: .*a place is a local path or s3://BUCKET/FOLDER"),
        ({"keep_versions": 0}, "keep_versions: .*greater than or equal to 1, got 0"),
        ({"gate": {"snr_db_mni": 1}}, r"unknown key 'gate\.snr_db_mni'; did you mean 'snr_db_min'"),
    ],
)
def test_parameters_that_cannot_be_are_refused_before_any_work(given, parameters, words):
    with pytest.raises(ConfigError, match=words):
        flow.clean_corpus.fn(**{"input": "in", "output": "out"} | parameters)
    assert given == []


def test_every_end_of_a_run_is_told_to_the_receivers():
    deployed = flow.clean_corpus
    ends = ("on_completion_hooks", "on_failure_hooks", "on_crashed_hooks", "on_cancellation_hooks")
    assert [getattr(deployed, end) for end in ends] == [[hooks.notify]] * 4
    assert deployed.name == "clean-corpus" and deployed.task_runner == flow.inner.task_runner
