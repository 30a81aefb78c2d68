"""Hop by hop gives what the whole file gives, in torch and from an ONNX file."""

import json
import math

import pytest
import torch
from safetensors.torch import save_file

from clean_corpus.enhancers import table
from clean_corpus.enhancers.catalogue import describe_all
from clean_corpus.enhancers.domains.spectral import rms_level
from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.serving.streaming import LiveStream, Stream
from tests.support import small_networks

NARROW = {"channels": (4, 4, 4, 4, 8)}
SMALL = {
    "cgcrn": NARROW, "cgcrn-complex": NARROW, "cgcrn-refined": NARROW, "pl-crnn-iam": NARROW, "pl-lstm": {"units": 16},
}  # fmt: skip


def enhancer(name, tmp_path):
    """A small network with weights drawn at random and BatchNorm statistics that are not trivial, through its file."""
    torch.manual_seed(0)
    row = table.method(name)
    network = row.build(**SMALL[name])
    noisy = torch.randn(2, 8000)
    row.domain.forward(network, noisy, noisy)
    save_file(network.state_dict(), tmp_path / "x.safetensors")
    card = {"name": "x", "method": name, "sizes": SMALL[name], "sample_rate": 16000}
    (tmp_path / "x.json").write_text(json.dumps(card))
    return load_enhancer(str(tmp_path / "x.safetensors"))


def level_of(whole, x):
    n = torch.tensor([x.shape[1]])
    return rms_level(x, n) if whole.row.domain.level == "rms" else torch.ones(1, 1)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("n_samples", [1, 100, 4000, 4001, 4159])
def test_hop_by_hop_equals_the_whole_file(name, n_samples, tmp_path):
    whole = enhancer(name, tmp_path)
    x = 0.1 * torch.randn(1, n_samples)
    stream = Stream(whole.network, whole.row.domain)
    wanted = whole(x, torch.tensor([n_samples]))
    for hops in (1, 7):
        output = stream.run(x, level_of(whole, x), hops=hops)
        assert torch.allclose(output, wanted, atol=1e-5), hops  # float32, other order of sums


STATED = {
    row["name"]: row
    for row in describe_all()
    if row["lookahead_ms"] is not None and row["sample_rate"] == 16000  # those for the band above need another's result
}


@pytest.mark.parametrize("name", STATED)
def test_what_comes_after_the_stated_look_ahead_changes_nothing_of_what_is_out(name):
    """Live, for all that state one, counted from the frame. In files too, but where the catalogue says level rms."""
    torch.manual_seed(0)
    row, about, cut = table.method(name), STATED[name], 3000
    network = row.build(**small_networks.SMALL[name])
    row.domain.forward(network, *0.1 * torch.randn(2, 2, 4000)).output  # noqa: B018 - BatchNorm's statistics
    network.eval()
    x = 0.1 * torch.randn(1, 6000)
    changed, after = x.clone(), cut + round(16 * (about["stft"]["window_ms"] + about["lookahead_ms"]))
    changed[:, after:] = 0.9
    stream = LiveStream(network, row.domain)
    live, other = (stream.run(signal, hops=100) for signal in (x, changed))
    assert torch.equal(live[:, :cut], other[:, :cut]) and not torch.equal(live[:, after:], other[:, after:])
    with torch.inference_mode():
        in_file, other = (row.domain.enhance(network, signal, torch.tensor([6000])) for signal in (x, changed))
    assert torch.allclose(in_file[:, :cut], other[:, :cut], rtol=1e-3, atol=1e-6) == (about["level"] == "as_is")
    assert about["causal"] == (about["lookahead_ms"] == 0)


def test_the_running_level_is_that_of_a_file_after_some_seconds_and_a_usual_one_before():
    """Noise at 0.05, then 0.2: forgotten by half after seven seconds; a call of many hops equals many of one."""
    row = table.method("cgcrn")
    level_of = LiveStream(row.build(**NARROW).eval(), row.domain).level_of
    noise = torch.randn(1, 40 * 16000) * torch.cat((torch.full((320000,), 0.05), torch.full((320000,), 0.2)))
    power = noise.unfold(1, 320, 160).square().mean(2)
    level = level_of(power, Memory())
    assert level[0, 0] == pytest.approx(0.05, rel=0.1)  # -26 dBFS
    assert level[0, 1999] == pytest.approx(0.05, rel=0.02)
    halfway = ((0.05**2 + 0.2**2) / 2) ** 0.5
    assert level[0, 1999 + 693] == pytest.approx(halfway, rel=0.05) and level[0, -1] == pytest.approx(0.2, rel=0.1)
    memory = Memory()
    first = level_of(power[:, :700], memory)
    again = torch.cat((first, level_of(power[:, 700:], Memory(memory.state))), 1)
    assert torch.equal(again, level)
    assert 1e-5 <= level_of(torch.zeros(1, 30000), Memory())[0, -1] < 1e-4  # silence stays silence


@pytest.mark.parametrize("name", ["cgcrn-refined", "pl-lstm"])
def test_an_offset_does_not_stay_in_what_is_out_and_changes_neither_level_nor_estimate(name, tmp_path):
    """0.1 under noise at 0.05: heard whole, it would be the level; one that begins later fades over ten seconds."""
    whole = enhancer(name, tmp_path)
    stream = LiveStream(whole.network, whole.row.domain)
    x = 0.05 * torch.randn(1, 30 * 16000)
    offset = torch.full_like(x, 0.1)
    settled = slice(8 * 16000, 9 * 16000)
    with_it, without = (stream.run(signal[:, : 10 * 16000], hops=100)[:, settled] for signal in (x + offset, x))
    assert without.square().mean().sqrt() > 0.001
    difference = with_it - without
    assert 20 * torch.log10(difference.square().mean().sqrt() / without.square().mean().sqrt()) < -30
    offset_of = stream.offset_of
    frames = (x + offset).unfold(1, 320, 160)
    assert offset_of(frames, Memory())[0, [99, -1], 0] == pytest.approx([0.09, 0.1], rel=0.03)
    offset[:, : 15 * 16000] = 0
    late = offset_of((x + offset).unfold(1, 320, 160), Memory())[0, :, 0]
    share = (1 - math.exp(-1.5)) / (1 - math.exp(-3))  # of the last 15 s in all 30
    assert late[1499] == pytest.approx(0, abs=0.002) and late[-1] == pytest.approx(0.1 * share, rel=0.02)


@pytest.mark.parametrize("name", ["cgcrn-refined", "pl-lstm"])
def test_live_hops_equal_one_call_and_a_file_at_its_level(name, tmp_path, monkeypatch):
    whole = enhancer(name, tmp_path)
    stream, x = LiveStream(whole.network, whole.row.domain), 0.1 * torch.randn(1, 4001)
    assert torch.allclose(stream.run(x, hops=1), stream.run(x, hops=100), atol=1e-6)
    monkeypatch.setattr(stream, "level_of", lambda power, memory: level_of(whole, x).expand(1, power.shape[1]))
    stream.offset_of.weights.zero_()
    assert torch.allclose(stream.run(x), whole(x, torch.tensor([4001])), atol=1e-5)


def test_a_system_that_needs_the_whole_signal_is_refused():
    class Whole(torch.nn.Module):
        attends = True

    with pytest.raises(ValueError, match="Whole needs whole signals"):
        Stream(Whole(), table.method("mhanet-irm").domain)
