"""PL-DNN: progressive learning with dense layers, baseline of paper [001]."""

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.domains.progressive import MagnitudeTarget, StageOutput, improvements_db
from clean_corpus.enhancers.models.layers import Memory, expect
from clean_corpus.enhancers.models.recurrent import context_window


class PLDNN(nn.Module):
    """Progressive fully connected network: a window of frames to a magnitude, which the next stage makes cleaner.

    Source: Gao et al., Interspeech 2016; paper [001], section 4.2; SYSTEMS.md section 3.2.
    Departs: from Gao et al. as [001] does: past frames only, magnitudes for log power.
    Size: 17,871,331 parameters (asserted in tests).
    Shapes: features (B, 1, T, n_freq) -> magnitude estimates (B, stages, T, n_freq), >= 0; their mean is the result.
    Raises: ValueError if the features have other channels or bins, stages are not 1 to 5, or the target is neither.
    """

    def __init__(
        self,
        *,
        n_freq: int = 161,
        context: int = 11,
        units: int = 2048,
        stages: int = 3,
        target: MagnitudeTarget = "tms",
    ) -> None:
        super().__init__()
        improvements_db(stages)
        self.n_freq, self.context = n_freq, context
        inputs = (context * n_freq, *(n_freq for _ in range(stages - 1)))
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Linear(size, units), nn.Sigmoid(), nn.Linear(units, units), nn.Sigmoid(), nn.Linear(units, n_freq)
            )
            for size in inputs
        )
        self.output = StageOutput(target)

    def forward(self, features: Tensor, memory: Memory | None = None) -> Tensor:
        expect(features, channels=1, n_freq=self.n_freq)
        noisy = features.squeeze(1)  # (B, T, F)
        x, estimates = context_window(noisy, self.context, memory or Memory()), []
        for stage in self.stages:
            x = self.output(stage(x), noisy)
            estimates.append(x)
        return torch.stack(estimates, 1)
