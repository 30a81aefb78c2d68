"""The baselines of paper [000] and the progressive systems of paper [001]."""

import pytest
import torch

from clean_corpus.enhancers.domains.progressive import StageOutput
from clean_corpus.enhancers.domains.spectral import ForwardPass, MagnitudeMapping
from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.objectives.progressive import progressive_mse, stage_magnitudes
from clean_corpus.enhancers.table import method
from clean_corpus.pipeline.core.errors import ConfigError

NAMES = (
    "lstm-4x1024", "gru-4x1024", "crn", "cnn-gru", "fcnn", "pl-crnn", "pl-crnn-iam", "pl-dnn", "pl-dnn-iam",
    "pl-lstm", "pl-lstm-iam", "crnn", "crnn-iam", "scrnn", "scrnn-iam",
)  # fmt: skip
ROWS = {name: method(name) for name in NAMES}
STFT = ROWS["crn"].domain.stft
CONVOLUTIONAL, UNITS = {"channels": (4, 4, 4, 4, 8)}, {"units": 16}
SMALL = {
    "lstm-4x1024": UNITS, "gru-4x1024": UNITS, "cnn-gru": {"channels": 4} | UNITS, "fcnn": {},
    "pl-dnn": UNITS, "pl-dnn-iam": UNITS, "pl-lstm": UNITS, "pl-lstm-iam": UNITS,
}  # fmt: skip


def small(name, **sizes):
    torch.manual_seed(0)
    return ROWS[name].build(**SMALL.get(name, CONVOLUTIONAL) | sizes)


def trained(name):
    """A small network whose BatchNorm statistics are not trivial."""
    network = small(name)
    network(torch.rand(2, 1, 30, 161))
    return network.eval()


@pytest.fixture(params=ROWS)
def name(request):
    return request.param


@pytest.mark.parametrize(
    ("name", "sizes", "count"),
    [("lstm-4x1024", {}, 36_811_937), ("gru-4x1024", {}, 27_650_209), ("crn", {}, 17_579_459),
     ("cnn-gru", {}, 3_462_885), ("fcnn", {}, 33_149), ("fcnn", {"n_freq": 129}, 32_765),
     ("pl-crnn", {"stages": 2}, 1_165_282), ("pl-crnn", {}, 1_221_731), ("pl-crnn", {"stages": 4}, 1_278_276),
     ("pl-crnn", {"stages": 5}, 1_334_917), ("pl-dnn", {}, 17_871_331), ("pl-lstm", {}, 42_249_699),
     ("crnn", {}, 17_579_457), ("scrnn", {}, 4_399_585)],
)  # fmt: skip
def test_parameter_counts_are_those_of_the_specification(name, sizes, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in ROWS[name].build(**sizes).parameters()) == count


def test_the_mask_target_adds_no_parameters():
    with torch.device("meta"):
        for name in ("pl-crnn", "pl-dnn", "pl-lstm", "crnn", "scrnn"):
            shapes = [[p.shape for p in ROWS[row].build().parameters()] for row in (name, f"{name}-iam")]
            assert shapes[0] == shapes[1]


def test_every_stage_gives_a_magnitude_and_every_parameter_learns(name):
    network = small(name)
    output = network(torch.rand(2, 1, 7, 161))
    assert output.shape == (2, 3 if name.startswith("pl-") else 1, 7, 161) and bool((output >= 0).all())
    output.square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("stages", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["pl-crnn", "pl-dnn", "pl-lstm"])
def test_the_number_of_stages_is_a_size(name, stages):
    assert small(name, stages=stages)(torch.rand(1, 1, 2, 161)).shape == (1, stages, 2, 161)


def test_look_ahead_is_zero(name):
    """A changed frame leaves every earlier output frame bit-equal, and shows in its own."""
    network = trained(name)
    features = torch.rand(1, 1, 20, 161)
    changed = features.clone()
    changed[:, :, 12:] += 1
    with torch.inference_mode():
        before, after = network(features), network(changed)
    assert torch.equal(before[:, :, :12], after[:, :, :12])
    assert not torch.equal(before[:, :, 12], after[:, :, 12])


@pytest.mark.parametrize("context", [11, 8])
def test_a_window_reaches_exactly_as_far_back_as_stated(context):
    network = trained("pl-dnn" if context == 11 else "fcnn")
    features = torch.rand(1, 1, 20, 161)
    changed = features.clone()
    changed[:, :, 4] += 1
    with torch.inference_mode():
        differ = (network(features) != network(changed)).any(-1).any(1)[0]
    assert differ.nonzero().flatten().tolist() == list(range(4, 4 + context))


