"""The network, its domain, targets and losses, and a trained one as the pipeline sees it."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from clean_corpus.enhancers import checkpoints, table
from clean_corpus.enhancers.domains import spectral
from clean_corpus.enhancers.domains.masks import post_filter_gain
from clean_corpus.enhancers.models.cgcrn import CGCRN
from clean_corpus.enhancers.models.cgcrn_refined import RefinedCGCRN
from clean_corpus.enhancers.objectives import losses, targets
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.pipeline.core.errors import ConfigError

TINY = {"channels": (4, 4, 8, 8, 16)}
STFT = spectral.Stft(320, 160)


@pytest.fixture
def trained(tmp_path):
    """Weights of a small untrained network with a card, as training writes them; BatchNorm statistics not trivial."""
    torch.manual_seed(0)
    network = table.method("cgcrn-complex").build(**TINY)
    network(torch.randn(4, 2, 50, 161))
    save_file(network.state_dict(), tmp_path / "tiny.safetensors")
    card = {"name": "tiny", "method": "cgcrn-complex", "sizes": TINY, "sample_rate": 16000}
    (tmp_path / "tiny.json").write_text(json.dumps(card))
    return tmp_path / "tiny.safetensors"


@pytest.mark.parametrize(
    ("sizes", "count"),
    [({}, 3_764_307), ({"skip": "none"}, 3_676_515), ({"skip": "add"}, 3_676_515), ({"skip": "cat"}, 3_937_731),
     ({"groups": 1}, 6_910_035)],
)  # fmt: skip
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert sum(p.numel() for p in CGCRN(**sizes).parameters()) == count


def test_the_refined_network_is_one_network_heard_twice():
    """The second pass hears 0.7 of the first one's estimate and 0.3 of the noisy spectrum."""
    torch.manual_seed(0)
    once = CGCRN(in_channels=2, out_channels=2, **TINY).eval()
    twice = RefinedCGCRN(share=0.3, post_filter=0.0, **TINY).eval()
    twice.network.load_state_dict(once.state_dict())
    domain, spec = table.method("cgcrn-refined").domain, STFT(torch.randn(1, 4000))
    with torch.inference_mode():
        heard = 0.7 * domain.estimate(once(domain.features(spec)), spec) + 0.3 * spec
        wanted = domain.estimate(once(domain.features(heard)), heard)
        assert torch.allclose(domain.estimate(twice(domain.features(spec)), spec), wanted, atol=1e-5)
    assert sum(p.numel() for p in RefinedCGCRN().parameters()) == 3_764_502
    with pytest.raises(ValueError, match=r"share 1\.5"):
        RefinedCGCRN(share=1.5)


def test_makeup_raises_the_result_in_use_and_not_in_training():
    torch.manual_seed(0)
    plain, louder = RefinedCGCRN(**TINY), RefinedCGCRN(makeup_db=6.0, **TINY)
    louder.load_state_dict(plain.state_dict())
    x = torch.randn(1, 2, 5, 161)
    assert torch.equal(plain(x), louder(x))
    assert torch.allclose(louder.eval()(x), 1.9952623 * plain.eval()(x))


def test_the_post_filter_lowers_small_masks_alone():
    modulus = torch.tensor([1e-9, 0.1, 0.5, 1.0, 1.7])
    mask = torch.stack((modulus * 0.6, modulus * -0.8))[None, :, None]
    gain = post_filter_gain(mask, 0.02)[0, 0, 0]
    wanted = [0, 1.02 / (1 + 0.02 / np.sin(np.pi * 0.05) ** 2), 1.02 / 1.04, 1, 1]
    assert gain.tolist() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("skip", ["none", "add", "conv", "cat"])
def test_shape_is_kept_and_every_parameter_learns(skip):
    network = CGCRN(skip=skip, **TINY).eval()  # in training BatchNorm takes out biases before it: gradients of 0
    output = network(torch.rand(2, 1, 7, 161))
    assert output.shape == (2, 1, 7, 161) and bool((output >= 0).all())
    output.square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", ["cgcrn", "cgcrn-complex", "cgcrn-refined"])
