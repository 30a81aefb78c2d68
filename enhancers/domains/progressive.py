"""Progressive learning, paper [001]: by how much each stage of a network raises the SNR, and its output layer."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

MagnitudeTarget = Literal["tms", "iam"]

# Source: paper [001], table 2; number of stages -> improvement of each stage but the last
IMPROVEMENTS_DB = {1: (), 2: (20,), 3: (10, 20), 4: (5, 10, 20), 5: (5, 10, 15, 20)}


def improvements_db(stages: int) -> tuple[int, ...]:
    """Return by how much each stage but the last raises the SNR.

    Source: paper [001], table 2; a single stage aims at clean speech.
    Raises: ValueError if the paper sets no improvements for this number of stages.
    """
    if stages not in IMPROVEMENTS_DB:
        raise ValueError(f"{stages} stages: expected {min(IMPROVEMENTS_DB)} to {max(IMPROVEMENTS_DB)}")
    return IMPROVEMENTS_DB[stages]


class StageOutput(nn.Module):
    """Output layer of a stage: a magnitude by softplus (`tms`), or a sigmoid mask times the noisy magnitude (`iam`).

    Source: paper [001], section 3.1, and section 3.3 for the masked magnitude between stages; SYSTEMS.md section 3.1.
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
