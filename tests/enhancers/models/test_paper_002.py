"""The rows of paper [002]: shapes, causality, streaming, padding, and what each stage of their training changes."""

import pytest
import torch

from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.serving.enhancer import Enhancer
from clean_corpus.enhancers.table import ENHANCERS

ROWS = {name: row for name, row in ENHANCERS.items() if row.paper == "002"}
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


CAUSAL = [name for name in ROWS if name != "mhanet-irm"]
REMEMBERING = [name for name in CAUSAL if name.startswith(("crn", "lstm"))]


def tiny(name):
    """A small network of that row whose BatchNorm statistics are not trivial."""
    torch.manual_seed(0)
    network = ROWS[name].build(**TINY[name])
    network(torch.rand(4, 1, 30, 257))
    return network.eval()


def tensors(output):
    return [output] if isinstance(output, torch.Tensor) else list(output)


def pairs(n_samples=2048):
    generator = torch.Generator().manual_seed(1)
    clean, noise = torch.randn(2, 3, n_samples, generator=generator) * 0.1
    return clean + noise, clean


def total_loss(row, network, stage, batch):
    estimate, reference = stage.target(row.domain.forward(network, *batch))
    return sum(weight * loss(estimate, reference) for loss, weight in stage.losses.values())


def train(row, network, stage, steps=3):
    """What a trainer does with a stage: only its parts learn, the others neither learn nor count statistics."""
    if stage.prepare:
        stage.prepare(network, [row.domain.forward(network, *pairs())])
    network.eval().requires_grad_(False)
    for part in stage.parts or ("",):
        network.get_submodule(part).train().requires_grad_(True)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-3)
    history = []
    for _ in range(steps):
        loss = total_loss(row, network, stage, pairs())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


@pytest.mark.parametrize("name", ROWS)
def test_outputs_have_the_frames_of_the_input_and_stay_in_range(name):
    with torch.inference_mode():
        output = tiny(name)(torch.rand(2, 1, 7, 257))
    assert {x.shape[-2] for x in tensors(output)} == {7}
    if name == "crn-mag":
        assert bool((output >= 0).all())
        return
    masks = output if isinstance(output, torch.Tensor) else getattr(output, "masks", None)
    if masks is not None:
        assert masks.shape == (2, 2 if name.startswith(("crn-dnn", "crn-cp", "dnn-irm-")) else 1, 7, 257)
        assert float(masks.min()) >= 0 and float(masks.max()) <= 1
    if not isinstance(output, torch.Tensor):
        assert output.codes.shape[:3] == (2, 2, 7) and output.decoded.shape == output.estimates.shape == (2, 2, 7, 257)
        assert bool((output.codes >= 0).all()) == (name != "crn-dnn-dec-jnt3")


@pytest.mark.parametrize("name", CAUSAL)
def test_the_network_is_causal(name):
    """A changed frame leaves every earlier output frame bit-equal: look-ahead 0; only an LSTM carries it further."""
    network, noisy_mag = tiny(name), torch.rand(1, 1, 20, 257)
    changed = noisy_mag.clone()
    changed[:, :, 12] += 1
    with torch.inference_mode():
        outputs = list(zip(tensors(network(noisy_mag)), tensors(network(changed)), strict=True))
    for before, after in outputs:
        assert torch.equal(before[..., :12, :], after[..., :12, :])
        assert not torch.equal(before[..., 12, :], after[..., 12, :])
    later = any(not torch.equal(before[..., 13:, :], after[..., 13:, :]) for before, after in outputs)
    assert later == (name in REMEMBERING)


@pytest.mark.parametrize("name", CAUSAL)
def test_frame_by_frame_equals_the_whole_signal(name):
    network, noisy_mag = tiny(name), torch.rand(2, 1, 9, 257)
    state, parts = [], []
    with torch.inference_mode():
        whole = network(noisy_mag)
        for frame in noisy_mag.split(1, 2):
            memory = Memory(state)
            parts.append(tensors(network(frame, memory)))
            state = memory.state
    for expected, found in zip(tensors(whole), zip(*parts, strict=True), strict=True):
        assert torch.allclose(torch.cat(found, -2), expected, atol=1e-5)  # float32 sums in another order
    assert bool(state) == (name in REMEMBERING)


@pytest.mark.parametrize("name", ROWS)
def test_padding_does_not_change_a_result(name):
    enhancer = Enhancer(ROWS[name], tiny(name), name=name, sha256="")
    lengths = torch.tensor([3000, 1801, 900])
    batch = torch.zeros(3, 3000)
    for row, n in zip(batch, lengths, strict=True):
        row[:n] = torch.randn(int(n)) * 0.1
    together = enhancer(batch, lengths)
    for row, result, n in zip(batch, together, lengths, strict=True):
        assert torch.allclose(result[:n], enhancer(row[None, :n], n[None])[0], atol=1e-5)
        assert not result[n:].any()
    assert not enhancer(torch.zeros(1, 900), torch.tensor([900])).any() or name == "crn-mag"


@pytest.mark.parametrize("name", ROWS)
def test_wrong_features_are_refused_with_both_shapes(name):
    with pytest.raises(ValueError, match=r"\(1, 1, 5, 161\): expected \(B, 1, T, 257\)"):
        tiny(name)(torch.zeros(1, 1, 5, 161))


@pytest.mark.parametrize("name", ROWS)
def test_each_stage_reaches_every_parameter_that_it_trains(name):
    row, network = ROWS[name], tiny(name)
    for stage in row.schedule:
        network.eval().zero_grad()  # in training BatchNorm takes out biases before it: gradients of 0
        total_loss(row, network, stage, pairs()).backward()
        for parameter_name, parameter in network.named_parameters():
            if parameter_name.startswith(tuple(f"{part}." for part in stage.parts) or ""):
                assert parameter.grad is not None and parameter.grad.any(), (stage.name, parameter_name)


@pytest.mark.parametrize("name", ROWS)
def test_a_stage_changes_its_parts_and_nothing_else(name):
    row, network = ROWS[name], tiny(name)
    for stage in row.schedule:
        before = {key: value.clone() for key, value in network.state_dict().items()}
        history = train(row, network, stage)
        assert all(torch.isfinite(torch.tensor(history))) and len(history) == 3
        for key, value in network.state_dict().items():
            learns = key.startswith(tuple(f"{part}." for part in stage.parts) or "")
            if key != "bases":  # fitted before the first stage
                assert learns or torch.equal(value, before[key]), (stage.name, key)
        changed = [key for key, value in network.state_dict().items() if not torch.equal(value, before[key])]
        assert all(any(key.startswith(part) for key in changed) for part in stage.parts)