def test_frame_by_frame_equals_the_whole_signal(name):
    network, features, state, outputs = trained(name), torch.rand(2, 1, 15, 161), [], []
    with torch.inference_mode():
        for frame in features.split(1, 2):
            memory = Memory(state)
            outputs.append(network(frame, memory))
            state = memory.state
        whole = network(features)
    assert torch.allclose(torch.cat(outputs, 2), whole, atol=1e-5)  # float32 sums in another order


def test_padding_does_not_change_a_result(name):
    network, domain = trained(name), ROWS[name].domain
    lengths = torch.tensor([4000, 2501])
    batch = torch.randn(2, 4000) * (torch.arange(4000) < lengths[:, None])
    with torch.inference_mode():
        together = domain.enhance(network, batch, lengths)
        alone = domain.enhance(network, batch[1:, :2501], lengths[1:])
    assert torch.allclose(together[1, :2501], alone[0], atol=1e-5)  # other batch size, other order of float32 sums


def test_wrong_features_are_refused_with_both_shapes(name):
    with pytest.raises(ValueError, match=r"\(1, 1, 5, 129\): expected \(B, 1, T, 161\)"):
        small(name)(torch.zeros(1, 1, 5, 129))
    with pytest.raises(ValueError, match=r"\(1, 2, 5, 161\): expected \(B, 1, T, 161\)"):
        small(name)(torch.zeros(1, 2, 5, 161))


@pytest.mark.parametrize(
    ("row", "sizes", "words"),
    [
        ("pl-crnn", {"target": "irm"}, "'irm': expected 'tms' or 'iam'"),
        ("pl-crnn", {"stages": 6}, "6 stages: expected 1 to 5"),
        ("pl-dnn", {"stages": 0}, "0 stages: expected 1 to 5"),
        ("pl-lstm", {"stages": 6}, "6 stages: expected 1 to 5"),
        ("lstm-4x1024", {"cell": "rnn"}, "'rnn': expected 'lstm' or 'gru'"),
        ("cgcrn", {"channels": 5}, "channels"),
    ],
)
def test_sizes_that_cannot_be_are_refused(row, sizes, words):
    with pytest.raises(ConfigError, match="sizes .*" + words):
        method(row).build(**sizes)


def test_three_training_steps_stay_finite(name):
    row, network = ROWS[name], small(name)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    clean = torch.randn(2, 2400)
    noisy = clean + 0.5 * torch.randn(2, 2400)
    for _ in range(3):
        compared = row.target(row.domain.forward(network, noisy, clean))
        loss = sum(weight * function(*compared) for function, weight in row.losses.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        assert bool(torch.isfinite(loss))
    assert all(bool(torch.isfinite(p).all()) for p in network.parameters())


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


def test_stage_outputs_know_their_answers():
    x, noisy = torch.tensor([0.0, 100.0, -100.0]), torch.tensor([4.0, 4.0, 4.0])
    assert StageOutput("iam")(x, noisy).tolist() == pytest.approx([2.0, 4.0, 0.0])
    assert StageOutput("tms")(x, noisy).tolist() == pytest.approx([0.6931472, 100.0, 0.0])


@pytest.mark.parametrize("name", ["pl-crnn-iam", "pl-dnn-iam", "pl-lstm-iam", "crnn-iam", "scrnn-iam"])
def test_masks_never_exceed_the_noisy_magnitude(name):
    features = torch.rand(1, 1, 6, 161)
    assert bool((small(name)(features) <= features).all())


def test_a_perfect_last_stage_gives_the_clean_magnitude_with_the_noisy_phase():
    clean, noise = torch.randn(1, 1600), torch.randn(1, 1600)
    run = forward_pass(torch.zeros(1, 3, 11, 161), clean + noise, clean)
    estimate = run.domain.estimate(stage_magnitudes(run)[1], run.noisy_spec)
    wanted = run.noisy_spec * run.clean_spec.abs() / run.noisy_spec.abs()
    assert torch.allclose(estimate, wanted, atol=1e-3)  # magnitudes near 10, phases by way of atan2


@pytest.mark.parametrize(("name", "wanted"), [("pl-crnn", 6.0), ("pl-dnn", 3.0), ("pl-lstm", 3.0)])
def test_the_result_is_the_last_stage_or_the_mean_of_all(name, wanted):
    output = torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1)
    assert ROWS[name].domain.estimate(output, torch.ones(1, 1, 1, dtype=torch.complex64)).abs().item() == wanted
