"""A real Prefect server and real process workers: deploying, schedules, refusals, cancelling, lost runs."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import httpx
import pytest
import yaml

from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.deploy import deployment as deploying
from clean_corpus.flows.observe.permissions import PERMITTED
from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from tests.support.paths import REPOSITORY
from tests.support.prefect_server import ENDS, PREFECT, Server, free_port, until
from tests.support.processes import descendants, kill
from tests.support.trainings import SETTINGS, write_training_corpus

COMMANDS = "hooks.on_finish.command,hooks.on_failure.command"  # which the workers here permit


def has(path: Path, wanted: bytes) -> bool:
    try:
        return wanted in path.read_bytes()
    except OSError:
        return False


@pytest.fixture(scope="module")
def prefect(prefect_database, tmp_path_factory):
    home, port = tmp_path_factory.mktemp("prefect"), free_port()
    shutil.copy(prefect_database, home)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | {
        "HOME": str(home), "PREFECT_HOME": str(home), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "OMP_NUM_THREADS": "1", PERMITTED: COMMANDS,
        # a test does not wait as a server does
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "3", "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
    }  # fmt: skip
    server = Server(port, environment)
    server.start("server", "start", "--host", "127.0.0.1", "--port", str(port))

    def healthy() -> bool:
        try:
            return server.get("/health") is True
        except httpx.HTTPError:
            return False

    until(healthy, 90, "server")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def corpus(demo_corpus, tmp_path_factory) -> Path:
    """Six takes of the demo corpus."""
    folder = tmp_path_factory.mktemp("deployed") / "corpus"
    folder.mkdir()
    takes = sorted(path for path in demo_corpus.rglob("*.wav") if path.parent.name != "unsorted")
    for i, take in enumerate(takes[:6]):
        shutil.copy(take, folder / f"{i}.wav")
    return folder


def deploy(server: Server, corpus: Path, output: Path, **changes: object) -> deploying.Deployed:
    parameters = {"input": str(corpus), "output": str(output), "shards": {"max_clips": 1}, **changes.pop("more", {})}
    given = {"cron": "0 2 1 1 *", "timezone": "UTC", "pool": "gpu"} | changes
    return deploying.deploy(server.url, parameters, **given)


@pytest.fixture(scope="module", autouse=True)
def from_checkout(prefect) -> subprocess.Popen:
    """Prefect's own tool deploys what prefect.yaml says while other tests run."""
    deploy(prefect, Path("/in"), Path("/out"))  # makes the pool
    return subprocess.Popen(
        [PREFECT, "--no-prompt", "deploy", "--all"], env=prefect.environment, cwd=REPOSITORY, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_one_command_deploys_and_the_same_command_changes(prefect, command, tmp_path):
    def run(*arguments: str) -> str:
        code, said = command("deploy", "--server", prefect.url, "--pool", "gpu", "--name", "mine",
                             "--input", "s3://in/raw", "--output", "s3://out", *arguments)  # fmt: skip
        assert code == 0, said
        return said

    said = run("--timezone", "Europe/Berlin", "--set", "gate.snr_db_min=3")
    assert "deployed: clean-corpus/mine, next run " in said and "02:00 CE" in said
    assert "prefect worker start --pool gpu --type process" in said
    assert "prefect deployment run clean-corpus/mine" in said
    first = prefect.get("/deployments/name/clean-corpus/mine")
    assert prefect.get("/work_pools/gpu")["type"] == "process"
    run("--timezone", "Asia/Tokyo", "--cron", "30 4 * * *", "--set", "gate.snr_db_min=4")
    now = prefect.get("/deployments/name/clean-corpus/mine")
    assert now["id"] == first["id"]
    assert now["entrypoint"] == "clean_corpus.flows.deploy.flow.clean_corpus"
    assert not now["pull_steps"] and now["path"] is None
    assert now["parameters"] == {"input": "s3://in/raw", "output": "s3://out", "gate": {"snr_db_min": 4.0}}
    assert now["enforce_parameter_schema"]
    assert now["global_concurrency_limit"]["limit"] == 1
    assert now["concurrency_options"]["collision_strategy"] == "ENQUEUE"
    [schedule] = now["schedules"]
    assert (schedule["slug"], schedule["active"]) == ("nightly", True)
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("30 4 * * *", "Asia/Tokyo")
    [watch] = [a for a in prefect.post("/automations/filter", {}).json() if a["name"].startswith("clean-corpus/mine:")]
    assert watch["trigger"]["posture"] == "Proactive" and watch["trigger"]["within"] == deploying.LOST_AFTER_S
    assert watch["trigger"]["match_related"]["prefect.resource.id"] == f"prefect.deployment.{now['id']}"
    assert watch["actions"][0]["state"] == "CRASHED"


@pytest.mark.parametrize("what", ["schedule", "deployment", "both"])
def test_what_is_paused_stays_paused_until_it_is_resumed_as_it_says(prefect, tmp_path, what):
    name = f"paused-{what}"

    def state() -> tuple[bool, list[tuple[bool, str]]]:
        now = prefect.get(f"/deployments/name/clean-corpus/{name}")
        return now["paused"], [(one["active"], one["schedule"]["cron"]) for one in now["schedules"]]

    assert deploy(prefect, tmp_path, tmp_path / "out", name=name).resume == ()
    made = prefect.get(f"/deployments/name/clean-corpus/{name}")
    if what != "deployment":
        place = f"/deployments/{made['id']}/schedules/{made['schedules'][0]['id']}"
        prefect.ask("PATCH", place, {"active": False}).raise_for_status()
    if what != "schedule":
        prefect.post(f"/deployments/{made['id']}/pause_deployment", {}).raise_for_status()
    paused, ((active, _),) = state()
    again = deploy(prefect, tmp_path, tmp_path / "out", name=name, cron="30 4 1 1 *", more={"enhancer": "none"})
    assert state() == (paused, [(active, "30 4 1 1 *")])
    assert len(again.resume) == (2 if what == "both" else 1)
    for command in again.resume:
        said = subprocess.run(
            command.replace("prefect ", f"{PREFECT} ", 1), shell=True, capture_output=True, text=True,
            env=prefect.environment,
        )  # fmt: skip
        assert said.returncode == 0, said
    assert state() == (False, [(True, "30 4 1 1 *")])
    assert deploy(prefect, tmp_path, tmp_path / "out", name=name).resume == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cron": "99 2 * * *"}, r"--cron '99 2 \* \* \*'"),
        ({"cron": "0 0 31 2 *"}, "--cron '0 0 31 2 .' *: never comes"),
        ({"timezone": "Europe/Berln"}, "--timezone 'Europe/Berln': no such time zone"),
        ({"more": {"hooks": {"on_finish": {"webhook": "https://h/token"}}}}, "hooks.on_finish.webhook: .* env:NAME"),
        ({"more": {"hooks": {"on_finish": {"command": ["rm"]}}}}, "hooks.on_finish.command: not to be set by whoever"),
        ({"more": {"observe": {"log_file": "/a"}}}, "observe.log_file: not to be set by whoever"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(tmp_path, changes, says):
    nowhere = Server(1, {})
    with pytest.raises(ConfigError, match=says):
        deploy(nowhere, tmp_path, tmp_path, **changes)


def test_a_server_that_is_none_is_said_so_soon(tmp_path):
    class Website(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, *_):
            pass

    begin = time.monotonic()
    with pytest.raises(CleanCorpusError, match=r"no Prefect server at http://127.0.0.1:1/api: .*refused"):
        deploy(Server(1, {}), tmp_path, tmp_path)
    site = HTTPServer(("127.0.0.1", 0), Website)
    Thread(target=site.serve_forever, daemon=True).start()
    with pytest.raises(CleanCorpusError, match="something else"):
        deploy(Server(site.server_port, {}), tmp_path, tmp_path)
    site.shutdown()
    site.server_close()
    with socket.socket() as silent, pytest.raises(CleanCorpusError, match="timed out"):
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        deploy(Server(silent.getsockname()[1], {}), tmp_path, tmp_path)
    assert time.monotonic() - begin < 3 * deploying.CONNECT_S
    with pytest.raises(ConfigError, match="expected an address"):
        deploying.api_url("localhost:4200")


class Busy(BaseHTTPRequestHandler):
    """A Prefect server whose database is locked at the first `refusals` times that each change is asked for."""

    api: str
    refusals: int
    asked: ClassVar[Counter] = Counter()

    def do_GET(self):
        self._forward()

    def do_POST(self):
        self.asked[self.path] += 1
        if self.asked[self.path] > self.refusals or "filter" in self.path:
            self._forward()
        else:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer(503, b'{"exception_message": "Service Unavailable"}')

    do_PUT = do_PATCH = do_DELETE = do_POST

    def _forward(self):
        """Hand on; a 503 of the real server, busy with other tests, is not among the refusals that are counted."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = {"Prefect-Csrf-Token", "Prefect-Csrf-Client", "Content-Type"} & set(self.headers)
        headers = {name: self.headers[name] for name in kept}
        for _ in range(60):
            said = httpx.request(self.command, self.api + self.path, content=body, timeout=60, headers=headers)
            if said.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
        self._answer(said.status_code, said.content)

    def _answer(self, status: int, body: bytes):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Retry-After", "0")  # a test does not wait as a client does
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("refusals", "succeeds"), [(4, True), (99, False)])
def test_a_server_that_is_busy_is_asked_again(prefect, tmp_path, refusals, succeeds):
    handler = type("Handler", (Busy,), {"api": prefect.url, "refusals": refusals, "asked": Counter()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        busy = Server(server.server_port, {})
        if succeeds:
            assert deploy(busy, tmp_path, tmp_path / "out", name="busy").name == "clean-corpus/busy"
            assert handler.asked["/api/deployments/"] >= 5  # more where an answer took longer than a client waits
        else:
            with pytest.raises(CleanCorpusError, match=r"is too busy .*503.*: deploy once more"):
                deploy(busy, tmp_path, tmp_path / "out", name="never")
        server.shutdown()


def test_a_wrong_parameter_is_refused_by_its_name_before_a_run_exists(prefect, tmp_path):
    deploy(prefect, tmp_path, tmp_path / "out", name="strict")
    for parameters, name in [
        ({"gate": {"snr_db_mni": 3}}, "snr_db_mni"),
        ({"gate": {"guard_sig_drop": -1}}, "gate.guard_sig_drop"),
        ({"enhancer": 5}, "enhancer"),
        ({"input": None}, "input"),
    ]:
        answer = prefect.begin("strict", **parameters)
        assert answer.status_code in (409, 422) and name in answer.text, (parameters, answer.text)
    command = [PREFECT, "deployment", "run", "clean-corpus/strict", "-p", "gaet={}"]
    asked = subprocess.run(command, env=prefect.environment, capture_output=True, text=True)
    assert asked.returncode == 1 and "'gaet'" in asked.stdout
    assert [run for run in prefect.runs("strict") if not run["auto_scheduled"]] == []


def test_places_reach_a_worker_that_starts_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert deploying.place("in") == str(tmp_path / "in")
    assert deploying.place("s3://bucket/in") == "s3://bucket/in"
    settings = {"enhancer": "mine/best.safetensors", "upper_band": "s3://b/x.safetensors",
                "text": {"aligner_model": "ctc.onnx", "language": "en"}, "score": {"clean_dir": "clean"}}  # fmt: skip
    config = validate(RunConfig, {"input": "in", "output": "s3://b/o", **settings})
    given = deploying.parameters_of(config, "in", "s3://b/o")
    assert given == {
        "input": str(tmp_path / "in"), "output": "s3://b/o", "enhancer": str(tmp_path / "mine/best.safetensors"),
        "upper_band": "s3://b/x.safetensors", "text": {"aligner_model": str(tmp_path / "ctc.onnx"), "language": "en"},
        "score": {"clean_dir": str(tmp_path / "clean")},
    }  # fmt: skip


def test_all_flows_deploy_from_a_checkout(prefect, from_checkout):
    said, _ = from_checkout.communicate(timeout=120)
    assert from_checkout.returncode == 0, said
    wanted = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    assert [d["name"] for d in wanted] == ["clean-corpus", "train-enhancer", "train-vocoder", "compare-vocoders"]
    for deployment in wanted:
        there = prefect.get(f"/deployments/name/{deployment['name']}/{deployment['name']}")
        assert there["entrypoint"] == deployment["entrypoint"] and not there["pull_steps"]
        assert (
            there["concurrency_options"]["collision_strategy"] == deployment["concurrency_limit"]["collision_strategy"]
        )
        assert there["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(deploying.HEARTBEAT_S)
        assert not any(schedule["active"] for schedule in there["schedules"])


def test_a_deployed_training_is_shared_by_processes(prefect, from_checkout, tmp_path):
    """By two of the CPU here, as by one for each GPU of a machine: none of them is another run of the flow."""
    from_checkout.wait(timeout=120)
    write_training_corpus(tmp_path)
    asked = prefect.begin(
        "train-enhancer", "train-enhancer", name="cgcrn", speech=[str(tmp_path / "speech")],
        noise=[str(tmp_path / "noise")], out=str(tmp_path / "out"), config=SETTINGS | {"processes": 2},
    )  # fmt: skip
    run = asked.raise_for_status().json()["id"]
    worker = prefect.worker("gpu")

    def ended() -> dict | None:
        state = prefect.get(f"/flow_runs/{run}")["state"]
        return state if state["type"] in ENDS else None

    state = until(ended, 180, "training")
    for pid in [worker.pid, *descendants(worker.pid)]:
        kill(pid)
    assert state["type"] == "COMPLETED", state
    assert json.loads((tmp_path / "out" / "best.json").read_text())["steps"] == SETTINGS["epochs"]


def test_cancelled_then_finished_by_the_schedule_while_a_lost_run_is_noticed(prefect, corpus, tmp_path, monkeypatch):
    """One timeline, since each part waits for another: a run is cancelled, and the schedule's finishes its work; beside
    them a run's whole machine is killed."""
    told, lost_told = tmp_path / "told.jsonl", tmp_path / "lost.jsonl"
    monkeypatch.setenv(PERMITTED, COMMANDS)

    def hooks(file: Path) -> dict:
        keep = [sys.executable, "-c", "import sys; print(sys.stdin.read(), file=open(sys.argv[1], 'a'))", str(file)]
        return {"hooks": {"on_finish": {"command": keep}, "on_failure": {"command": keep}}}

    deploy(prefect, corpus, tmp_path / "lost", name="lost", pool="lost", lost_after_s=10, more=hooks(lost_told))
    out = tmp_path / "out"
    deploy(prefect, corpus, out, name="nightly", cron="* * * * *", more=hooks(told))
    assert prefect.begin("lost").status_code == 201
    by_hand = prefect.begin("nightly").raise_for_status().json()["id"]
    doomed, worker = prefect.worker("lost"), prefect.worker("gpu")

    def beating() -> bool:
        events = prefect.post("/events/filter", {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}}}).json()
        run = next(run for run in prefect.runs("lost") if not run["auto_scheduled"])
        return any(e["resource"]["prefect.resource.id"].endswith(run["id"]) for e in events["events"])

    until(beating, 120, "heartbeat")
    for pid in [doomed.pid, *descendants(doomed.pid)]:
        kill(pid)

    def recorded() -> dict[Path, int]:  # a tar may be there before its stage is done, a record may not
        return {record: record.stat().st_mtime_ns for record in (out / "work" / "ingest").glob("*.json")}

    before = until(recorded, 120, "first work")
    assert len(descendants(worker.pid)) >= 3  # flow, the workers' server, a worker
    prefect.post(f"/flow_runs/{by_hand}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})
    mark = f"PREFECT__FLOW_RUN_ID={by_hand}".encode()
    until(lambda: not any(has(environ, mark) for environ in Path("/proc").glob("[0-9]*/environ")), 60, "workers gone")
    until(lambda: prefect.get(f"/flow_runs/{by_hand}")["state_type"] == "CANCELLED", 60, "cancelled")
    assert not (out / "run.json").exists()

    def finished() -> list[dict]:
        return [r for r in prefect.runs("nightly") if r["auto_scheduled"] and r["state_type"] in ENDS]

    run = until(finished, 180, "scheduled run")[0]
    prefect.post(f"/deployments/{run['deployment_id']}/pause_deployment", {})
    assert run["state_type"] == "COMPLETED", run["state"]
    summary = json.loads((out / "run.json").read_text())
    assert summary["counts"]["in"] == summary["counts"]["kept"] + summary["counts"]["rejected"] > 0
    assert before.items() <= recorded().items()  # what the cancelled run had finished was not done again

    artifacts = prefect.post("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}}).json()
    by_key = {artifact["key"]: artifact for artifact in artifacts}
    assert "| **kept** |" in by_key["clean-corpus-result"]["data"]
    assert (out / "report" / "index.html").as_uri() in by_key["clean-corpus-report"]["data"]
    assert by_key["clean-corpus-progress-clean"]["data"] == 100.0
    tasks = prefect.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}}).json()
    shards = {p.stem for p in (out / "work" / "raw").glob("*.tar")}
    cleaned = [task["name"].removeprefix("clean ") for task in tasks if task["name"].startswith("clean ")]
    assert cleaned and {name.split(" and ")[0] for name in cleaned} <= shards

    def messages() -> list[dict]:
        return [json.loads(line) for line in told.read_text().splitlines() if line]

    until(lambda: any(m["run_id"] == run["id"] for m in messages()), 60, "on_finish")  # told after the state is set
    mine = [(m["run_id"], m["state"]) for m in messages() if m["run_id"] in (by_hand, run["id"])]
    assert sorted(mine) == sorted([(by_hand, "Cancelling"), (run["id"], "Completed")])
    assert messages()[-1]["counts"] == summary["counts"] and messages()[-1]["output"] == str(out)

    lost = next(r for r in prefect.runs("lost") if not r["auto_scheduled"])
    until(lambda: prefect.get(f"/flow_runs/{lost['id']}")["state_type"] == "CRASHED", 120, "lost run noticed")
    assert "no sign of life" in prefect.get(f"/flow_runs/{lost['id']}")["state"]["message"]
    limit = prefect.get("/deployments/name/clean-corpus/lost")["global_concurrency_limit"]
    assert limit["active_slots"] == 0  # the next run has its place
