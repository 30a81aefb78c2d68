"""Progressive learning, paper [001]: the target of each stage, and the loss over all stages."""

import torch
from torch import Tensor

from clean_corpus.enhancers.domains.progressive import improvements_db
from clean_corpus.enhancers.domains.spectral import ForwardPass


def stage_magnitudes(run: ForwardPass) -> tuple[Tensor, Tensor]:
    """Compare each stage's magnitude with |STFT(s + 10^(-d / 20) n)|, d rising stage by stage, the last one clean.

    Source: paper [001], table 2 (d); SYSTEMS.md section 3.1, Targets.
    Shapes: (B, Q, T, F) twice; one stage is plain spectral mapping.
    Raises: ValueError if the paper sets no improvements for Q stages.
    """
    gains = [10 ** (-db / 20) for db in improvements_db(run.output.shape[1])]
    noise_spec = run.noisy_spec - run.clean_spec
    return run.output, torch.stack([(run.clean_spec + gain * noise_spec).abs() for gain in (*gains, 0)], 1)


def progressive_mse(estimate: Tensor, reference: Tensor) -> Tensor:
    """Return the sum of the stages' mean squared errors, the last with weight 1, the others with 0.1.

    Source: paper [001], section 4.1; SYSTEMS.md section 3.1, Loss.
    Shapes: (B, Q, T, F) twice -> ().

    >>> round(progressive_mse(torch.ones(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)).item(), 6)
    1.2
    """
    errors = (estimate - reference).square().mean((0, 2, 3))  # (Q,)
    return 0.1 * errors[:-1].sum() + errors[-1]
