"""A new enhancer is one file with its network and one row in the table: everything else works with it."""

import json

import numpy as np
import torch
from torch import Tensor, nn

from clean_corpus.enhancers.catalogue import describe
from clean_corpus.enhancers.domains import spectral
from clean_corpus.enhancers.method import Method
from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.objectives import losses, targets
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.serving.streaming import Stream
from clean_corpus.enhancers.table import ENHANCERS
from clean_corpus.enhancers.training import train
from clean_corpus.enhancers.training.mixing import MixConfig
from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.audio.synthetic import coloured_noise


class Smoother(nn.Module):
    """A gain for each bin from the last three frames: the file that its author writes.

    Shapes: noisy_mag (B, 1, T, 161) -> (B, 1, T, 161), >= 0.
    """

    def __init__(self, *, width: int = 3) -> None:
        super().__init__()
        self.past = width - 1
        self.conv = nn.Conv2d(1, 1, (width, 1))

    def forward(self, noisy_mag: Tensor, memory: Memory | None = None) -> Tensor:
        memory = memory or Memory()
        return nn.functional.softplus(self.conv(memory.past(noisy_mag, self.past)))


def test_one_file_and_one_row_are_enough(tmp_path, monkeypatch):
    row = Method(
        Smoother,
        spectral.MagnitudeMask(spectral.Stft(320, 160)),
        targets.amplitude_mask,
        {"mse": (losses.mse, 1.0)},
        "-",
    )
    monkeypatch.setitem(ENHANCERS, "smoother", row)

    about = describe("smoother")
    assert (about["parameters"], about["fma_per_frame"], about["causal"]) == (4, 161 * 4, True)

    rng = np.random.default_rng(0)
    for kind in ("speech", "noise"):
        (tmp_path / kind).mkdir()
        for i in range(2):
            encode.write_wav(tmp_path / kind / f"{i}.wav", 0.1 * coloured_noise(rng, 16000, slope=i), 16000)
    config = train.TrainConfig(
        steps=4, steps_per_epoch=2, batch_size=2, validation_pairs=2, warmup_steps=1, workers=0, sizes={"width": 2},
        mix=MixConfig(seconds=0.5, rooms=1),
    )  # fmt: skip
    weights = train.train("smoother", [tmp_path / "speech"], [tmp_path / "noise"], tmp_path / "run", config)
    assert json.loads(weights.with_suffix(".json").read_text())["sizes"] == {"width": 2}

    enhancer, x = load_enhancer(str(weights)), 0.1 * torch.randn(1, 8000)
    output = enhancer(x, torch.tensor([8000]))
    level = spectral.rms_level(x, torch.tensor([8000]))
    assert torch.allclose(Stream(enhancer.network, row.domain).run(x, level), output, atol=1e-6)
