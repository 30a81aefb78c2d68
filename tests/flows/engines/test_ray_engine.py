"""The engine on a real Ray cluster of several nodes with declared GPUs, all on this machine."""

import functools
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import combinations

import pytest

from clean_corpus.flows.engines import open_engine, ray_cluster
from clean_corpus.flows.engines.base import EngineClosed, EngineConfig, NoWorkers, WorkerDied, WorkerHung
from clean_corpus.pipeline.core.compute_lock import begin_computing, compute_in_turns, wait_without_turn
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError, DataError
from clean_corpus.pipeline.storage.base import StorageError
from tests.support.paths import REPOSITORY

pytestmark = pytest.mark.timeout(120)
SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


# ---- what workers are asked to do


def where(_: object = None) -> tuple[int, str]:
    time.sleep(0.3)  # so that all workers have a part
    return os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES", "")


def die(_: object = None) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(error: Exception) -> None:
    raise error


class Odd(Exception):
    """Cannot be unpickled: its __init__ wants more than it keeps."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


def fail_oddly() -> None:
    raise Odd("strange", "things")


@functools.cache
def model() -> list[int]:
    return []


def loads(call: int) -> tuple[int, int]:
    """This process, and how many calls its model has seen."""
    model().append(call)
    return os.getpid(), len(model())


def fetch_and_compute(nap_s: float) -> tuple[int, tuple[float, float], tuple[float, float]]:
    """This process, and when it fetched and when it computed."""
    with compute_in_turns():
        with wait_without_turn():
            fetch = time.monotonic(), time.sleep(nap_s), time.monotonic()
        begin_computing()
        compute = time.monotonic(), time.sleep(nap_s), time.monotonic()
    return os.getpid(), fetch[::2], compute[::2]


def overlap_s(one: tuple[float, float], other: tuple[float, float]) -> float:
    """For how long two spans of time lie side by side; negative for how far they lie apart."""
    return min(one[1], other[1]) - max(one[0], other[0])


class Stillborn:
    """A worker whose start kills it, as a broken driver would."""

    def __init__(self, *, gpu: bool) -> None:
        die()

    def ready(self, preload: list[str]) -> None: ...


# ---- the cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A head without room for work, and one node with 2 GPUs; all want a token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_prestart_worker_first_driver", "0")
        patch.setenv("PYTHONPATH", f"{REPOSITORY}:{REPOSITORY}/src")  # workers find this module, and the same code
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        pytest.importorskip("ray", reason="extra `ray` is not installed")
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
        cluster.add_node(num_cpus=4, num_gpus=2, **SMALL)
        yield cluster
        cluster.shutdown()


@contextmanager
def engine_on(cluster, *, preload=(), check=False, **settings):
    from clean_corpus.flows.engines.ray_engine import RayEngine

    with pytest.MonkeyPatch.context() as patch:
        if not check:  # 3 s each time
            patch.setattr(ray_cluster, "_check_reachable", lambda _: None)
        with RayEngine(EngineConfig(kind="ray", address=cluster.address, **settings), preload=preload) as engine:
            yield engine


def await_workers(engine, count):
    deadline = time.monotonic() + 40
    while engine.present != count:
        assert time.monotonic() < deadline, f"{engine.present} workers, {count} awaited"
        time.sleep(0.05)


def spread(engine, function, count, *arguments):
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda i: engine.run(function, *(arguments or (i,))), range(count)))


@pytest.fixture(scope="class")
def engine(cluster):
    with engine_on(cluster, gpus_per_worker=1, ahead=1) as engine:
        yield engine


class TestTwoWorkers:
    """Two workers with a whole GPU each, which read ahead."""

    def test_there_are_as_many_as_the_cluster_has_room_for_each_with_a_gpu_of_its_own(self, engine):
        assert (engine.workers, engine.slots) == (2, 4)
        await_workers(engine, 2)
        seen = dict(spread(engine, where, 4))
        assert sorted(seen.values()) == ["0", "1"] and os.getpid() not in seen

    def test_a_model_is_loaded_once_per_worker(self, engine):
        pids, seen = zip(*spread(engine, loads, 8), strict=True)
        assert sum(max(n for p, n in zip(pids, seen, strict=True) if p == pid) for pid in set(pids)) == 8

    @pytest.mark.parametrize("kind", [StorageError, ConfigError, DataError, CleanCorpusError, ZeroDivisionError])
    def test_errors_keep_their_type_and_their_words(self, engine, kind):
        with pytest.raises(kind) as caught:
            engine.run(fail, kind("clip a: 1 is not 2"))
        assert type(caught.value) is kind and str(caught.value) == "clip a: 1 is not 2"

    def test_an_error_that_does_not_fit_through_is_told_in_words(self, engine):
        with pytest.raises(CleanCorpusError, match="Odd: strange"):
            engine.run(fail_oddly)

    def test_an_answer_that_does_not_fit_through_is_an_error_and_no_death(self, engine):
        with pytest.raises(Exception, match="pickle") as caught:
            engine.run(threading.Lock)
        assert not isinstance(caught.value, WorkerDied)

    def test_a_worker_fetches_for_one_call_while_it_computes_another(self, engine):
        nap_s, calls = 0.25, 8
        await_workers(engine, 2)
        spans = spread(engine, fetch_and_compute, calls, nap_s)
        for worker in {pid for pid, *_ in spans}:
            fetches = [fetch for pid, fetch, _ in spans if pid == worker]
            computes = [compute for pid, _, compute in spans if pid == worker]
            assert all(overlap_s(*two) <= 0 for two in combinations(computes, 2))
            assert any(overlap_s(fetch, compute) > nap_s / 2 for fetch in fetches for compute in computes)

    def test_a_death_costs_its_call_one_attempt_and_the_next_goes_on(self, engine):
        with pytest.raises(WorkerDied, match=r"worker on .* \(process \d+\) died in die: out of memory, or a crash"):
            engine.run(die)
        assert engine.run(divmod, 7, 2) == (3, 1)

    def test_a_call_that_hangs_is_ended_and_takes_the_blame_only_when_it_was_alone(self, engine):
        with pytest.raises(WorkerDied, match=r"in sleep, which took longer than 1 s") as shared:
            engine.run(time.sleep, 600, limit_s=0.5)
        with pytest.raises(WorkerHung, match=r"worker on .* was ended in sleep") as alone:
            engine.run(time.sleep, 600, limit_s=0.5)
        assert not isinstance(shared.value, WorkerHung) and "engine.call_limit_s" in str(alone.value)
        assert engine.run(divmod, 7, 2, limit_s=60) == (3, 1)

    def test_poison_kills_each_worker_it_gets_and_costs_others_one_attempt(self, engine):
        attempts = {}

        def work(i):
            function = die if i == 0 else where
            for attempt in range(1, 4):
                attempts[i] = attempt
                try:
                    return engine.run(function, i)
                except WorkerDied:
                    continue
            return None

        with ThreadPoolExecutor(8) as threads:
            results = list(threads.map(work, range(8)))
        assert results[0] is None and attempts[0] == 3
        assert all(results[1:]) and max(attempts[i] for i in range(1, 8)) <= 2


def test_fractions_share_a_gpu(cluster):
    with engine_on(cluster, gpus_per_worker=0.5, ahead=0) as engine:
        assert engine.workers == 4
        await_workers(engine, 4)
        seen = dict(spread(engine, where, 4))
    assert sorted(seen.values()) == ["0", "0", "1", "1"]


def test_no_room_is_an_error_that_says_what_was_asked_and_what_there_is(cluster):
    with (
        engine_on(cluster, workers=1, cpus_per_worker=100, gpus_per_worker=1, start_timeout_s=1.5) as engine,
        pytest.raises(NoWorkers, match=r"wants 100 CPUs .* and 1 GPUs .* has 4 CPUs and 2 GPUs"),
    ):
        engine.run(where)


def test_workers_that_cannot_start_are_an_error_and_no_endless_wait(cluster, monkeypatch):
    with (
        engine_on(cluster, workers=1, preload=["no_such_module_here"]) as engine,
        pytest.raises(NoWorkers, match="no_such_module_here"),
    ):
        engine.run(where)
    monkeypatch.setattr("clean_corpus.flows.engines.ray_engine.Worker", Stillborn)
    with (
        engine_on(cluster, workers=1) as engine,
        pytest.raises(NoWorkers, match="died while it started"),
    ):
        engine.run(where)


def test_another_version_on_another_machine_is_refused(cluster, monkeypatch):
    monkeypatch.setattr("clean_corpus.flows.engines.ray_engine.code_sha256", lambda: "0" * 16)
    monkeypatch.setattr("clean_corpus.flows.engines.ray_engine.socket.gethostname", lambda: "elsewhere")
    with (
        engine_on(cluster, workers=1) as engine,
        pytest.raises(NoWorkers, match="another version of clean-corpus"),
    ):
        engine.run(where)


def test_a_waiting_call_ends_with_the_engine(cluster):
    with ThreadPoolExecutor(1) as threads:
        with engine_on(cluster, workers=1, cpus_per_worker=100) as engine:
            call = threads.submit(engine.run, where)
            time.sleep(0.2)
        with pytest.raises(EngineClosed, match="the run is over"):
            call.result(timeout=10)


@pytest.mark.slow
def test_workers_come_and_go_with_their_machines(cluster):
    def patient(i):
        for _ in range(3):
            try:
                return engine.run(where, i)
            except WorkerDied as error:
                died.append(str(error))
        raise AssertionError(f"call {i} died three times")

    died = []
    with engine_on(cluster, workers=3, gpus_per_worker=1, ahead=0) as engine:
        await_workers(engine, 2)
        more = cluster.add_node(num_cpus=2, num_gpus=1, **SMALL)
        await_workers(engine, 3)
        with ThreadPoolExecutor(4) as threads:
            calls = [threads.submit(patient, i) for i in range(24)]
            time.sleep(0.5)
            cluster.remove_node(more, allow_graceful=False)
            assert len([call.result(timeout=60) for call in calls]) == 24
        assert len(died) <= 1 and all("its machine left the cluster" in error for error in died)  # what ran there


# ---- who gets in


def test_the_right_token_is_let_in_and_without_a_share_no_gpu_is_seen(cluster):
    with engine_on(cluster, check=True, workers=1, gpus_per_worker=0) as engine:
        assert engine.run(where)[1] == ""


@pytest.mark.parametrize("token", [{"RAY_AUTH_TOKEN": "f" * 64}, {"RAY_AUTH_MODE": "disabled"}])
def test_without_the_token_the_cluster_is_closed(cluster, token, monkeypatch):
    for name, value in token.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"another token.*RAY_AUTH_TOKEN_PATH"):
        open_engine(EngineConfig(kind="ray", address=cluster.address))
