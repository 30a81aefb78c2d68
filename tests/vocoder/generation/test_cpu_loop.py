"""The compiled sample loop of the CPU against the parallel forward pass."""

import numpy as np
import pytest
import torch

from clean_corpus.vocoder.distributions import DISTRIBUTIONS, mu_law_encode
from clean_corpus.vocoder.generation.cpu_loop import CpuLoop
from clean_corpus.vocoder.generation.weights import Weights
from tests.support.wavenets import small_wavenet


@pytest.mark.parametrize(("kernel_size", "batch"), [(2, 3), (3, 17), (3, 1)])
@pytest.mark.parametrize("output", DISTRIBUTIONS)
def test_generation_equals_the_parallel_forward(output, kernel_size, batch):
    """Logits of the loop against those of the forward pass on the samples that the loop drew, and the draws again."""
    net = small_wavenet(output, kernel_size=kernel_size)
    n = 200
    mel = torch.randn(batch, 45, n // net.hop_length)
    generator = torch.Generator().manual_seed(1)
    noise = torch.stack([net.distribution.noise(n, generator) for _ in range(batch)], 1)
    with torch.no_grad():
        c = net.condition(mel)
        drawn, logits = CpuLoop(Weights.of(net), batch, single=batch == 1).run(
            c.permute(2, 1, 0).numpy(), noise.numpy(), keep_logits=True
        )
        samples = torch.as_tensor(np.ascontiguousarray(drawn.T))
        expected = net(samples, mel)  # (B, O, N)
    assert np.abs(logits.transpose(2, 1, 0) - expected.numpy()).max() < 1e-4
    again = torch.stack([net.distribution.draw(expected[:, :, i], noise[i]) for i in range(n)], 1)
    if output == "mu-law":
        assert torch.equal(mu_law_encode(again), mu_law_encode(samples))
    assert torch.allclose(again, samples, atol=1e-4)
    assert samples.std() > 0.01


def test_a_stretch_continues_where_the_last_one_stopped():
    net = small_wavenet()
    weights, rng = Weights.of(net), np.random.default_rng(0)
    c = rng.standard_normal((60, 20, 2)).astype(np.float32)
    noise = rng.random((60, 2, 1)).astype(np.float32)
    whole = CpuLoop(weights, 2).run(c, noise)[0]
    loop = CpuLoop(weights, 2)
    parts = [loop.run(c[part], noise[part])[0] for part in (slice(0, 7), slice(7, 8), slice(8, 60))]
    assert np.array_equal(np.concatenate(parts), whole)
