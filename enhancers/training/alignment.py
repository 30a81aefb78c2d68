"""Sign and level of a trained network's output, which some losses leave open: measured when weights are saved."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from clean_corpus.enhancers.domains.spectral import Domain
from clean_corpus.enhancers.method import Stage
from clean_corpus.enhancers.objectives import losses
from clean_corpus.enhancers.objectives.perceptual import pesq_disturbance

PAIRS = 16  # training pairs that are measured
BLIND = (losses.neg_si_snr, pesq_disturbance)
"""Losses to which an estimate's sign and level make no difference."""


def card_entries(
    network: nn.Module, domain: Domain, stage: Stage, weights: Mapping[str, float], pairs: Iterable[tuple[Any, Any]]
) -> dict[str, Any]:
    """Return what a card says about a network's output: its correlation with clean speech, and what multiplies it.

    Where a loss of the last stage depends on sign and level, these are as learnt. Where none does, an output upside
    down is as good as the right one for the training, and `output_gain` is to follow the network. `weights` are those
    of the settings, in place of the stage's.
    """
    gain, correlation = least_squares(network, domain, pairs)
    counting = {name: loss for name, (loss, weight) in stage.losses.items() if weights.get(name, weight)}
    if not counting or not all(loss in BLIND for loss in counting.values()):
        return {"output_correlation": round(correlation, 4)}
    why = (
        f"{' and '.join(counting)} leave sign and level open: the network's output is multiplied by output_gain, by "
        f"least squares over {PAIRS} training pairs"
    )
    turned = correlation if gain > 0 else -correlation
    return {"output_correlation": round(turned, 4), "output_gain": round(gain, 5), "output": why}


@torch.inference_mode()
def least_squares(network: nn.Module, domain: Domain, pairs: Iterable[tuple[Any, Any]]) -> tuple[float, float]:
    """Return the factor that brings a network's output nearest to clean speech, and their mean correlation before it.

    Every pair counts alike, however loud. A silent output gives the factor 1.

    Shapes: pairs of noisy and clean (N,).
    """
    network.eval()
    device = next(network.parameters()).device
    products = []
    for pair in pairs:
        noisy, clean = default_collate([pair])
        noisy = noisy.to(device) if isinstance(noisy, Tensor) else [part.to(device) for part in noisy]
        clean = clean.to(device)
        estimate = domain.enhance(network, noisy, torch.tensor([clean.shape[1]], device=device))
        products.append(_products(estimate[0], clean[0]))
    with_clean, own, alike = torch.stack(products).mean(0).tolist()
    return with_clean / own if own else 1.0, alike


def _products(estimate: Tensor, clean: Tensor) -> Tensor:
    """Return <estimate, clean> and <estimate, estimate>, both over <clean, clean>, and their cosine.

    Shapes: (N,) twice -> (3,).
    """
    power = clean.square().sum().clamp_min(1e-12)
    both, own = (estimate * clean).sum() / power, estimate.square().sum() / power
    return torch.stack((both, own, both / own.sqrt().clamp_min(1e-12)))
