"""Whoever is told of a run's end: a real HTTP server, a real process, and those that do not listen."""

import json
import logging
import sys
import threading
import time
import types
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect.states import Cancelling, Completed, Crashed, Failed

from clean_corpus.flows.observe import hooks, permissions
from clean_corpus.flows.observe.hooks import Hook, HookConfig
from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.core.errors import ConfigError

TOKEN = "T0KEN-nobody-may-see"
FLOW = types.SimpleNamespace(name="clean-corpus")


class Listener:
    """An HTTP server on this machine that keeps what it is told; paths say how it answers."""

    def __init__(self):
        listener = self
        self.told = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if "slow" in self.path:
                    time.sleep(1)
                listener.told.append((self.headers["Content-Type"], json.loads(body)))
                self.send_response(500 if "broken" in self.path else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def listener():
    listening = Listener()
    yield listening
    listening.server.shutdown()
    listening.server.server_close()


def run(config: HookConfig, deployment_id: str | None = None, **parameters):
    given = {"input": "s3://in", "output": "s3://corpus/out", "hooks": config.model_dump(mode="json")}
    return types.SimpleNamespace(id="0123-run", deployment_id=deployment_id, parameters=given | parameters)


@pytest.fixture
def webhook(monkeypatch):
    """Put an address into the environment; return the hook that names it."""

    def make(address: str, **settings: float) -> Hook:
        monkeypatch.setenv("NIGHTLY", address)
        return Hook(webhook="env:NIGHTLY", **settings)

    return make


def test_a_finished_run_is_told_with_its_counts(listener, webhook):
    config = HookConfig(on_finish=webhook(f"{listener.url}/hooks/{TOKEN}"))
    counts = {"in": 3, "kept": 2, "rejected": 1, "failed": 0}
    hooks.notify(FLOW, run(config), Completed(data={"counts": counts, "wall_s": 3}))
    assert listener.told == [
        (
            "application/json",
            {
                "flow": "clean-corpus", "run_id": "0123-run", "state": "Completed", "output": "s3://corpus/out",
                "counts": counts, "error": None,
            },
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (Failed(data=ConfigError("gate: wrong")), "gate: wrong"),
        (Crashed(message="no sign of life"), "no sign of life"),
        (Cancelling(message="Flow run was cancelled."), "Flow run was cancelled."),
    ],
)
def test_a_run_that_did_not_finish_is_a_failure(tmp_path, state, error):
    out = tmp_path / "told.json"
    write = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())", f"{out}"]
    config = HookConfig(on_failure=Hook(command=write))
    hooks.notify(FLOW, run(config), Completed())
    assert not out.exists()  # a finish is none
    hooks.notify(FLOW, run(config), state)
    told = json.loads(out.read_text())
    assert (told["state"], told["error"], told["counts"]) == (state.name, error, None)


def test_a_run_of_the_command_has_its_settings_in_one_parameter(listener, webhook):
    config = HookConfig(on_finish=webhook(listener.url))
    whole = types.SimpleNamespace(id="1", parameters={"config": {"output": "/out", "hooks": config.model_dump()}})
    hooks.notify(FLOW, whole, Completed(data={"counts": {"in": 0}}))
    assert listener.told[0][1]["output"] == "/out"


