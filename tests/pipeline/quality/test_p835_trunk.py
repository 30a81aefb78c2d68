"""The trunk of P.835 gives ONNX Runtime's numbers, whatever was in its memory before."""

import threading

import numpy as np
import pytest

from clean_corpus.pipeline.quality.dnsmos import parts
from clean_corpus.pipeline.quality.onnx_parts import runner
from clean_corpus.pipeline.quality.p835_trunk import P835Trunk


@pytest.fixture(scope="module")
def trunks():
    network, _ = parts("dnsmos_p835")
    return P835Trunk(network), runner(network)


@pytest.mark.parametrize("size", [(1, 24), (1, 324), (5, 24), (2, 100), (1, 4)])
def test_numbers_are_those_of_onnx_runtime(trunks, size):
    ours, theirs = trunks
    frames = np.random.default_rng(size).standard_normal((*size, 320)).astype(np.float32) * 0.1
    frames[:, size[1] // 2 :] *= 1e-4
    got, expected = ours(frames), theirs(frames)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_threads_do_not_share_what_they_compute_in(trunks):
    ours, _ = trunks
    some = [np.random.default_rng(n).standard_normal((1, 200, 320)).astype(np.float32) for n in range(2)]
    expected, got = [ours(frames) for frames in some], [[], []]

    def work(n: int) -> None:
        got[n] += [ours(some[n]) for _ in range(3)]

    threads = [threading.Thread(target=work, args=[n]) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found, expected[n]) for n in range(2) for found in got[n])
