"""Layers of causal networks: memory between calls, convolutions that look back, shapes."""

import pytest
import torch
from torch import nn

from clean_corpus.enhancers.models.layers import (
    DownConv,
    Memory,
    OddConvTranspose2d,
    UpConv,
    expect,
    flatten_bins,
    halved,
    unflatten_bins,
)


def in_pieces(function, x, dim=2):
    """A function with memory, called for one frame after the other."""
    state, parts = [], []
    for piece in x.split(1, dim):
        memory = Memory(state)
        parts.append(function(piece, memory))
        state = memory.state
    return torch.cat(parts, dim)


def test_the_past_is_zeros_in_the_first_call_and_the_last_frames_in_the_next():
    first, second = torch.ones(1, 1, 2, 1), torch.full((1, 1, 3, 1), 2.0)
    memory = Memory()
    assert memory.past(first, 3).flatten().tolist() == [0, 0, 0, 1, 1]
    assert Memory(memory.state).past(second, 3).flatten().tolist() == [0, 1, 1, 2, 2, 2]


def test_no_past_is_kept_where_none_is_asked_for():
    memory, x = Memory(), torch.ones(1, 1, 2, 1)
    assert memory.past(x, 0) is x and memory.state == []


@pytest.mark.parametrize("frames", [0, 1, 4])
def test_a_delay_is_that_of_the_whole_in_every_piece(frames):
    x = torch.arange(1.0, 7).reshape(1, 1, 6, 1)
    expected = [0.0] * frames + [1.0, 2, 3, 4, 5, 6]
    assert Memory().delay(x, frames).flatten().tolist() == expected[:6]
    assert in_pieces(lambda piece, memory: memory.delay(piece, frames), x).flatten().tolist() == expected[:6]


@pytest.mark.parametrize("layer", [nn.GRU(3, 4, batch_first=True), nn.LSTM(3, 4, num_layers=2, batch_first=True)])
def test_recurrent_layers_go_on_from_their_state(layer):
    x = torch.randn(2, 7, 3)
    with torch.inference_mode():
        whole, _ = layer(x)
        assert torch.allclose(Memory().recurrent(layer, x), whole, atol=1e-6)
        assert torch.allclose(in_pieces(lambda piece, memory: memory.recurrent(layer, piece), x, 1), whole, atol=1e-6)


@pytest.mark.parametrize("layer", [DownConv(2, 3), UpConv(2, 3, narrow=9, wide=19), UpConv(2, 3, narrow=9, wide=20)])
def test_convolutions_in_pieces_equal_the_whole_and_look_back_only(layer):
    x = torch.randn(1, 2, 6, 9)
    changed = x.clone()
    changed[:, :, 4] += 1
    with torch.inference_mode():
        whole, other = layer(x, Memory()), layer(changed, Memory())
        assert torch.allclose(in_pieces(layer, x), whole, atol=1e-6)
    assert torch.equal(whole[:, :, :4], other[:, :, :4]) and not torch.equal(whole[:, :, 4], other[:, :, 4])


@pytest.mark.parametrize("n_freq", [161, 257, 20])
def test_sizes_are_those_of_the_convolutions_and_can_be_undone(n_freq):
    sizes, x = halved(n_freq, 3), torch.zeros(1, 1, 1, n_freq)
    for size, wider in zip(sizes[1:], sizes, strict=False):
        x = DownConv(1, 1)(x, Memory())
        assert x.shape[-1] == size
        assert UpConv(1, 1, narrow=size, wide=wider)(x, Memory()).shape[-1] == wider


def test_sizes_that_no_transposed_convolution_gives_are_refused():
    with pytest.raises(ValueError, match="9 bins become 19 or 20, not 21"):
        UpConv(1, 1, narrow=9, wide=21)


def test_an_odd_number_of_bins_costs_no_parameter():
    odd, plain = OddConvTranspose2d(2, 3, (2, 3), (1, 0)), nn.ConvTranspose2d(2, 3, (2, 3), (1, 2), (1, 0))
    plain.load_state_dict(odd.state_dict())
    x = torch.randn(1, 2, 4, 5)
    assert odd(x).shape[-1] == 11 and torch.allclose(odd(x), plain(x), atol=1e-6)


def test_bins_are_flattened_channel_by_channel_and_back():
    x = torch.arange(24.0).reshape(1, 2, 3, 4)
    flat = flatten_bins(x)
    assert flat[0, 1].tolist() == [*x[0, 0, 1].tolist(), *x[0, 1, 1].tolist()]
    assert torch.equal(unflatten_bins(flat, 2), x)


def test_wrong_shapes_are_named():
    expect(torch.zeros(1, 2, 3, 4), channels=2, n_freq=4)
    for wrong in (torch.zeros(1, 2, 3), torch.zeros(1, 1, 3, 4), torch.zeros(1, 2, 3, 5)):
        with pytest.raises(ValueError, match=r"expected \(B, 2, T, 4\)"):
            expect(wrong, channels=2, n_freq=4)
