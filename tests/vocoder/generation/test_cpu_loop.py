"""The compiled sample loop of the CPU against the parallel forward pass."""

import numpy as np
import pytest
import torch

from clean_corpus.vocoder.distributions import DISTRIBUTIONS, mu_law_encode
from clean_corpus.vocoder.generation import cpu_loop
from clean_corpus.vocoder.generation.cpu_loop import CpuLoop
from clean_corpus.vocoder.generation.weights import SourceInputs, Weights
from clean_corpus.vocoder.source import Voice, a_period_ago
from tests.support.wavenets import small_wavenet

HELD = {"upsampling": (2,), "conditioning_hop": 4}
SOURCED = HELD | {"harmonics": 3}


@pytest.mark.parametrize(
    ("batch", "sizes"),
    [(3, {}), (17, {"kernel_size": 3}), (1, {"kernel_size": 3}), (17, HELD), (1, HELD), (17, SOURCED), (1, SOURCED)],
)
@pytest.mark.parametrize("output", DISTRIBUTIONS)
def test_generation_equals_the_parallel_forward(output, batch, sizes):
    """Logits of the loop against those of the forward pass on the samples that the loop drew, and the draws again.

    Draws have a temperature of their own in each row of a batch and at each conditioning vector.
    """
    net = small_wavenet(output, **sizes)
    n = 200
    mel = torch.randn(batch, 45, n // net.hop_length)
    generator = torch.Generator().manual_seed(1)
    noise = torch.stack([net.distribution.noise(n, generator) for _ in range(batch)], 1)
    temperature = torch.rand(n // net.conditioning_hop, batch, generator=generator) + 0.5
    voice = Voice(
        torch.rand(batch, n) * 6, torch.rand(batch, n), torch.randint(32, 90, (batch, n), generator=generator)
    )
    with torch.no_grad():
        c = net.condition(mel)
        phases = net.source and net.source.phases(voice)
        inputs = net.source and SourceInputs(phases.permute(1, 2, 0), voice.voiced.t(), voice.period.t())
        drawn, logits = CpuLoop(Weights.of(net), batch, single=batch == 1).run(
            c.permute(2, 1, 0).numpy(), noise.numpy(), temperature, inputs, keep_logits=True
        )
        samples = torch.as_tensor(np.ascontiguousarray(drawn.T))
        source = net.source and net.source(phases, a_period_ago(samples, voice))
        expected = net(samples, mel, source=source)  # (B, O, N)
    assert np.abs(logits.transpose(2, 1, 0) - expected.numpy()).max() < 1e-4
    degrees = temperature.repeat_interleave(net.conditioning_hop, 0).unsqueeze(2)
    again = torch.stack([net.distribution.draw(expected[:, :, i], noise[i], degrees[i]) for i in range(n)], 1)
    if output == "mu-law":
        assert torch.equal(mu_law_encode(again), mu_law_encode(samples))
    assert torch.allclose(again, samples, atol=1e-4)
    assert samples.std() > 0.01


@pytest.mark.parametrize(("batch", "hop"), [(2, 1), (2, 4), (1, 4)])
def test_a_stretch_continues_where_the_last_one_stopped(monkeypatch, batch, hop):
    """Stretches that begin and end within a hop are given its vector again."""
    monkeypatch.setattr(cpu_loop, "PROJECTED", 3)
    net = small_wavenet(upsampling=(8 // hop,), conditioning_hop=hop)
    weights, rng = Weights.of(net), np.random.default_rng(0)
    c = rng.standard_normal((60 // hop, 20, batch)).astype(np.float32)
    noise = rng.random((60, batch, 1)).astype(np.float32)
    single = batch == 1
    whole = CpuLoop(weights, batch, single=single).run(c, noise)[0]
    loop = CpuLoop(weights, batch, single=single)
    parts = [
        loop.run(c[start // hop : -(-stop // hop)], noise[start:stop])[0] for start, stop in ((0, 7), (7, 8), (8, 60))
    ]
    assert np.array_equal(np.concatenate(parts), whole)
