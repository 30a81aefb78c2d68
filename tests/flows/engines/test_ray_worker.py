"""The actor of a Ray cluster as a plain object: what it answers, whatever a function does."""

import os
import pickle
import threading

import pytest

from clean_corpus.flows.engines import ray_worker
from clean_corpus.flows.engines.ray_worker import Worker, code_sha256
from clean_corpus.pipeline.core.errors import CleanCorpusError, DataError


@pytest.fixture
def worker(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which it sets for good
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    return Worker(gpu=True)


def answer(worker: Worker, function, *args) -> tuple[bool, object]:
    return pickle.loads(worker.call(pickle.dumps((function, args))))


def fail(error: Exception) -> None:
    raise error


class Odd(Exception):
    """Cannot be unpickled: its __init__ wants more than it keeps."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


def fail_oddly() -> None:
    raise Odd("strange", "things")


def test_a_worker_without_a_share_sees_no_gpu_and_each_has_one_thread(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    Worker(gpu=True)
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OMP_NUM_THREADS"]) == ("0,1", "1")
    Worker(gpu=False)
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OMP_NUM_THREADS"]) == ("", "1")


def test_a_result_comes_back(worker):
    assert answer(worker, divmod, 7, 2) == (True, (3, 1))


def test_an_error_of_ours_comes_back_as_it_is(worker):
    succeeded, error = answer(worker, fail, DataError("clip a: 1 is not 2"))
    assert not succeeded and type(error) is DataError and str(error) == "clip a: 1 is not 2"
    assert not hasattr(error, "__notes__"), "users get no traceback of it"


def test_any_other_error_has_the_workers_traceback_with_it(worker):
    succeeded, error = answer(worker, divmod, 1, 0)
    assert not succeeded and type(error) is ZeroDivisionError
    (note,) = error.__notes__
    assert note.startswith("in the worker: Traceback") and "function(*args)" in note


def test_an_error_that_does_not_fit_through_becomes_its_text(worker):
    succeeded, error = answer(worker, fail_oddly)
    assert not succeeded and type(error) is CleanCorpusError and str(error) == "Odd: strange"


def test_a_result_that_does_not_fit_through_is_an_error(worker):
    succeeded, error = answer(worker, threading.Lock)
    assert not succeeded and "pickle" in str(error)


def test_a_call_that_cannot_be_read_is_an_error(worker):
    succeeded, error = pickle.loads(worker.call(b"no pickle"))
    assert not succeeded and isinstance(error, Exception)


def test_the_hash_of_the_source_is_that_of_every_room(monkeypatch):
    rooms, whole = ray_worker.ROOMS, code_sha256()
    assert whole == code_sha256() and len(whole) == 16 and int(whole, 16) >= 0
    found = {whole}
    for left_out in rooms:
        monkeypatch.setattr(ray_worker, "ROOMS", [room for room in rooms if room != left_out])
        found.add(code_sha256())
    assert len(found) == 1 + len(rooms) == 5


def test_the_hash_changes_with_names_and_content(monkeypatch, tmp_path):
    monkeypatch.setattr(ray_worker, "__file__", str(tmp_path / "flows/engines/ray_worker.py"))
    (tmp_path / "pipeline/core").mkdir(parents=True)
    hashes = [code_sha256()]
    for name, text in (("a.py", "x = 1\n"), ("a.py", "x = 2\n"), ("core/b.py", ""), ("core/b.txt", "ignored")):
        (tmp_path / "pipeline" / name).write_text(text)
        hashes.append(code_sha256())
    assert len(set(hashes)) == 4 and hashes[3] == hashes[4]
    (tmp_path / "pipeline/core/b.py").rename(tmp_path / "pipeline/core/c.py")
    assert code_sha256() not in hashes
