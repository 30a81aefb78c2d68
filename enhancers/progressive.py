"""Progressive learning, paper [001]: what its networks' stages give out, what each aims at, and the loss over all."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from enhancers.domains import ForwardPass

MagnitudeTarget = Literal["tms", "iam"]

IMPROVEMENTS_DB = {1: (), 2: (20,), 3: (10, 20), 4: (5, 10, 20), 5: (5, 10, 15, 20)}


def improvements_db(stages: int) -> tuple[int, ...]:
    """How far each stage but the last raises the SNR.

    Raises: ValueError if the paper sets no improvements for so many stages.
    """
    if stages not in IMPROVEMENTS_DB:
        raise ValueError(f"{stages} stages: expected {min(IMPROVEMENTS_DB)} to {max(IMPROVEMENTS_DB)}")
    return IMPROVEMENTS_DB[stages]


class StageOutput(nn.Module):
    """A stage's magnitude estimate: softplus (`tms`), or a sigmoid mask times the noisy magnitude (`iam`).

    Source: paper [001], section 3.1; SYSTEMS.md section 3.1.
    Shapes: x, noisy_mag (*, T, F) -> (*, T, F), >= 0.
    Raises: ValueError if the target is neither.

    >>> StageOutput("iam")(torch.zeros(1), torch.full((1,), 6.0)).item()
    3.0
    """

    def __init__(self, target: MagnitudeTarget) -> None:
        super().__init__()
        if target not in ("tms", "iam"):
            raise ValueError(f"target {target!r}: expected 'tms' or 'iam'")
        self.target = target

    def forward(self, x: Tensor, noisy_mag: Tensor) -> Tensor:
        return functional.softplus(x) if self.target == "tms" else x.sigmoid() * noisy_mag


def stage_magnitudes(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """The stages' magnitude estimates against |STFT(s + 10^(-d / 20) n)|, d rising stage by stage, the last clean.

    Source: paper [001], table 2; SYSTEMS.md section 3.1, Targets.
    Shapes: (B, Q, T, F) twice; one stage is plain spectral mapping.
    Raises: ValueError if the paper sets no improvements for Q stages.
    """
    gains = [10 ** (-db / 20) for db in improvements_db(run.output.shape[1])]
    noise_spec = run.noisy_spec - run.clean_spec
    return run.output, torch.stack([(run.clean_spec + gain * noise_spec).abs() for gain in (*gains, 0)], 1)


def progressive_mse(estimate: Tensor, reference: Tensor) -> Tensor:
    """Sum of the stages' mean squared errors, the last with weight 1, the others 0.1.

    Source: paper [001], section 4.1; SYSTEMS.md section 3.1, Loss.
    Shapes: (B, Q, T, F) twice -> ().

    >>> round(progressive_mse(torch.ones(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)).item(), 6)
    1.2
    """
    errors = (estimate - reference).square().mean((0, 2, 3))  # (Q,)
    return 0.1 * errors[:-1].sum() + errors[-1]
