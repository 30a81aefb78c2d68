"""Counts of a network's parameters, without memory for them."""

from collections.abc import Callable

import torch
from torch import nn


def parameter_count(build: Callable[[], nn.Module]) -> int:
    """Return the number of parameters of the network that a function builds."""
    with torch.device("meta"):
        return sum(p.numel() for p in build().parameters())
