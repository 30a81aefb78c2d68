"""What a deployed run may not choose is the machine's: commands that run there, files that are written there."""

import pytest

from clean_corpus.flows.deploy import flow
from clean_corpus.flows.observe import permissions
from clean_corpus.flows.observe.permissions import MACHINE_FILE, PERMITTED, require_permitted, with_machine_settings
from clean_corpus.pipeline.core.errors import ConfigError

GUARDED = [
    {"hooks": {"on_finish": {"command": ["rm", "x"]}}},
    {"hooks": {"on_failure": {"command": ["rm", "x"]}}},
    {"observe": {"log_file": "/home/me/.bashrc"}},
    {"observe": {"metrics_file": "/etc/x.prom"}},
    {"s3": {"endpoint_url": "http://elsewhere:9000"}},
    {"engine": {"kind": "ray", "address": "elsewhere:6379"}},
]


def test_each_guarded_setting_is_refused_by_name(monkeypatch):
    monkeypatch.delenv(PERMITTED, raising=False)
    for name, given in zip(permissions.GUARDED, GUARDED, strict=True):
        with pytest.raises(ConfigError, match=rf"^{name}: .*{MACHINE_FILE}.*{PERMITTED}={name}"):
            require_permitted(given)
        monkeypatch.setenv(PERMITTED, f"other.name, {name}")
        require_permitted(given)
        assert with_machine_settings(given).items() >= given.items()
        monkeypatch.delenv(PERMITTED)


def test_other_settings_and_empty_ones_are_anybodys():
    given = {
        "observe": {"log": "json", "log_file": None}, "hooks": {"on_finish": {"webhook": "env:X", "command": None}},
    }  # fmt: skip
    require_permitted(given)
    assert with_machine_settings(given) == given
    require_permitted({"hooks": None, "observe": {}})
    given = {"engine": {"kind": "ray", "address": "auto", "workers": 3}, "s3": {"checksum": None, "endpoint_url": None}}
    require_permitted(given)
    assert with_machine_settings(given) == given


def test_the_machines_file_is_below_the_parameters_and_above_what_they_may_not_set(tmp_path, monkeypatch):
    file = tmp_path / "machine.yaml"
    file.write_text(
        "observe: {log: json, log_file: /var/log/x}\nhooks: {on_failure: {command: [a]}}\n"
        "s3: {endpoint_url: 'http://ours:9000', checksum: null}\nengine: {workers: 2}\n"
    )
    monkeypatch.setenv(MACHINE_FILE, str(file))
    given = {"observe": {"log": "text", "log_file": "/tmp/y"}, "hooks": {"on_failure": {"command": ["b"]}}}
    given["s3"] = {"endpoint_url": "http://theirs", "checksum": "sha1"}
    assert with_machine_settings(given) == {
        "observe": {"log": "text", "log_file": "/var/log/x"}, "hooks": {"on_failure": {"command": ["a"]}},
        "s3": {"endpoint_url": "http://ours:9000", "checksum": "sha1"}, "engine": {"workers": 2},
    }  # fmt: skip


@pytest.mark.parametrize("text", ["gate: {}", "observe: 3", "- a"])
def test_a_wrong_file_is_refused(tmp_path, monkeypatch, text):
    (tmp_path / "machine.yaml").write_text(text)
    monkeypatch.setenv(MACHINE_FILE, str(tmp_path / "machine.yaml"))
    with pytest.raises(ConfigError, match=r"machine\.yaml"):
        with_machine_settings({})
    monkeypatch.setenv(MACHINE_FILE, str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="no such file"):
        with_machine_settings({})


@pytest.mark.parametrize("given", GUARDED)
def test_the_deployed_flow_refuses_before_any_work(tmp_path, given):
    sections = {name: flow.RunConfig.model_fields[name].annotation.model_validate(part) for name, part in given.items()}
    with pytest.raises(ConfigError, match="not to be set by whoever starts a run"):
        flow.clean_corpus.fn(str(tmp_path), str(tmp_path / "out"), **sections)
    assert not (tmp_path / "out").exists()


def test_the_deployed_flow_has_the_machines_settings(tmp_path, monkeypatch):
    (tmp_path / "machine.yaml").write_text("observe: {log_file: /var/log/x}\n")
    monkeypatch.setenv(MACHINE_FILE, str(tmp_path / "machine.yaml"))
    monkeypatch.setattr(flow.inner, "fn", lambda config: config)
    config = flow.clean_corpus.fn("in", "out", observe=flow.ObserveConfig(log="json"))
    assert (config.observe.log, str(config.observe.log_file)) == ("json", "/var/log/x")
