"""Turns at computing: one at a time computes, waits overlap, and nothing that goes wrong keeps the turn."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clean_corpus.pipeline.core.compute_lock import begin_computing, compute_in_turns, wait_without_turn

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
    computes, downloads, uploads = Meter(), Meter(), Meter()

    def call(_: int) -> None:
        with compute_in_turns():
            with wait_without_turn(), downloads:
                time.sleep(NAP_S)
            for _ in range(2):
                begin_computing()
                with computes:
                    time.sleep(NAP_S)
            with wait_without_turn(), uploads:
                time.sleep(3 * NAP_S)
            with computes:
                time.sleep(NAP_S)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(call, range(4)))
    assert (computes.most, downloads.most) == (1, 4) and uploads.most > 1


def test_what_comes_while_another_computes_downloads_meanwhile():
    computing, downloaded = threading.Event(), threading.Event()

    def compute() -> bool:
        with compute_in_turns():
            begin_computing()
            computing.set()
            return downloaded.wait(5)

    def download() -> None:
        with compute_in_turns():
            for _ in range(3):
                with wait_without_turn():
                    computing.wait(5)
            downloaded.set()
            begin_computing()

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.submit(compute), threads.submit(download)
        assert first.result() and second.result() is None


def test_the_turn_is_free_after_an_error():
    with pytest.raises(ZeroDivisionError), compute_in_turns():
        begin_computing()
        with wait_without_turn():
            raise ZeroDivisionError

    def take() -> bool:
        with compute_in_turns():
            begin_computing()
            return True

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(take).result(timeout=5)


def test_who_takes_no_turns_waits_for_none():
    begin_computing()
    with wait_without_turn(), wait_without_turn():
        begin_computing()
    with compute_in_turns():
        begin_computing()
        begin_computing()
        with wait_without_turn(), wait_without_turn():  # the inner one has none to give
            pass


def test_a_turn_inside_a_turn_is_refused_and_does_not_hang():
    for begin in (lambda: None, begin_computing):
        with compute_in_turns():
            begin()
            with pytest.raises(RuntimeError, match="already"), compute_in_turns():
                pass
            with wait_without_turn(), pytest.raises(RuntimeError, match="already"), compute_in_turns():
                pass