def test_the_network_is_causal(name):
    """A changed frame leaves every earlier output frame bit-equal: look-ahead 0."""
    row = table.method(name)
    network = row.build(**TINY).eval()
    spec = torch.randn(1, 20, 161, dtype=torch.complex64)
    changed = spec.clone()
    changed[:, 12:] += 1
    with torch.inference_mode():
        before, after = network(row.domain.features(spec)), network(row.domain.features(changed))
    assert torch.equal(before[:, :, :12], after[:, :, :12])
    assert not torch.equal(before[:, :, 12:], after[:, :, 12:])


def test_wrong_features_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"\(1, 1, 5, 129\): expected \(B, 1, T, 161\)"):
        CGCRN(**TINY)(torch.zeros(1, 1, 5, 129))
    with pytest.raises(ValueError, match="1024 bottleneck features do not split into 3"):
        CGCRN(groups=3)


@pytest.mark.parametrize("n_samples", [1, 159, 160, 161, 16000, 16001])
def test_stft_inverts_at_every_length(n_samples):
    x = torch.randn(2, n_samples)
    assert torch.allclose(STFT.inverse(STFT(x), n_samples), x, atol=1e-5)  # float32 round-off of two FFTs


def test_stft_of_a_tone_peaks_in_its_bin():
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)[None]
    assert int(STFT(tone)[0, 50].abs().argmax()) == 1000 * 320 // 16000


def test_inverse_refuses_other_frame_counts():
    with pytest.raises(ValueError, match="101 frames, 8000 samples need 51"):
        STFT.inverse(STFT(torch.zeros(1, 16000)), 8000)


def test_the_ideal_masks_give_the_clean_spectrum_back():
    noisy, clean = STFT(torch.randn(1, 4000)), STFT(torch.randn(1, 4000))
    complex_mask = targets.complex_ratio_mask(clean, noisy)
    estimate = spectral.CompressedComplex(STFT).estimate(complex_mask, noisy)
    assert torch.allclose(estimate, clean, atol=1e-3)
    amplitude = targets.ideal_amplitude_mask(clean, noisy, limit=1e9)
    estimate = spectral.MagnitudeMask(STFT).estimate(amplitude.unsqueeze(1), noisy)
    assert torch.allclose(estimate.abs(), clean.abs(), atol=1e-3)
    assert float(targets.ideal_amplitude_mask(clean, noisy).max()) <= 10


def test_losses_know_their_answers():
    x = torch.randn(2, 8000)
    assert losses.mse(x, x).item() == 0
    assert losses.compressed_spectrum(x, x).item() < 1e-6
    noise = torch.randn(2, 8000)
    noise -= (noise * x).sum(-1, keepdim=True) / x.square().sum(-1, keepdim=True) * x  # orthogonal
    noise *= x.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True) / 10
    assert losses.neg_si_snr(3 * (x + noise), x).item() == pytest.approx(-20, abs=1e-3)
    assert losses.compressed_spectrum(x + noise, x) > losses.compressed_spectrum(x + noise / 2, x)


def test_padding_does_not_change_a_result(trained):
    enhancer = load_enhancer(str(trained))
    lengths = torch.tensor([16000, 9001, 4000])
    batch = torch.zeros(3, 16000)
    for row, n in zip(batch, lengths, strict=True):
        row[:n] = torch.randn(int(n)) * 0.1
    together = enhancer(batch, lengths)
    for row, result, n in zip(batch, together, lengths, strict=True):
        alone = enhancer(row[None, :n], n[None])[0]
        assert torch.allclose(result[:n], alone, atol=1e-6)  # other batch size, other order of float32 sums
        assert not result[n:].any()


def test_level_goes_through(trained):
    """Ten times louder in, ten times louder out: the network runs at one level."""
    enhancer = load_enhancer(str(trained))
    x, n = torch.randn(1, 8000) * 0.01, torch.tensor([8000])
    assert torch.allclose(enhancer(10 * x, n), 10 * enhancer(x, n), atol=1e-5)


