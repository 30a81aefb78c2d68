"""The baselines of paper [000] and the rows of paper [001]: shapes, causality, streaming, padding, training."""

import pytest
import torch

from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.table import method
from clean_corpus.pipeline.core.errors import ConfigError

NAMES = (
    "lstm-4x1024", "gru-4x1024", "crn", "cnn-gru", "fcnn", "pl-crnn", "pl-crnn-iam", "pl-dnn", "pl-dnn-iam",
    "pl-lstm", "pl-lstm-iam", "crnn", "crnn-iam", "scrnn", "scrnn-iam",
)  # fmt: skip


ROWS = {name: method(name) for name in NAMES}
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


@pytest.mark.parametrize("name", ["pl-crnn-iam", "pl-dnn-iam", "pl-lstm-iam", "crnn-iam", "scrnn-iam"])
def test_masks_never_exceed_the_noisy_magnitude(name):
    features = torch.rand(1, 1, 6, 161)
    assert bool((small(name)(features) <= features).all())
