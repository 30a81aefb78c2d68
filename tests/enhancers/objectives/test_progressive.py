"""Progressive learning: targets of the stages, and the loss over them."""

import pytest
import torch

from clean_corpus.enhancers.domains.spectral import ForwardPass, MagnitudeMapping
from clean_corpus.enhancers.objectives.progressive import progressive_mse, stage_magnitudes
from clean_corpus.enhancers.table import method

STFT = method("crn").domain.stft


def forward_pass(output, noisy, clean):
    return ForwardPass(MagnitudeMapping(STFT), lambda features: output, noisy, clean, STFT(noisy))


@pytest.mark.parametrize(
    ("stages", "improvements_db"), [(1, []), (2, [20]), (3, [10, 20]), (4, [5, 10, 20]), (5, [5, 10, 15, 20])]
)
def test_stage_targets_have_the_snr_that_the_paper_sets(stages, improvements_db):
    clean, noise = torch.randn(1, 8000), torch.randn(1, 8000)
    output = torch.zeros(1, stages, STFT.n_frames(8000), 161)
    estimate, reference = stage_magnitudes(forward_pass(output, clean + noise, clean))
    assert torch.equal(estimate, output) and reference.shape == output.shape
    for db, stage in zip([*improvements_db, float("inf")], reference[0], strict=True):
        wanted = STFT(clean + noise * 10 ** (-db / 20)).abs()[0]
        assert torch.allclose(stage, wanted, atol=1e-3)  # magnitudes near 10, float32 FFTs


def test_stage_numbers_without_targets_are_refused():
    with pytest.raises(ValueError, match="6 stages: expected 1 to 5"):
        stage_magnitudes(forward_pass(torch.zeros(1, 6, 11, 161), torch.zeros(1, 1600), torch.zeros(1, 1600)))


def test_the_loss_weighs_the_last_stage_ten_times():
    reference = torch.zeros(2, 3, 4, 5)
    for stage, wanted in enumerate([0.4, 0.4, 4.0]):
        estimate = reference.clone()
        estimate[:, stage] = 2.0
        assert progressive_mse(estimate, reference).item() == pytest.approx(wanted)
    assert progressive_mse(reference[:, :1] + 2, reference[:, :1]).item() == pytest.approx(4.0)


def test_a_perfect_last_stage_gives_the_clean_magnitude_with_the_noisy_phase():
    clean, noise = torch.randn(1, 1600), torch.randn(1, 1600)
    run = forward_pass(torch.zeros(1, 3, 11, 161), clean + noise, clean)
    estimate = run.domain.estimate(stage_magnitudes(run)[1], run.noisy_spec)
    wanted = run.noisy_spec * run.clean_spec.abs() / run.noisy_spec.abs()
    assert torch.allclose(estimate, wanted, atol=1e-3)  # magnitudes near 10, phases by way of atan2
