"""The loss that hears as PESQ does, against the reference program."""

import numpy as np
import pesq
import pytest
import soundfile
import soxr
import torch

from clean_corpus.enhancers.objectives.perceptual import SAMPLE_RATE, guessed_pesq, pesq_disturbance

BEST = 0.999 + 4 / (1 + np.exp(-1.3669 * 4.5 + 3.8224))


@pytest.fixture(scope="module")
def noisy_and_clean(real_data):
    """Six speakers' recordings with noise of the real world at 0 to 25 dB."""
    read = (soundfile.read(path, dtype="float32") for path in sorted(real_data.glob("noise/dev/*/*.ogg"))[::3])
    noises = [soxr.resample(x, rate, SAMPLE_RATE) for x, rate in read if np.any(x)]
    pairs = []
    for i, path in enumerate(sorted(real_data.glob("speech/dev/*/*.flac"))[::8][:6]):
        clean = soundfile.read(path, dtype="float32")[0][: 6 * SAMPLE_RATE]
        for j, snr_db in enumerate((0, 5, 15, 25)):
            noise = np.resize(noises[(4 * i + j) % len(noises)], len(clean))
            gain = np.sqrt(np.mean(clean**2) / np.mean(noise**2) / 10 ** (snr_db / 10))
            pairs.append(((clean + gain * noise).astype(np.float32), clean))
    return pairs


def test_it_guesses_what_the_reference_program_says(noisy_and_clean):
    errors = []
    for noisy, clean in noisy_and_clean:
        with torch.no_grad():
            guess = float(guessed_pesq(torch.as_tensor(noisy), torch.as_tensor(clean)))
        errors.append(guess - pesq.pesq(SAMPLE_RATE, clean, noisy, "wb"))
    assert np.median(np.abs(errors)) < 0.05 and np.quantile(np.abs(errors), 0.9) < 0.2


def speech_like(seed: int, n: int = SAMPLE_RATE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    envelope = torch.sin(torch.linspace(0, 12, n)).abs()
    return 0.1 * envelope * torch.randn(n, generator=generator)


def test_equal_signals_lose_nothing_and_loudness_does_not_matter():
    clean, noise = speech_like(0), speech_like(1)
    assert float(pesq_disturbance(clean, clean)) < 1e-5
    assert float(guessed_pesq(clean, clean)) == pytest.approx(BEST, abs=1e-4)
    noisy = clean + 0.1 * noise
    assert float(pesq_disturbance(0.01 * noisy, clean)) == pytest.approx(
        float(pesq_disturbance(noisy, clean)), rel=1e-3
    )


def test_more_noise_costs_more_and_the_gradient_leads_away_from_it():
    clean, noise = speech_like(0), speech_like(1)
    costs = [float(pesq_disturbance(clean + share * noise, clean)) for share in (0.01, 0.1, 1.0)]
    assert costs == sorted(costs) and costs[0] > 0
    share = torch.tensor(0.1, requires_grad=True)
    pesq_disturbance(clean + share * noise, clean).backward()
    assert share.grad > 0


def test_a_batch_is_the_mean_and_references_without_sound_count_nothing():
    clean, noise = speech_like(0), speech_like(1)
    pairs = [(clean + 0.1 * noise, clean), (clean + noise, clean), (noise, torch.zeros_like(clean))]
    estimate = torch.stack([a for a, _ in pairs]).requires_grad_()
    cost = pesq_disturbance(estimate, torch.stack([b for _, b in pairs]))
    alone = [float(pesq_disturbance(a, b)) for a, b in pairs[:2]]
    assert cost.item() == pytest.approx(np.mean(alone), rel=1e-4)
    cost.backward()
    assert estimate.grad.isfinite().all() and not estimate.grad[2].any() and estimate.grad[:2].any()
    equal = clean.clone().requires_grad_()
    pesq_disturbance(equal, clean).backward()
    assert equal.grad.isfinite().all()
    assert guessed_pesq(estimate.detach(), estimate.detach()).shape == (3,)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(2, 8000\) and reference \(8000,\)"):
        pesq_disturbance(torch.zeros(2, 8000), torch.zeros(8000))
    with pytest.raises(ValueError, match="4000 samples, a syllable has 5376"):
        pesq_disturbance(torch.zeros(4000), torch.zeros(4000))
