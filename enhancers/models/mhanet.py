"""MHANet-IRM: self-attention over the whole signal to a ratio mask, baseline of paper [002]."""

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.models.layers import expect


class MHANet(nn.Module):
    """Self-attention over the whole signal, noisy magnitude to the ratio mask of speech.

    Source: paper [002], section IV; Nicolson & Paliwal 2020; SYSTEMS.md section 4.4 (attention is not masked; it has no
    biases, as the parameter count there implies).
    Departs: nothing; as there is no positional encoding, the order of frames does not matter.
    Size: 38,314,241 parameters; feedforward = 4096: 76,081,409 (asserted in tests).
    Shapes: noisy_mag (B, 1, T, n_freq), of which frames (B,) are valid -> (B, 1, T, n_freq), in [0, 1].
    Raises: ValueError if noisy_mag has other channels or bins.
    """

    attends = True

    def __init__(
        self,
        *,
        n_freq: int = 257,
        d_model: int = 1024,
        layers: int = 6,
        heads: int = 2,
        feedforward: int = 1024,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.n_freq = n_freq
        self.embed = nn.Sequential(nn.Linear(n_freq, d_model, bias=False), nn.LayerNorm(d_model), nn.ReLU())
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(d_model, heads, feedforward, dropout, batch_first=True) for _ in range(layers)
        )
        for layer in self.layers:
            layer.self_attn = nn.MultiheadAttention(d_model, heads, dropout, bias=False, batch_first=True)
        self.mask = nn.Linear(d_model, n_freq)

    def forward(self, noisy_mag: Tensor, *, frames: Tensor | None = None) -> Tensor:
        expect(noisy_mag, channels=1, n_freq=self.n_freq)
        padding = None
        if frames is not None:
            padding = torch.arange(noisy_mag.shape[2], device=frames.device) >= frames[:, None]  # (B, T)
        x = self.embed(noisy_mag.squeeze(1))  # (B, T, d_model)
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        return self.mask(x).sigmoid().unsqueeze(1)
