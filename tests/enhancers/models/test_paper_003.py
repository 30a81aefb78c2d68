"""The rows of paper [003]: shapes, look-ahead, streaming, padding, three steps of training."""

import pytest
import torch

from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.serving.enhancer import Enhancer
from clean_corpus.enhancers.table import ENHANCERS

ROWS = {name: row for name, row in ENHANCERS.items() if row.paper == "003"}
SMALL_DCCRN = {"channels": (4, 4, 4, 8, 8, 8), "units": 8}
SMALL = {name: SMALL_DCCRN for name in ROWS} | {
    "dcunet-16": {"channels": (4,) * 8},
    "lstm-9.6m": {"units": 8},
    "nsnet": {"layers": 1},
}


LOOKAHEAD = {name: 6 for name in ROWS} | {"nsnet": 0}


def small(name):
    """A small network in use, with weights and statistics that no two parts share."""
    torch.manual_seed(0)
    network = ROWS[name].build(**SMALL[name])
    domain = ROWS[name].domain
    domain.forward(network, torch.randn(2, 4000), torch.randn(2, 4000))  # moves the running statistics
    return network.eval()


def spectrum(*shape):
    return torch.randn(*shape, 257, dtype=torch.complex64)


@pytest.mark.parametrize("name", ROWS)
def test_shape_is_kept_and_every_parameter_learns(name):
    network, domain = small(name), ROWS[name].domain
    features = domain.features(spectrum(2, 9))
    output = network(features)
    assert output.shape == features.shape
    output.square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", ROWS)
def test_look_ahead_is_that_of_the_paper(name):
    """A frame changes outputs from `lookahead` frames before it on, and leaves all earlier ones bit-equal."""
    network, domain, at = small(name), ROWS[name].domain, 12
    spec = spectrum(1, 20)
    changed = spec.clone()
    changed[:, at:] *= 1000  # what comes by the longest way, through every layer, must not drown in round-off
    with torch.inference_mode():
        before, after = (domain.run(network, x, torch.tensor([20])) for x in (spec, changed))
    assert before.shape[-2] == 20
    first = at - LOOKAHEAD[name]
    assert torch.equal(before[:, :, :first], after[:, :, :first])
    assert not torch.equal(before[:, :, first], after[:, :, first])


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("step", [1, 5])
def test_frames_in_pieces_equal_the_whole(name, step):
    network, features = small(name), ROWS[name].domain.features(spectrum(2, 25))
    with torch.inference_mode():
        whole, state, parts = network(features), [], []
        for piece in features.split(step, 2):
            memory = Memory(state)
            parts.append(network(piece, memory))
            state = memory.state
    assert torch.allclose(torch.cat(parts, 2), whole, atol=1e-4)


@pytest.mark.parametrize("name", ROWS)
def test_padding_does_not_change_a_result(name):
    enhancer = Enhancer(ROWS[name], small(name), name=name, sha256="")
    lengths = torch.tensor([4000, 2301, 150])
    batch = torch.zeros(3, 4000)
    for row, n in zip(batch, lengths, strict=True):
        row[:n] = torch.randn(int(n)) * 0.1
    together = enhancer(batch, lengths)
    for row, result, n in zip(batch, together, lengths, strict=True):
        assert torch.allclose(result[:n], enhancer(row[None, :n], n[None])[0], atol=1e-5)  # other order of sums
        assert not result[n:].any()


@pytest.mark.parametrize("name", ROWS)
def test_three_steps_of_training_stay_finite(name):
    torch.manual_seed(0)
    row = ROWS[name]
    network = row.build(**SMALL[name])
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    clean = torch.randn(2, 2000)
    clean[:, :500] = 0  # silence has no phase and no logarithm
    noisy = clean.clone()
    noisy[:, 1000:] += torch.randn(2, 1000)
    before = [p.detach().clone() for p in network.parameters()]
    for _ in range(3):
        estimate, reference = row.target(row.domain.forward(network, noisy, clean))
        loss = sum(weight * function(estimate, reference) for function, weight in row.losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.isfinite(new).all() and not torch.equal(old, new)
