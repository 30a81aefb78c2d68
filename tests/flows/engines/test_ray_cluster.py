"""Connections to a Ray cluster: room for workers, what is refused and why, and a cluster for one run."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clean_corpus.flows.engines import open_engine, ray_cluster
from clean_corpus.flows.engines.base import EngineConfig
from clean_corpus.pipeline.core.errors import ConfigError
from tests.support.paths import REPOSITORY

# ---- room


HEAD, CPUS, GPUS = {"CPU": 0.0}, {"CPU": 8.0}, {"CPU": 8.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("settings", "nodes", "room"),
    [
        ({}, [HEAD, CPUS, CPUS], (16, 0)),
        ({"cpus_per_worker": 3}, [CPUS, CPUS], (4, 0)),  # two a machine: a worker does not span two
        ({}, [CPUS, GPUS, GPUS], (16, 0.25)),  # where there are GPUs a worker without one would be slow
        ({"cpus_per_worker": 4}, [GPUS], (2, 1)),
        ({"gpus_per_worker": 0.5}, [GPUS], (4, 0.5)),
        ({"gpus_per_worker": 0.1}, [GPUS], (8, 0.1)),  # cores for no more
        ({"gpus_per_worker": 0}, [CPUS, GPUS], (16, 0)),
        ({"gpus_per_worker": 1}, [CPUS], (1, 1)),  # one waits for a machine that joins
        ({}, [HEAD], (1, 0)),
        ({}, [], (1, 0)),
        ({"workers": 5}, [CPUS], (5, 0)),
        ({"workers": 5}, [GPUS], (5, 0.25)),
    ],
)
def test_workers_are_as_many_as_the_machines_have_room_for(settings, nodes, room):
    assert ray_cluster._room(EngineConfig(kind="ray", **settings), nodes) == room


def test_more_workers_than_this_machines_gpus_are_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    config = EngineConfig(kind="ray", workers=5, gpus_per_worker=0.5)
    words = (
        r"engine\.workers=5 with engine\.gpus_per_worker=0\.5: this machine has 2 GPUs; "
        r"set engine\.workers or engine\.gpus_per_worker lower"
    )
    with pytest.raises(ConfigError, match=words), ray_cluster.connected(config):
        pass


# ---- the environment and the folder of a cluster


def test_variables_are_set_for_the_block_and_those_of_the_user_stay(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    with ray_cluster._environment({"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}):
        assert (os.environ["RAY_AUTH_MODE"], os.environ["RAY_USAGE_STATS_ENABLED"]) == ("disabled", "0")
    assert os.environ["RAY_AUTH_MODE"] == "disabled" and "RAY_USAGE_STATS_ENABLED" not in os.environ
    with pytest.raises(ZeroDivisionError), ray_cluster._environment({"RAY_USAGE_STATS_ENABLED": "0"}):
        raise ZeroDivisionError
    assert "RAY_USAGE_STATS_ENABLED" not in os.environ


def test_the_token_lies_where_no_one_else_can_read_it_and_goes_with_the_block():
    with ray_cluster._own_folder() as folder:
        token = (folder / "token").read_text()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with ray_cluster._own_folder() as other:
        assert other != folder and (other / "token").read_text() == token, "Ray reads a process's token only once"
    assert len(token) == 64 and not folder.exists() and not other.exists()


def test_names_of_sockets_stay_short_wherever_temporary_files_go(monkeypatch, tmp_path):
    (tmp_path / ("x" * 40)).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("x" * 40)))
    with ray_cluster._own_folder() as folder:
        assert len(str(folder)) < 40


# ---- who is reached


def test_a_wrong_address_is_an_error_within_seconds():
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"engine.address=127.0.0.1:9: no cluster there: .*refused"):
        open_engine(EngineConfig(kind="ray", address="127.0.0.1:9"))
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("code", "out", "err", "words"),
    [
        (1, "", "E: Authentication failed\n", r"engine\.address=auto: the cluster wants another token; .*RAY_AUTH_"),
        (1, "", "Traceback\nConnectionError: nobody\n", r"engine\.address=auto: ConnectionError: nobody$"),
        (1, "not healthy\n", "", r"engine\.address=auto: not healthy$"),
        (7, "", "", r"engine\.address=auto: exit code 7$"),
    ],
)
def test_a_cluster_that_does_not_let_us_in_says_why(monkeypatch, code, out, err, words):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], code, out, err))
    with pytest.raises(ConfigError, match=words):
        ray_cluster._check_reachable("auto")


def test_a_cluster_that_does_not_answer_is_given_up(monkeypatch):
    def silent(command, **_):
        raise subprocess.TimeoutExpired(command, 60)

    monkeypatch.setattr(subprocess, "run", silent)
    with pytest.raises(ConfigError, match=r"^engine\.address=auto: no answer of a Ray cluster for 60 s$"):
        ray_cluster._check_reachable("auto")


def test_a_healthy_cluster_is_let_pass(monkeypatch):
    asked = []
    healthy = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(subprocess, "run", lambda command, **_: asked.append(command) or healthy)
    ray_cluster._check_reachable("auto")
    assert asked[0][1:] == ["-m", "ray.scripts.scripts", "health-check"]


def test_a_process_that_is_connected_already_is_refused(monkeypatch):
    ray = pytest.importorskip("ray", reason="extra `ray` is not installed")
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    with pytest.raises(ConfigError, match=r"connected to a Ray cluster already; leave that one first: ray\.shutdown"):
        ray_cluster._init("a cluster for this run did not start")


@pytest.mark.parametrize("error", [RuntimeError("no disk"), SystemExit("no disk")])
def test_a_cluster_that_does_not_start_is_an_error_of_the_settings(monkeypatch, error):
    ray = pytest.importorskip("ray", reason="extra `ray` is not installed")

    def init(**_):
        raise error

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ConfigError, match=rf"^engine\.kind=ray: it did not start: {type(error).__name__}: no disk"):
        ray_cluster._init("it did not start")


# ---- a cluster for the run

SCRIPT = """
import os, signal, subprocess, sys, time
from clean_corpus.flows.engines.base import EngineConfig
from clean_corpus.flows.engines.ray_engine import RayEngine
from clean_corpus.pipeline.core.errors import CleanCorpusError
if __name__ == "__main__":
    with RayEngine(EngineConfig(kind="ray", workers=2, gpus_per_worker=0), preload=[]) as engine:
        path = os.environ["RAY_AUTH_TOKEN_PATH"]
        try:
            engine.run(os.kill, engine.run(os.getpid), signal.SIGKILL)
        except CleanCorpusError:
            pass
        print(os.path.dirname(path), oct(os.stat(os.path.dirname(path)).st_mode)[-3:], engine.run(os.getpid))
        sys.stdout.flush()
        sys.stdin.readline()
    with RayEngine(EngineConfig(kind="ray", workers=1, gpus_per_worker=0), preload=[]) as engine:
        again = engine.run(os.path.exists, "/")
    print("left", "RAY_AUTH_TOKEN_PATH" in os.environ, "and started anew", again, flush=True)
