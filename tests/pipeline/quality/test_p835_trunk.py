"""The trunk of P.835 gives ONNX Runtime's numbers, whatever was in its memory before."""

import threading

import numpy as np
import pytest

from clean_corpus.pipeline.quality import dnsmos
from clean_corpus.pipeline.quality.onnx_parts import extract, loaded, runner
from clean_corpus.pipeline.quality.p835_trunk import P835Trunk
from tests.support import signals


@pytest.fixture(scope="module")
def trunks():
    network, _ = dnsmos.parts("dnsmos_p835")
    return P835Trunk(network), runner(network)


@pytest.mark.parametrize("size", [(1, 24), (1, 324), (5, 24), (2, 100), (1, 4)])
def test_numbers_are_those_of_onnx_runtime(trunks, size):
    ours, theirs = trunks
    frames = np.random.default_rng(size).standard_normal((*size, 320)).astype(np.float32) * 0.1
    frames[:, size[1] // 2 :] *= 1e-4
    got, expected = ours(frames), theirs(frames)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("sound", ["silence", "faint noise", "loud noise", "clicks", "square", "steps", "speech"])
def test_what_is_left_out_of_the_network_is_always_zero(sound):
    n = np.arange(2 * dnsmos.RATE)
    noise = np.random.default_rng(0).standard_normal(len(n))
    x = {
        "silence": 0 * n, "faint noise": 1e-5 * noise, "loud noise": np.clip(0.4 * noise, -1, 1),
        "clicks": n % 800 == 0, "square": np.sign(np.sin(0.05 * n)),
        "steps": np.clip(noise * 10.0 ** (n // 4000 - 7), -1, 1), "speech": signals.noisy_speech(2, 20.0, seed=1),
    }[sound].astype(np.float32)  # fmt: skip
    begin, between, _ = dnsmos.CUTS["dnsmos_p835"]
    whole = extract(dnsmos.network_path(dnsmos.NETWORKS["dnsmos_p835"]), begin, between)
    less, _ = dnsmos.parts("dnsmos_p835")
    kernels = {a.name: a.dims for a in loaded(less).graph.initializer}
    assert kernels["conv2d_1/kernel:0"] == [48, 128, 3, 3] and kernels["conv2d_2/kernel:0"] == [64, 48, 3, 3]
    for stretch, _ in dnsmos.heard(x, "whole").stretches:
        got, expected = (runner(network)(stretch.frames[None]) for network in (less, whole))
        assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()  # sums in another order


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