def test_arguments_are_not_read_by_a_shell(tmp_path):
    hook = Hook(command=[sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"])
    hook = hook.model_copy(update={"command": [*hook.command, f"{tmp_path / 'a'}", "$HOME; rm x"]})
    assert hooks.send(hook, {"run_id": "1", "state": "Completed"})
    assert (tmp_path / "a").read_text() == "$HOME; rm x"


def problem(caplog, hook: Hook) -> str:
    with caplog.at_level(logging.WARNING, "clean_corpus.flows.observe.hooks"):
        assert not hooks.send(hook, {"run_id": "0123-run", "state": "Completed"})
    assert TOKEN not in caplog.text
    return caplog.records[-1].getMessage()


def test_an_addressee_that_does_not_listen_is_named_by_its_host_alone(listener, webhook, caplog):
    told = "was not told that run 0123-run is Completed"
    assert problem(caplog, webhook(f"{listener.url}/broken/{TOKEN}")) == f"hook 127.0.0.1 {told}: status 500"
    refused = problem(caplog, webhook(f"http://127.0.0.1:9/{TOKEN}"))
    assert refused == f"hook 127.0.0.1 {told}: Connection refused"
    assert "no answer within 0.2 s" in problem(caplog, webhook(f"{listener.url}/slow/{TOKEN}", timeout_s=0.2))
    assert "No such file" in problem(caplog, Hook(command=["/no/such/program", TOKEN]))
    assert "exit code 3" in problem(caplog, Hook(command=[sys.executable, "-c", "raise SystemExit(3)", TOKEN]))
    sleeper = Hook(command=[sys.executable, "-c", "import time; time.sleep(60)", TOKEN], timeout_s=0.2)
    assert "no answer within 0.2 s" in problem(caplog, sleeper)


def test_an_address_with_a_token_comes_from_the_environment(listener, caplog, monkeypatch):
    hook = Hook(webhook="env:CLEAN_CORPUS_HOOK")
    assert "CLEAN_CORPUS_HOOK is not set" in problem(caplog, hook)
    monkeypatch.setenv("CLEAN_CORPUS_HOOK", f"{listener.url}/{TOKEN}")
    assert hooks.send(hook, {"run_id": "1", "state": "Completed"})
    monkeypatch.setenv("CLEAN_CORPUS_HOOK", f"file:///{TOKEN}")
    assert "neither http" in problem(caplog, hook)


def test_nothing_fails_a_run(caplog):
    class Odd:
        id = "1"
        parameters = None

    hooks.notify(FLOW, Odd(), Completed())
    assert "hook of run 1: AttributeError" in caplog.text


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"webhook": f"ftp://x/{TOKEN}"}, "write env:NAME"),
        ({"webhook": f"https://x/{TOKEN}"}, "write env:NAME"),
        ({"webhook": f"env:https://x/{TOKEN}"}, "write env:NAME"),
        ({"webhook": "env:"}, "write env:NAME"),
        ({"webhook": f"http://x/{TOKEN}", "command": ["a"]}, "either webhook or command"),
        ({}, "either webhook or command"),
        ({"comand": ["a"]}, "'on_finish.comand'"),
        ({"command": []}, "on_finish.command"),
        ({"command": "rm -r x"}, "on_finish.command"),
    ],
)
def test_wrong_settings_are_refused(data, says):
    with pytest.raises(ConfigError, match=says) as refused:
        validate(HookConfig, {"on_finish": data})
    assert TOKEN not in str(refused.value)


WRITE = "import sys; open(sys.argv[1], 'w').write(sys.stdin.read())"


def command_hook(file) -> dict:
    return {"command": [sys.executable, "-c", WRITE, f"{file}"]}


@pytest.mark.parametrize("inside_config", [False, True])
def test_a_deployed_run_cannot_choose_a_command_but_its_machine_can(tmp_path, monkeypatch, inside_config):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    given = HookConfig.model_validate({"on_failure": command_hook(theirs)})
    deployed = run(given, deployment_id="d")
    if inside_config:
        deployed.parameters = {"config": {"hooks": deployed.parameters["hooks"]}}
    hooks.notify(FLOW, deployed, Failed(data=ConfigError("x")))
    assert not theirs.exists()
    machine = tmp_path / "machine.yaml"
    machine.write_text(json.dumps({"hooks": {"on_failure": command_hook(ours)}}))
    monkeypatch.setenv(permissions.MACHINE_FILE, str(machine))
    hooks.notify(FLOW, deployed, Failed(data=ConfigError("x")))
    assert not theirs.exists() and json.loads(ours.read_text())["error"] == "x"
    monkeypatch.setenv(permissions.PERMITTED, "hooks.on_failure.command")
    hooks.notify(FLOW, deployed, Failed(data=ConfigError("x")))
    assert theirs.exists()


def test_a_deployed_run_still_names_its_webhook(listener, webhook):
    hooks.notify(FLOW, run(HookConfig(on_finish=webhook(listener.url)), deployment_id="d"), Completed())
    assert len(listener.told) == 1


def test_parameters_that_are_none_leave_the_machines_hooks(tmp_path, monkeypatch):
    machine, ours = tmp_path / "machine.yaml", tmp_path / "ours"
    machine.write_text(json.dumps({"hooks": {"on_failure": command_hook(ours)}}))
    monkeypatch.setenv(permissions.MACHINE_FILE, str(machine))
    odd = types.SimpleNamespace(
        id="1", deployment_id="d", parameters={"hooks": {"on_failure": {"webhook": "http://x"}}}
    )
    hooks.notify(FLOW, odd, Failed(data=ConfigError("x")))
    assert ours.exists()
