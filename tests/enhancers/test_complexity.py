"""Parameters and multiply-adds of layers whose counts are known."""

import pytest
import torch
from torch import nn

from clean_corpus.enhancers.complexity import fused_multiply_adds, parameters


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(2, 3, (1, 3), (1, 2)), (1, 2, 4, 9), 4 * (2 * 3 + 1) * 3),  # 4 bins of output
        (nn.ConvTranspose2d(2, 3, (1, 3), (1, 2)), (1, 2, 4, 9), 19 * (2 * 3 + 1) * 3),
        (nn.Conv2d(4, 4, (1, 3), groups=2, bias=False), (1, 4, 4, 9), 7 * (2 * 3) * 4),
        (nn.Linear(5, 6), (1, 4, 5), 5 * 6 + 6),
        (nn.GRU(5, 6, batch_first=True), (1, 4, 5), 3 * (5 * 6 + 6 * 6 + 2 * 6)),
        (nn.BatchNorm2d(2), (1, 2, 4, 9), 0),
    ],
)
def test_work_of_one_of_four_frames(layer, shape, expected):
    assert fused_multiply_adds(layer, torch.zeros(shape), frames=4) == expected


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_recurrences_on_the_meta_device_have_the_shapes_of_those_that_compute(kind, batch_first, bidirectional):
    class Seen(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = kind(5, 6, num_layers=2, batch_first=batch_first, bidirectional=bidirectional)
            self.shapes = []

        def forward(self, x):
            for state in (None, (y := self.layer(x))[1]):
                y, last = self.layer(x, state)
                self.shapes += [part.shape for part in (y, *(last if kind is nn.LSTM else [last]))]
            return y

    network = Seen()
    wanted = fused_multiply_adds(network, torch.zeros(3, 4, 5), frames=4), network.shapes
    network.shapes = []
    found = fused_multiply_adds(network.to("meta"), torch.zeros(3, 4, 5, device="meta"), frames=4), network.shapes
    assert found == wanted and "forward" not in vars(network.layer)


def test_a_layer_counts_at_each_use():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 5)

        def forward(self, x):
            return self.layer(self.layer(x))

    network = Twice()
    assert parameters(network) == 30 and fused_multiply_adds(network, torch.zeros(1, 4, 5), frames=4) == 60
    assert not network.layer._forward_hooks  # counting leaves no trace


def test_parameters_leave_out_what_is_fixed_and_what_training_alone_needs():
    network = nn.ModuleDict({"kept": nn.Linear(5, 5), "helper": nn.Linear(5, 5), "fixed": nn.Linear(5, 5)})
    network["fixed"].requires_grad_(False)
    network.training_only = ("helper",)
    assert parameters(network) == 30
