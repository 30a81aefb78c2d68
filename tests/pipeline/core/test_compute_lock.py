"""Turns at computing: one at a time computes, waits overlap, and nothing that goes wrong keeps the turn."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clean_corpus.pipeline.core.compute_lock import hold_compute_lock, release_compute_lock

NAP_S = 0.1


class Meter:
    """How many threads are in a block at once, at most."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def __enter__(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.now -= 1


def test_one_computes_while_others_wait_for_the_network():
    computes, waits = Meter(), Meter()

    def call(_: int) -> None:
        with hold_compute_lock():
            with release_compute_lock(), waits:
                time.sleep(NAP_S)
            with computes:
                time.sleep(NAP_S)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(call, range(4)))
    assert (computes.most, waits.most) == (1, 4)


def test_the_turn_is_free_after_an_error():
    with pytest.raises(ZeroDivisionError), hold_compute_lock(), release_compute_lock():
        raise ZeroDivisionError

    def take() -> bool:
        with hold_compute_lock():
            return True

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(take).result(timeout=5)


def test_waiting_without_a_turn_does_nothing():
    with release_compute_lock(), release_compute_lock():
        pass
    with hold_compute_lock(), release_compute_lock(), release_compute_lock():  # the inner one has none to give
        pass


def test_a_turn_inside_a_turn_is_refused_and_does_not_hang():
    with hold_compute_lock(), pytest.raises(RuntimeError, match="already"), hold_compute_lock():
        pass
    with hold_compute_lock(), release_compute_lock(), pytest.raises(RuntimeError, match="already"), hold_compute_lock():
        pass
