"""Measures each row of the table of systems and writes `catalogue.json`, from which the catalogue is read."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clean_corpus.enhancers import complexity
from clean_corpus.enhancers.domains.high_band import HighBand
from clean_corpus.enhancers.domains.spectral import Spectral
from clean_corpus.enhancers.method import Method
from clean_corpus.enhancers.table import ENHANCERS, method

CATALOGUE = Path(__file__).with_name("catalogue.json")
FRAMES = 16  # frames of input whose work is counted; more than any look-ahead


def measure(name: str, **sizes: object) -> dict[str, Any]:
    """Return one row in plain values: times in milliseconds, parameters and fused multiply-adds as counts.

    `sizes` of the network stand in for the paper's.

    `lookahead_ms` is what the network waits for beyond the frame itself, None where it needs the whole signal;
    `fma_per_frame` is None for systems without frames, which have `fma_per_s` only. `level` is what a signal is divided
    by: `rms`, which live use takes of the past and a file of the whole recording, so that only live use needs nothing
    of the future; or `as_is`, nothing.

    Raises: ConfigError if there is no such row or size.
    """
    row = method(name)
    with torch.device("meta"):
        network = row.build(**sizes).eval()
        critic = row.adversary.critic() if row.adversary else None
    spectral = isinstance(row.domain, Spectral | HighBand)
    work = _work(row, network)
    hop_s = row.domain.stft.hop_length / row.sample_rate if spectral else None
    whole_signal = getattr(network, "attends", False) or not spectral
    lookahead = getattr(network, "lookahead", 0)  # frames
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
        "causal": not whole_signal and lookahead == 0,
        "level": row.domain.level if spectral else None,
        "lookahead_ms": None if whole_signal else round(1000 * lookahead * hop_s, 3),
        "target": row.target.__name__,
        "losses": {term: weight for term, (_, weight) in row.losses.items()},
        "stages": [stage.name for stage in row.before],
    }


def write_catalogue(path: Path = CATALOGUE) -> None:
    """Write what is measured of every row, in the order of the table.

    To be run after a change of the table or of a network; a test compares the file with the networks:
    python -c "from clean_corpus.enhancers import measure; measure.write_catalogue()"
    """
    rows = [json.dumps(measure(name)) for name in ENHANCERS]  # one line a row, so that a diff shows what changed
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n")


def _work(row: Method, network: nn.Module) -> int:
    """Return fused multiply-adds per frame, or per second for a system of windows."""
    with torch.device("meta"):
        if isinstance(row.domain, HighBand):
            inputs = row.domain.features(*row.domain.blank(FRAMES))
            return complexity.fused_multiply_adds(network, *inputs, frames=FRAMES)
        if isinstance(row.domain, Spectral):
            bins = row.domain.stft.n_freq
            features = row.domain.features(torch.zeros(1, FRAMES, bins, dtype=torch.complex64))
            return complexity.fused_multiply_adds(network, features, frames=FRAMES)
        window = row.domain.window
        inputs = torch.zeros(1, 1, window), torch.zeros(1, *network.latent_shape(window))
        return round(complexity.fused_multiply_adds(network, *inputs, frames=1) * row.sample_rate / window)


def _stft(row: Method) -> dict[str, Any]:
    """Return the transform of a row: window, lengths in milliseconds, size of the FFT."""
    stft = row.domain.stft
    return {
        "window": stft.window,
        "window_ms": 1000 * getattr(stft, "win_length", stft.n_fft) / row.sample_rate,
        "hop_ms": 1000 * stft.hop_length / row.sample_rate,
        "n_fft": stft.n_fft,
    }
