"""TorchAudio-Squim: measures guessed without a clean version, if its weights lie on this machine already."""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchaudio.pipelines import SQUIM_OBJECTIVE

from clean_corpus.pipeline.core.types import Audio

RATE = int(SQUIM_OBJECTIVE.sample_rate)
NAMES = ("squim_stoi", "squim_pesq", "squim_si_sdr_db")


def weights() -> Path:
    """Return the path at which torchaudio keeps its weights; nothing is fetched."""
    return Path(torch.hub.get_dir(), "torchaudio", "models", SQUIM_OBJECTIVE._path)


def scores(x: Audio) -> dict[str, float] | None:
    """Guess STOI, PESQ and SI-SDR; return None without the weights.

    Source: Kumar et al. 2023 (arXiv:2304.01448).
    Shapes: (N,) samples at RATE.
    """
    if not weights().exists():
        return None
    with torch.inference_mode():
        guessed = _network()(torch.as_tensor(np.ascontiguousarray(x, dtype=np.float32))[None])
    return dict(zip(NAMES, (float(value) for value in guessed), strict=True))


@cache
def _network() -> nn.Module:
    return SQUIM_OBJECTIVE.get_model().eval()
