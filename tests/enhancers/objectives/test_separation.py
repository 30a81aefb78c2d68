"""Targets and losses of separation: masks, codes, magnitudes."""

from functools import partial

import pytest
import torch

from clean_corpus.enhancers.domains.separation import Reconstruction, SourceMasks
from clean_corpus.enhancers.domains.spectral import ForwardPass, MagnitudeMask, Stft
from clean_corpus.enhancers.objectives import separation
from clean_corpus.enhancers.table import ENHANCERS

ROWS = {name: row for name, row in ENHANCERS.items() if row.paper == "002"}
STFT = Stft(512, 128, "hamming")
MASK = MagnitudeMask(STFT, "as_is")
CRN = {"channels": (2, 2, 4, 4, 4), "units": 8}
DECODERS = {"hidden": (16, 16), "speech_hidden": (16, 12), "noise_hidden": (12, 12), "code": 6}
TINY = {
    **{name: CRN | DECODERS for name in ROWS if name.startswith("crn-dnn-dec")},
    **{name: CRN for name in ("crn-cpsirm", "crn-irm", "crn-mag")},
    "dnn-dec": DECODERS,
    "dnn-irm-dnn-nmf": {"hidden": (16, 16), "n_bases": 5},
    "dnn-irm": {"hidden": (16, 16)},
    "lstm-irm": {"units": 8, "hidden": 12},
    "mhanet-irm": {"d_model": 16, "layers": 2, "feedforward": 16},
}


def tiny(name):
    """A small network of that row whose BatchNorm statistics are not trivial."""
    torch.manual_seed(0)
    network = ROWS[name].build(**TINY[name])
    network(torch.rand(4, 1, 30, 257))
    return network.eval()


def given(domain, noisy, clean, output):
    """A training pass with an output that is known."""
    return ForwardPass(domain, lambda features: output, noisy, clean, STFT(noisy))


def pairs(n_samples=2048):
    generator = torch.Generator().manual_seed(1)
    clean, noise = torch.randn(2, 3, n_samples, generator=generator) * 0.1
    return clean + noise, clean


def test_masks_of_a_right_angle():
    """S = 3 and N = 4j give |Y| = 5, cos 3/5 and 4/5."""
    clean, noise = torch.full((1, 1, 1), 3 + 0j), torch.full((1, 1, 1), 4j)
    assert separation.ideal_ratio_masks(clean, noise).flatten().tolist() == pytest.approx([3 / 7, 4 / 7])
    found = separation.constrained_phase_sensitive_masks(clean, noise)
    assert found.flatten().tolist() == pytest.approx([9 / 35, 16 / 35])


def test_constrained_masks_stay_between_nothing_and_the_ratio_masks():
    clean, noise = torch.randn(2, 4, 50, 257, dtype=torch.complex64)
    constrained = separation.constrained_phase_sensitive_masks(clean, noise)
    ratio = separation.ideal_ratio_masks(clean, noise)
    assert torch.allclose(ratio.sum(1), torch.ones(4, 50, 257))
    assert bool((constrained >= 0).all()) and bool((constrained <= ratio + 1e-6).all())
    silence = torch.zeros(1, 1, 1, dtype=torch.complex64)
    assert not separation.constrained_phase_sensitive_masks(silence, silence).any()


def two_sources(speech, noise):
    return torch.tensor([speech, noise], dtype=torch.float32)[None, :, None]  # (1, 2, 1, F)


def test_losses_know_their_answers():
    estimate, reference = two_sources([1, 3], [0, 2]), two_sources([0, 0], [0, 4])
    assert separation.both_mse(estimate, reference).item() == 5 + 2
    assert separation.both_mae(estimate, reference).item() == 2 + 1
    found = Reconstruction(estimate, two_sources([1, 2, 3], [4, 0, 0]))
    assert separation.reconstruction_error(found, reference).item() == 1 + 9 + 4
    assert separation.code_l1(found, reference).item() == 10
    twice = Reconstruction(*(x.repeat(2, 1, 3, 1) for x in found))  # frames are a mean, not a sum
    assert separation.reconstruction_error(twice, reference.repeat(2, 1, 3, 1)).item() == 14
    assert separation.code_l1(twice, reference).item() == 10


def test_targets_compare_what_they_say():
    row, network = ROWS["crn-dnn-dec"], tiny("crn-dnn-dec")
    noisy, clean = pairs()
    run = row.domain.forward(network, noisy, clean)
    speech, noise, mixture = STFT(clean).abs(), STFT(noisy - clean).abs(), STFT(noisy).abs()
    both = torch.stack((speech, noise), 1)
    close = partial(torch.allclose, atol=1e-4)  # float32, the noise's spectrum is a difference of spectra

    estimate, reference = separation.masked_magnitudes(run)
    assert close(estimate, run.output.masks * mixture[:, None]) and close(reference, both)
    estimate, reference = separation.codes(run)
    assert estimate is run.output.codes and not reference.requires_grad
    assert close(reference, torch.stack((network.speech_dae(speech).codes, network.noise_dae(noise).codes), 1))
    estimate, reference = separation.reconstructions(run)
    assert close(estimate.magnitudes[:, 1], network.noise_dae(noise).magnitudes) and close(reference, both)
    estimate, reference = separation.magnitudes(run)
    assert close(estimate.sum(1), mixture) and close(reference, both)
    assert close(run.domain.estimate(run.output, STFT(noisy)).abs(), run.output.estimates[:, 0])


def test_masks_are_compared_with_as_many_sources_as_the_network_gives():
    noisy, clean = pairs()
    expected = separation.ideal_ratio_masks(STFT(clean), STFT(noisy - clean))
    for channels in (1, 2):
        output = torch.rand(3, channels, STFT.n_frames(2048), 257)
        estimate, reference = separation.ratio_masks(given(MASK, noisy, clean, output))
        assert torch.equal(estimate, output) and torch.allclose(reference, expected[:, :channels], atol=1e-3)
    constrained = separation.constrained_phase_sensitive_masks(STFT(clean), STFT(noisy - clean))
    run = given(SourceMasks(STFT, "as_is"), noisy, clean, torch.rand(3, 2, STFT.n_frames(2048), 257))
    assert torch.allclose(separation.constrained_masks(run)[1], constrained, atol=1e-3)
    mask = torch.tensor([0.5, 0.0])[:, None, None].expand_as(run.output)
    assert torch.allclose(run.domain.waveform(mask, STFT(noisy), 2048), noisy / 2, atol=1e-5)
