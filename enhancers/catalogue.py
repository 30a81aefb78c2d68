"""What is in the table of systems: sizes, work per frame, delay, targets and shipped weights."""

from typing import Any

import torch

from clean_corpus.enhancers import complexity
from clean_corpus.enhancers.checkpoints import SGMSE, WEIGHTS, card
from clean_corpus.enhancers.domains.spectral import Spectral
from clean_corpus.enhancers.table import ENHANCERS, Method, method

FRAMES = 16  # looked at to count the work of one; more than any look-ahead


def describe(name: str) -> dict[str, Any]:
    """One row in plain values: times in milliseconds, parameters and fused multiply-adds as counts.

    `lookahead_ms` is what the network waits for beyond the frame itself, None where it needs the whole signal;
    `fma_per_frame` is None for systems without frames, which have `fma_per_s`.
    Raises: ConfigError if there is no such row.
    """
    row = method(name)
    with torch.device("meta"):
        network = row.build().eval()
        critic = row.adversary.critic() if row.adversary else None
    spectral = isinstance(row.domain, Spectral)
    work = _work(row, network)
    hop_s = row.domain.stft.hop_length / row.sample_rate if spectral else None
    whole = getattr(network, "attends", False) or not spectral
    shipped = {path.stem: card(path.stem) for path in sorted(WEIGHTS.glob("*.safetensors"))}
    weights = {stem: about["licence"] for stem, about in shipped.items() if about["method"] == name}
    return {
        "name": name,
        "paper": row.paper,
        "network": type(network).__name__,
        "parameters": complexity.parameters(network),
        "critic_parameters": complexity.parameters(critic) if critic else None,
        "fma_per_frame": work if spectral else None,
        "fma_per_s": round(work / hop_s) if spectral else work,
        "sample_rate": row.sample_rate,
        "stft": _stft(row) if spectral else None,
        "causal": not whole and getattr(network, "lookahead", 0) == 0,
        "lookahead_ms": None if whole else round(1000 * getattr(network, "lookahead", 0) * hop_s, 3),
        "target": row.target.__name__,
        "losses": {term: weight for term, (_, weight) in row.losses.items()},
        "stages": [stage.name for stage in row.before],
        "weights": weights,
    }


def describe_all() -> list[dict[str, Any]]:
    """Every row, in the order of the table, and at last the third party's, of which its checkpoint decides the rest."""
    rows = [describe(name) for name in ENHANCERS]
    known = {"name": SGMSE, "paper": "002", "network": "ScoreDiffusion", "sample_rate": 16000, "causal": False}
    return [*rows, {**dict.fromkeys(rows[0]), **known, "weights": {}}]


def _work(row: Method, network: torch.nn.Module) -> int:
    """Fused multiply-adds per frame, or per second for a system of windows."""
    with torch.device("meta"):
        if isinstance(row.domain, Spectral):
            bins = row.domain.stft.n_freq
            features = row.domain.features(torch.zeros(1, FRAMES, bins, dtype=torch.complex64))
            return complexity.fused_multiply_adds(network, features, frames=FRAMES)
        window = row.domain.window
        inputs = torch.zeros(1, 1, window), torch.zeros(1, *network.latent_shape(window))
        return round(complexity.fused_multiply_adds(network, *inputs, frames=1) * row.sample_rate / window)


def _stft(row: Method) -> dict[str, Any]:
    stft = row.domain.stft
    return {
        "window": stft.window,
        "window_ms": 1000 * getattr(stft, "win_length", stft.n_fft) / row.sample_rate,
        "hop_ms": 1000 * stft.hop_length / row.sample_rate,
        "n_fft": stft.n_fft,
    }