def test_silence_stays_silence(trained):
    assert not load_enhancer(str(trained))(torch.zeros(1, 4000), torch.tensor([4000])).any()


def test_bad_batches_are_refused(trained):
    enhancer = load_enhancer(str(trained))
    with pytest.raises(ValueError, match="length 9 exceeds the batch's 8"):
        enhancer(torch.zeros(1, 8), torch.tensor([9]))
    with pytest.raises(ValueError, match="NaN"):
        enhancer(torch.full((1, 8), torch.nan), torch.tensor([8]))


def test_unknown_names_and_foreign_weights_are_explained(trained):
    with pytest.raises(ConfigError, match="did you mean 'default-causal'"):
        load_enhancer("default-casual")
    with pytest.raises(ConfigError, match="did you mean 'cgcrn'"):
        table.method("cgcnr")
    with pytest.raises(ConfigError, match=r"size 'chanels'.*did you mean 'channels'"):
        table.method("cgcrn").build(chanels=3)
    card = json.loads(trained.with_suffix(".json").read_text())
    trained.with_suffix(".json").write_text(json.dumps(card | {"sizes": {"channels": [4, 4, 8, 8, 32]}}))
    with pytest.raises(ConfigError, match=r"does not fit.*file \(.*network \("):
        load_enhancer(str(trained))
    trained.with_suffix(".json").unlink()
    with pytest.raises(ConfigError, match="card of these weights is missing"):
        load_enhancer(str(trained))


def test_the_hash_covers_weights_and_card(trained):
    first = checkpoints.weights_sha256(str(trained))
    trained.with_suffix(".json").write_text(trained.with_suffix(".json").read_text() + " ")
    assert checkpoints.weights_sha256(str(trained)) != first


def test_the_shipped_default_mends_noisy_speech():
    """What the shipped weights are for: at 5 dB of noise the signal must come out much nearer to the clean one."""
    from clean_corpus.pipeline.audio.synthetic import coloured_noise, mix_at_snr
    from clean_corpus.pipeline.quality.signal_measures import si_sdr_db
    from tests.support.signals import speech

    clean = speech(4.0, seed=3)
    noisy = mix_at_snr(clean, coloured_noise(np.random.default_rng(0), len(clean), slope=0.5), 5.0)
    output = load_enhancer(checkpoints.DEFAULT)(torch.from_numpy(noisy)[None], torch.tensor([len(noisy)]))[0].numpy()
    assert si_sdr_db(output, clean) > si_sdr_db(noisy, clean) + 5


@pytest.mark.parametrize("name", ["cgcrn-refined", "cgcrn-dual-path"])
def test_no_bin_is_raised_beyond_a_limit(name):
    """Where an encoder low-passed a recording, networks have asked for 60 dB more of what was left."""
    torch.manual_seed(0)
    network = table.method(name).build().eval()
    inner = network.network if name == "cgcrn-refined" else network.first
    torch.nn.init.constant_(inner.decoder_norms[0].weight, 1e4)
    domain, highest = table.method(name).domain, {}
    features = domain.features(domain.stft(torch.randn(1, 8000)))
    for max_gain in (1e9, 2.0):
        network.max_gain = max_gain
        with torch.inference_mode():
            highest[max_gain] = network(features).square().sum(1).sqrt().max().item()
    assert highest[1e9] > 3 and highest[2.0] <= 2.001


def test_shipped_weights_have_cards_that_say_what_they_are():
    for path in checkpoints.WEIGHTS.glob("*.safetensors"):
        card = checkpoints.card(path.stem)
        assert {"name", "method", "sizes", "sample_rate", "steps", "data", "licence", "scores"} <= card.keys()
        parameters = sum(p.numel() for p in table.method(card["method"]).build(**card["sizes"]).parameters())
        assert parameters == card["parameters"] and len(load_file(path)) > 0
