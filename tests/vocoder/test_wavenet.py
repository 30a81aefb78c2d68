"""WaveNet: its size, what a sample depends on, and generation equal to the parallel forward."""

import numpy as np
import pytest
import torch

from clean_corpus.vocoder.distributions import DISTRIBUTIONS, mu_law_decode, mu_law_encode
from clean_corpus.vocoder.generation.loop import Loop, Weights, generate
from clean_corpus.vocoder.wavenet import WaveNet, smooth_classes

SMALL = {"layers": 6, "stacks": 2, "residual_channels": 16, "gate_channels": 32, "skip_channels": 24,
         "conditioning_channels": 20, "upsampling": (4, 2)}  # fmt: skip


def network(output="mu-law", **sizes):
    torch.manual_seed(0)
    return WaveNet(**(SMALL | {"output": output} | sizes)).eval()


def test_size_and_receptive_field_are_those_of_the_specification():
    with torch.device("meta"):
        net = WaveNet()
    assert sum(p.numel() for p in net.parameters()) == 2_251_968
    assert sum(p.numel() for p in net.conditioning.parameters()) == 493_056
    assert net.receptive_field == 3070 and net.hop_length == 80


def test_weights_per_class_start_as_smooth_functions_of_the_class():
    torch.manual_seed(0)
    weights = smooth_classes(256, 4000)
    assert weights.square().mean() == pytest.approx(1, abs=0.05)
    step = (weights[1:] - weights[:-1]).square().mean(1).sqrt()
    assert step.max() < 0.05, "unrelated classes differ by sqrt(2)"
    net = network()
    assert torch.equal(net.output.bias, torch.zeros(256))
    assert net.input.weight[:, 100, 0].allclose(net.input.weight[:, 101, 0], atol=0.2)


def test_a_sample_depends_on_the_past_and_on_frames_a_little_ahead():
    net = WaveNet(layers=4, stacks=1).eval()
    x, mel = torch.rand(1, 1600) - 0.5, torch.randn(1, 45, 20)
    x = net.distribution.quantised(x)
    with torch.no_grad():
        before = net(x, mel)
        other = x.clone()
        other[:, 800] = -other[:, 800]
        assert torch.equal(net(other, mel)[..., :801], before[..., :801])
        assert not torch.equal(net(other, mel)[..., 801], before[..., 801])
        changed = mel.clone()
        changed[:, :, 12] += 1
        first = int((net(x, changed) != before).any(1)[0].nonzero()[0])
    assert 12 * 80 - first <= 0.014 * 16000 and first < 12 * 80


@pytest.mark.parametrize(("kernel_size", "batch"), [(2, 3), (3, 17), (3, 1)])
@pytest.mark.parametrize("output", DISTRIBUTIONS)
def test_generation_equals_the_parallel_forward(output, kernel_size, batch):
    """Logits of the loop against those of the forward pass on the samples that the loop drew, and the draws again."""
    net = network(output, kernel_size=kernel_size)
    n = 200
    mel = torch.randn(batch, 45, n // net.hop_length)
    generator = torch.Generator().manual_seed(1)
    noise = torch.stack([net.distribution.noise(n, generator) for _ in range(batch)], 1)
    with torch.no_grad():
        c = net.condition(mel)
        drawn, logits = Loop(Weights.of(net), batch, alone=batch == 1).run(
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


def test_an_utterance_does_not_depend_on_its_neighbours():
    net = network()
    mels = [torch.randn(45, frames) for frames in (30, 7, 120, 55)]
    together = generate(net, mels, [0, 1, 2, 3], batch_size=4)
    apart = generate(net, mels[::-1], [3, 2, 1, 0], threads=2, batch_size=1)[::-1]
    for i, mel in enumerate(mels):
        assert together[i].shape == (mel.shape[1] * net.hop_length,) and np.array_equal(apart[i], together[i]), i
    many = generate(net, mels * 5, [0, 1, 2, 3] * 5)
    assert all(np.array_equal(x, together[i % 4]) for i, x in enumerate(many)), "in two rows of lanes"


def test_mu_law_there_and_back():
    x = torch.linspace(-1, 1, 1001)
    classes = mu_law_encode(x)
    assert classes.min() == 0 and classes.max() == 255
    assert (mu_law_decode(classes) - x).abs().max() < 0.025
    with pytest.raises(ValueError, match="beyond full scale"):
        mu_law_encode(torch.tensor([1.5]))


@pytest.mark.parametrize("output", ["gaussian", "logistics"])
def test_a_likelihood_is_one_in_all(output):
    """Over all 16-bit steps the logistics sum to one; the density of the Gaussian integrates to one."""
    dist = DISTRIBUTIONS[output]
    parameters = 0.5 * torch.randn(1, dist.channels, 1, generator=torch.Generator().manual_seed(0)) - 2.0
    steps = 65536 if output == "logistics" else 200001
    x = torch.linspace(-1, 1, steps).double() if output == "logistics" else torch.linspace(-20, 20, steps).double()
    p = (-dist.nll(parameters.double().expand(1, -1, steps), x[None])).exp().sum()
    assert float(p) * (1 if output == "logistics" else 40 / steps) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("output", DISTRIBUTIONS)
def test_draws_follow_the_likelihood(output):
    """The mean of -log p of many draws is the entropy that the samples of another seed have too."""
    dist = DISTRIBUTIONS[output]
    parameters = torch.randn(1, dist.channels, generator=torch.Generator().manual_seed(2)) - 2.0
    many = parameters.expand(20000, -1)
    draws = [dist.draw(many, dist.noise(20000, torch.Generator().manual_seed(s))) for s in (0, 1)]
    nll = [float(dist.nll(parameters[:, :, None].expand(-1, -1, 20000), d[None]).mean()) for d in draws]
    assert nll[0] == pytest.approx(nll[1], abs=0.05)
    uniform = torch.rand(20000, generator=torch.Generator().manual_seed(3)) * 2 - 1
    assert float(dist.nll(parameters[:, :, None].expand(-1, -1, 20000), uniform[None]).mean()) > nll[0] + 0.1


def test_speakers_are_conditioned_on_and_asked_for():
    net = network(speakers=2)
    mel = torch.randn(1, 45, 3)
    one, two = (net.condition(mel, torch.tensor([i])) for i in (0, 1))
    assert not torch.equal(one, two)
    with pytest.raises(ValueError, match="none was given"):
        net.condition(mel)
    with pytest.raises(ValueError, match="without speakers"):
        network().condition(mel, torch.tensor([0]))


def test_wrong_shapes_are_named():
    net = network()
    with pytest.raises(ValueError, match=r"\(1, 44, 3\): expected \(B, 45, T\)"):
        net.condition(torch.randn(1, 44, 3))
    with pytest.raises(ValueError, match="10 samples, 3 frames of 8"):
        net(torch.zeros(1, 10), torch.randn(1, 45, 3))
    with pytest.raises(ValueError, match="2 utterances, but 1 seeds"):
        generate(net, [torch.randn(45, 3)] * 2, [0])
