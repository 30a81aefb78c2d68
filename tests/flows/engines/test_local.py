"""Worker processes: results come back, exceptions too, a dead worker is replaced, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import EndpointConnectionError

from clean_corpus.flows.engines import local, open_engine
from clean_corpus.flows.engines.base import EngineClosed, EngineConfig, NoWorkers, WorkerDied, WorkerHung
from clean_corpus.flows.engines.local import LocalEngine, warm_up
from clean_corpus.pipeline.storage import s3_client
from clean_corpus.pipeline.storage.base import StorageError
from tests.support.paths import REPOSITORY


@pytest.fixture(scope="module")
def engine():
    with LocalEngine(2) as engine:
        yield engine


def die(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_calls_run_in_other_processes_that_stay(engine):
    pids = {engine.run(os.getpid) for _ in range(6)}
    assert os.getpid() not in pids and 1 <= len(pids) <= 2


def test_exceptions_come_back_as_they_are(engine):
    with pytest.raises(ZeroDivisionError):
        engine.run(divmod, 1, 0)


def test_a_dead_worker_is_an_error_that_names_the_call_and_is_replaced(engine):
    with pytest.raises(WorkerDied, match="died in die"):
        engine.run(die, None)
    assert engine.run(divmod, 7, 2) == (3, 1)


def out_of_time() -> None:
    raise TimeoutError("the function's own")


def test_a_call_that_hangs_is_ended_with_its_worker_which_is_replaced(engine):
    engine.run(divmod, 7, 2)
    began = time.monotonic()
    with pytest.raises(WorkerHung, match=r"in sleep, which took longer than 1 s; .* engine\.call_limit_s"):
        engine.run(time.sleep, 600, limit_s=1)
    assert time.monotonic() - began < 60
    with pytest.raises(TimeoutError, match="the function's own"):
        engine.run(out_of_time, limit_s=60)
    assert engine.run(divmod, 7, 2, limit_s=60) == (3, 1)


def test_workers_that_die_while_they_start_are_given_up_with_the_remedy(monkeypatch):
    monkeypatch.setattr(local, "_start_worker", die)
    with LocalEngine(1) as engine:
        for _ in range(2):
            with pytest.raises(WorkerDied):
                engine.run(divmod, 7, 2)
        for _ in range(2):
            with pytest.raises(NoWorkers, match=r"each ended before it was ready; memory mostly: take fewer workers"):
                engine.run(divmod, 7, 2)


def test_a_server_of_workers_that_is_gone_is_an_error_with_the_remedy(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise EOFError("unexpected EOF")

    monkeypatch.setattr(local._RecordingContext, "Process", refuse)
    with pytest.raises(NoWorkers, match="cannot be started: EOFError: unexpected EOF; memory mostly"):
        LocalEngine(1)


def test_leaving_by_an_exception_stops_workers_in_the_middle_of_calls_and_sends_callers_away():
    calls = ThreadPoolExecutor(3)
    with pytest.raises(KeyboardInterrupt), LocalEngine(1) as engine:
        worker = engine.run(os.getpid)
        waiting = [calls.submit(engine.run, time.sleep, 60) for _ in range(3)]  # one is in the worker, two are not
        time.sleep(0.5)
        raise KeyboardInterrupt
    for call in waiting:
        assert isinstance(call.exception(timeout=10), EngineClosed)
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{worker}")


def test_no_workers_is_refused():
    with pytest.raises(ValueError, match="workers 0"):
        LocalEngine(0)


def test_workers_follow_a_killed_parent():
    code = "from clean_corpus.flows.engines.local import LocalEngine\nimport os, time\ne = LocalEngine(1)\n"
    code += "print(e.run(os.getpid), flush=True)\ntime.sleep(60)\n"
    parent = subprocess.Popen(
        [sys.executable, "-c", f"if __name__ == '__main__':\n    exec({code!r})"],
        stdout=subprocess.PIPE, cwd=REPOSITORY, text=True,
    )  # fmt: skip
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{worker}")


def test_a_server_that_was_warmed_up_is_ready_for_workers():
    thread = warm_up()
    thread.join(timeout=120)
    assert not thread.is_alive()
    began = time.monotonic()
    with LocalEngine(1) as engine:
        assert engine.run(divmod, 7, 2) == (3, 1)
    assert time.monotonic() - began < 60


def sees(nap_s: float) -> tuple[int, str, bool]:
    import torch

    time.sleep(nap_s)
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"], torch.cuda.is_initialized()


def test_each_worker_sees_its_gpu_alone_and_so_does_the_one_that_replaces_it(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    with open_engine(EngineConfig()) as engine:
        assert engine.workers == engine.slots == 2
        with pytest.raises(WorkerDied):
            engine.run(die, None)
        with ThreadPoolExecutor(2) as threads:
            seen = set(threads.map(lambda _: engine.run(sees, 1), range(2)))
    assert sorted(gpu for _, gpu, _ in seen) == ["3", "5"]
    assert not any(initialized for _, _, initialized in seen)


def lose_the_service(_: object) -> None:
    with s3_client.explain_request_errors("s3://bucket/a"):
        raise EndpointConnectionError(endpoint_url="http://host")


def test_a_service_that_is_gone_at_the_first_request_of_a_worker_went_amid_the_work(engine):
    """The process that started it has had answers, or there would be no worker."""
    with pytest.raises(StorageError, match="run the same command again: finished work is kept"):
        engine.run(lose_the_service, None)
