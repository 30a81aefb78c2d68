"""WaveNet: its size, and what a sample depends on."""

import pytest
import torch

from clean_corpus.vocoder import wavenet
from clean_corpus.vocoder.distributions import mu_law_encode
from clean_corpus.vocoder.emphasis import emphasised
from clean_corpus.vocoder.wavenet import WaveNet, pointwise, smooth_class_weights
from tests.support.wavenets import small_wavenet


def test_emphasis_is_part_of_the_likelihood_and_shares_of_classes_are_what_a_fresh_network_expects():
    net, x, mel = small_wavenet(), torch.randn(2, 80).clamp(-0.5, 0.5) * 0.5, torch.randn(2, 45, 10)
    shares = torch.rand(256)
    with torch.no_grad():
        net.output.weight.zero_()
        net.start_from_shares(shares / shares.sum())
        net.emphasis = 0.5
        found = net.nll(x, mel)
        classes = mu_law_encode(emphasised(x, 0.5))
    assert torch.allclose(found, -(shares / shares.sum()).log()[classes], atol=1e-4)


def test_size_and_receptive_field_are_those_of_the_specification():
    with torch.device("meta"):
        net = WaveNet()
    assert sum(p.numel() for p in net.parameters()) == 2_251_968
    assert sum(p.numel() for p in net.conditioning.parameters()) == 493_056
    assert net.receptive_field == 3070 and net.hop_length == 80


def test_weights_per_class_start_as_smooth_functions_of_the_class():
    torch.manual_seed(0)
    weights = smooth_class_weights(256, 4000)
    assert weights.square().mean() == pytest.approx(1, abs=0.05)
    step = (weights[1:] - weights[:-1]).square().mean(1).sqrt()
    assert step.max() < 0.05, "unrelated classes differ by sqrt(2)"
    net = small_wavenet()
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


def test_a_held_projection_equals_the_projection_of_held_conditioning():
    """Vectors of 4 samples each, and a network that is given each of them four times and projects every sample's."""
    held, every = small_wavenet(upsampling=(2,), conditioning_hop=4), small_wavenet(upsampling=(2, 4))
    assert held.hop_length == every.hop_length == 8
    every.load_state_dict({k: x for k, x in held.state_dict().items() if "stretches" not in k}, strict=False)
    every.condition = lambda log_mel, speaker: held.condition(log_mel).repeat_interleave(4, 2)
    x, mel = held.distribution.quantised(torch.rand(2, 80) - 0.5), torch.randn(2, 45, 10 + 8)
    with torch.no_grad():
        assert held.condition(mel).shape == (2, 20, 36)
        assert torch.allclose(held(x, mel, context=4), every(x, mel, context=4), atol=1e-5)  # other orders of sums
        other = mel.clone()
        other[:, :, 9] += 1
        assert not torch.allclose(held(x, other, context=4), held(x, mel, context=4), atol=1e-4)
    with pytest.raises(ValueError, match="conditioning_hop 0: at least 1"):
        small_wavenet(conditioning_hop=0)


def test_outputs_of_a_part_are_those_of_the_whole_and_have_its_gradients():
    """Rows whose parts begin at different frames; the frames before a part are its history."""
    net, mel = small_wavenet(), torch.randn(3, 45, 12)
    x = (torch.rand(3, 96) - 0.5) * 0.5
    first = torch.tensor([7, 0, 3])
    parts = [slice(8 * n, 8 * (n + 5)) for n in first]
    losses = [
        torch.stack([row[part] for row, part in zip(net.nll(x, mel), parts, strict=True)]),
        net.nll(x, mel, first=first, frames=5),
    ]
    assert losses[1].shape == (3, 40) and torch.allclose(*losses, atol=1e-5)
    gradients = [torch.autograd.grad(loss.mean(), list(net.blocks.parameters()), allow_unused=True) for loss in losses]
    for whole, part in zip(*gradients, strict=True):
        assert whole is None if part is None else torch.allclose(whole, part, atol=1e-6)
    with pytest.raises(ValueError, match=r"5 frames from \[7, 8, 3\] on: beyond 96 samples"):
        net.nll(x, mel, first=torch.tensor([7, 8, 3]), frames=5)
    with pytest.raises(ValueError, match="give both or none"):
        net(x, mel, frames=5)


def test_frames_of_context_are_heard_and_not_spoken():
    """With 4 frames on each side, more than conditioning depends on, a stretch equals that part of the whole."""
    net = small_wavenet()
    mel = torch.randn(1, 45, 30)
    with torch.no_grad():
        whole = net.condition(mel)[..., 10 * net.hop_length : 20 * net.hop_length]
        part = net.condition(mel[..., 6:24])[..., 4 * net.hop_length : -4 * net.hop_length]
        x = torch.zeros(1, 10 * net.hop_length)
        assert torch.allclose(part, whole, atol=1e-6)  # other lengths, other orders of float32 sums
        assert net(x, mel[..., 6:24], context=4).shape == (1, 256, 10 * net.hop_length)


def test_speakers_are_conditioned_on_and_asked_for():
    net = small_wavenet(speakers=2)
    mel = torch.randn(1, 45, 3)
    one, two = (net.condition(mel, torch.tensor([i])) for i in (0, 1))
    assert not torch.equal(one, two)
    with pytest.raises(ValueError, match="none was given"):
        net.condition(mel)
    with pytest.raises(ValueError, match="without speakers"):
        small_wavenet().condition(mel, torch.tensor([0]))


def test_in_half_precision_the_skips_of_many_layers_add_up_as_in_single(monkeypatch):
    """256 from the first layer and 1 from each other: in bfloat16, whose steps are 2 there, these would add nothing."""
    net, seen = small_wavenet(layers=30), []
    for i, block in enumerate(net.blocks):
        torch.nn.init.zeros_(block.skip.weight)
        torch.nn.init.constant_(block.skip.bias, 1.0 if i else 256.0)

    def noted(conv, x):
        if conv is net.hidden:
            seen.append(x)
        return pointwise(conv, x)

    monkeypatch.setattr(wavenet, "pointwise", noted)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        net(torch.zeros(1, 8), torch.zeros(1, 45, 1))
    assert float(seen[0].mean()) * 30**0.5 == pytest.approx(256 + 29, rel=1e-3)
    with torch.no_grad():
        assert net.bfloat16()(torch.zeros(1, 8), torch.zeros(1, 45, 1, dtype=torch.bfloat16)).isfinite().all()


def test_wrong_shapes_are_named():
    net = small_wavenet()
    with pytest.raises(ValueError, match=r"\(1, 44, 3\): expected \(B, 45, T\)"):
        net.condition(torch.randn(1, 44, 3))
    with pytest.raises(ValueError, match="10 samples, 3 frames of 8"):
        net(torch.zeros(1, 10), torch.randn(1, 45, 3))
    with pytest.raises(ValueError, match="5 layers in 2 stacks"):
        small_wavenet(layers=5)
