"""PL-LSTM: progressive learning with LSTMs, baseline of paper [001]."""

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.domains.progressive import MagnitudeTarget, StageOutput, improvements_db
from clean_corpus.enhancers.models.layers import Memory, expect, flatten_bins


class PLLSTM(nn.Module):
    """Progressive LSTM network: every stage sees the noisy frame and all earlier estimates as one vector.

    Source: Gao et al., ICASSP 2018; paper [001], section 4.2; SYSTEMS.md sections 3.2 and 3.4.
    Departs: from Gao et al. as [001] does: magnitudes for log power.
    Size: 42,249,699 parameters (asserted in tests).
    Shapes: features (B, 1, T, n_freq) -> magnitude estimates (B, stages, T, n_freq), >= 0; their mean is the result.
    Raises: ValueError if the features have other channels or bins, stages are not 1 to 5, or the target is neither.
    """

    def __init__(
        self, *, n_freq: int = 161, units: int = 1024, stages: int = 3, target: MagnitudeTarget = "tms"
    ) -> None:
        super().__init__()
        improvements_db(stages)
        self.n_freq = n_freq
        self.lstms = nn.ModuleList(
            nn.LSTM((1 + before) * n_freq, units, num_layers=2, batch_first=True) for before in range(stages)
        )
        self.linears = nn.ModuleList(nn.Linear(units, n_freq) for _ in range(stages))
        self.output = StageOutput(target)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=1, n_freq=self.n_freq)
        memory = memory or Memory()
        seen = features  # (B, 1 + stages done, T, F)
        for lstm, linear in zip(self.lstms, self.linears, strict=True):
            x = memory.recurrent(lstm, flatten_bins(seen))
            seen = torch.cat((seen, self.output(linear(x).unsqueeze(1), features)), 1)
        return seen[:, 1:]
