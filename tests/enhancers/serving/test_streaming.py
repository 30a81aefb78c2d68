"""Hop by hop gives what the whole file gives, in torch and from an ONNX file."""

import json

import pytest
import torch
from safetensors.torch import save_file

from clean_corpus.enhancers import table
from clean_corpus.enhancers.domains.spectral import rms_level
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.serving.streaming import Stream

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


def test_a_system_that_needs_the_whole_signal_is_refused():
    class Whole(torch.nn.Module):
        attends = True

    with pytest.raises(ValueError, match="Whole needs whole signals"):
        Stream(Whole(), table.method("mhanet-irm").domain)