"""


def marked(folder: str) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        if f"CLEAN_CORPUS_RAY={folder}".encode() in environment.split(b"\0"):
            found.append(int(name))
    return found


def listening(pids: list[int]) -> set[str]:
    """Addresses, as /proc/net has them, on which one of these processes accepts connections."""
    sockets = set()
    for pid in pids:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            try:
                sockets.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
            except OSError:
                continue
    addresses = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                addresses.add(fields[1].split(":")[0])
    return addresses


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks processes up in /proc")
def test_a_cluster_for_the_run_is_private_silent_and_gone_after_it(tmp_path):
    pytest.importorskip("ray", reason="extra `ray` is not installed")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    drivers = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=REPOSITORY, env=environment | {"HOME": str(tmp_path)},
        )
        for _ in range(2)
    ]  # fmt: skip
    folders = []
    try:
        for driver in drivers:
            folder, mode, worker = driver.stdout.readline().split()
            folders.append(folder)
            pids = marked(folder)
            assert mode == "700" and int(worker) in pids
            loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
            assert listening([*pids, driver.pid]) and listening([*pids, driver.pid]) <= loopback
        drivers[0].kill()  # in the middle of a run
        said = drivers[1].communicate("go on\n", timeout=60)
        assert (drivers[1].returncode, said) == (0, ("left False and started anew True\n", ""))
        assert drivers[0].communicate() == ("", "")
        deadline = time.monotonic() + 15
        for folder in folders:
            while (marked(folder) or os.path.exists(folder)) and time.monotonic() < deadline:
                time.sleep(0.1)
            assert not marked(folder) and not os.path.exists(folder)
        assert not (tmp_path / ".ray").exists()
    finally:
        for driver in drivers:
            driver.kill()
