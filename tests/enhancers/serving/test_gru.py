"""GRUs by ONNX Runtime or a kernel of our own give torch's numbers, and take the place of those they can run."""

import pytest
import torch
from torch import nn

from clean_corpus.enhancers.serving import recurrence
from clean_corpus.enhancers.serving.gru import WIDE_FROM, FastGru, use_fast_grus


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@torch.inference_mode()
def test_numbers_are_those_of_torch(bidirectional, batch_first):
    torch.manual_seed(0)
    network = nn.Sequential(nn.GRU(5, 7, batch_first=batch_first, bidirectional=bidirectional))
    theirs = network[0]
    use_fast_grus(network)
    ours = network[0]
    assert isinstance(ours, FastGru)
    for shape in ((3, 11, 5), (1, 1, 5)):
        x = torch.randn(shape)
        batch = shape[0] if batch_first else shape[1]
        for hidden in ((), (torch.randn(1 + bidirectional, batch, 7),)):
            for got, expected in zip(ours(x, *hidden), theirs(x, *hidden), strict=True):
                assert got.shape == expected.shape
                assert torch.allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@torch.inference_mode()
def test_wide_layers_of_weights_of_16_bits_are_read_as_such(bidirectional, batch_first):
    torch.manual_seed(0)
    size = WIDE_FROM + 9  # fills no registers
    network = nn.Sequential(nn.GRU(5, size, batch_first=batch_first, bidirectional=bidirectional).half().float())
    theirs = network[0]
    use_fast_grus(network)
    for n_clips in (1, 3, 4):
        x = torch.randn(n_clips, 4, 5) if batch_first else torch.randn(4, n_clips, 5)
        for hidden in ((), (torch.randn(1 + bidirectional, n_clips, size),)):
            before = [given.clone() for given in hidden]
            for got, expected in zip(network[0](x, *hidden), theirs(x, *hidden), strict=True):
                assert got.shape == expected.shape
                assert torch.allclose(got, expected, atol=2e-6)
            assert all(map(torch.equal, hidden, before))
    assert network[0]._halves or not recurrence.FEATURES.get("f16c")


def test_weights_of_32_bits_are_not_rounded():
    torch.manual_seed(0)
    weights = torch.randn(3 * WIDE_FROM, WIDE_FROM).numpy()
    assert not recurrence.can_run(weights)
    assert recurrence.can_run(weights.astype("float16").astype("float32")) == bool(recurrence.FEATURES.get("f16c"))


def test_layers_of_another_kind_stay():
    layers = {"two": nn.GRU(4, 4, num_layers=2), "bare": nn.GRU(4, 4, bias=False), "lstm": nn.LSTM(4, 4)}
    network = nn.ModuleDict({**layers, "inner": nn.ModuleDict({"one": nn.GRU(4, 4)})})
    use_fast_grus(network)
    assert [type(network[name]) for name in layers] == [nn.GRU, nn.GRU, nn.LSTM]
    assert type(network["inner"]["one"]) is FastGru
    assert list(network.state_dict()) == list(nn.ModuleDict({**layers, "inner": network["inner"]}).state_dict())
