"""The command `deploy`: settings become parameters of a deployment, or are refused before a server is asked."""

from datetime import UTC, datetime

import pytest

from clean_corpus.flows.deploy import deployment
from clean_corpus.pipeline.core.errors import ConfigError
from tests.support.commands import invoke

PLACES = ("--server", "http://127.0.0.1:1", "--input", "s3://in/raw", "--output", "s3://out")


@pytest.fixture
def deployed(monkeypatch) -> list[tuple]:
    """What a server would have been sent."""
    seen: list[tuple] = []

    def deploy(server, parameters, **schedule):
        seen.append((server, parameters, schedule))
        next_run = datetime(2026, 3, 1, 2, tzinfo=UTC)
        return deployment.Deployed("clean-corpus/x", next_run, "prefect worker start", "prefect deployment run")

    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "CRITICAL")
    monkeypatch.setattr(deployment, "deploy", deploy)
    return seen


def test_defaults_are_a_nightly_run_of_what_differs_from_the_defaults(deployed):
    printed = invoke("deploy", *PLACES).stdout
    schedule = {"cron": "0 2 * * *", "timezone": "UTC", "pool": "gpu", "name": "clean-corpus"}
    assert deployed == [("http://127.0.0.1:1", {"input": "s3://in/raw", "output": "s3://out"}, schedule)]
    assert printed.splitlines() == [
        "deployed: clean-corpus/x, next run 2026-03-01 02:00 UTC",
        "on each GPU machine: prefect worker start",
        "to start a run now: prefect deployment run",
    ]


def test_a_pause_that_stays_is_said_with_its_remedy(monkeypatch):
    def deploy(*_, **__):
        next_run, resume = datetime(2026, 3, 1, 2, tzinfo=UTC), ("prefect one", "prefect two")
        return deployment.Deployed("clean-corpus/x", next_run, "prefect worker start", "prefect run", resume)

    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "CRITICAL")
    monkeypatch.setattr(deployment, "deploy", deploy)
    assert invoke("deploy", *PLACES).stdout.splitlines()[:2] == [
        "deployed: clean-corpus/x, which was paused and stays so: no run starts by itself",
        "to switch it on: prefect one && prefect two",
    ]


def test_settings_of_the_file_and_single_ones_become_parameters(deployed, tmp_path):
    (tmp_path / "run.yaml").write_text("input: elsewhere\ngate: {snr_db_min: 3}\nenhancer: default-causal\n")
    more = ["--cron", "30 4 * * *", "--timezone", "Asia/Tokyo", "--pool", "p", "--name", "n"]
    invoke("deploy", *PLACES, "--config", tmp_path / "run.yaml", "--set", "gate.snr_db_min=4", *more)
    ((_, parameters, schedule),) = deployed
    assert parameters == {
        "input": "s3://in/raw", "output": "s3://out", "gate": {"snr_db_min": 4.0}, "enhancer": "default-causal",
    }  # fmt: skip
    assert schedule == {"cron": "30 4 * * *", "timezone": "Asia/Tokyo", "pool": "p", "name": "n"}


def test_a_wrong_setting_is_named_before_anything_is_sent(deployed):
    with pytest.raises(ConfigError, match=r"unknown key 'gate\.x'"):
        invoke("deploy", *PLACES, "--set", "gate.x=1")
    assert deployed == []
