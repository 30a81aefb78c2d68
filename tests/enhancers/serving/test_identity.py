"""What the default weights make of one fixed recording stays as it is, or ENHANCEMENT_VERSION is raised."""

import hashlib

import pytest
import soxr
import torch

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.serving import identity as module
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.serving.identity import ENHANCEMENT_VERSION, identity
from tests.support import golden

SAMPLES = 2e-4  # oneDNN picks other kernels on another processor: 1e-5 of full scale; the clip's RMS is 0.04


@pytest.mark.parametrize("name", ["default", "default-causal"])
def test_enhanced_samples(name):
    x, rate = golden.samples()
    noisy = torch.from_numpy(soxr.resample(x[:, 0] / 32768, rate, 16000)).float()[None]
    clean = load_enhancer(name)(noisy, torch.tensor([noisy.shape[1]]))
    exact = {"shape": list(clean.shape)}
    numbers = {"samples": (golden.sketch(clean[0].numpy()), SAMPLES)}
    golden.check(f"enhancer {name}", ENHANCEMENT_VERSION, "enhancers/serving/identity.py", exact, numbers)


def test_identity_is_weights_and_version_alone(monkeypatch):
    weights = checkpoints.weights_sha256("default")
    assert identity("default", 16000) == hashlib.sha256(f"{weights} {ENHANCEMENT_VERSION}".encode()).hexdigest()
    assert identity("default", 16000) != identity("default-causal", 16000)
    rates = 16000, 24000, 48000
    before = [identity("default", rate) for rate in rates]
    assert len(set(before)) == 3
    with monkeypatch.context() as patch:
        patch.setattr(module, "BAND_SPLIT_VERSION", module.BAND_SPLIT_VERSION + 1)
        assert [identity("default", rate) == old for rate, old in zip(rates, before, strict=True)] == [
            True,
            False,
            False,
        ]
    above = [identity("default", rate, upper_band="default-causal") for rate in (8000, *rates)]
    assert [a == b for a, b in zip(above, [identity("default", 8000), *before], strict=True)] == [
        True,
        True,
        False,
        False,
    ]
    monkeypatch.setattr(module, "ENHANCEMENT_VERSION", ENHANCEMENT_VERSION + 1)
    assert not set(before) & {identity("default", rate) for rate in rates}
