"""Enhancement of signals of any length in bounded memory, block after block."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.domains.spectral import Spectral
from clean_corpus.enhancers.serving.streaming import Stream

BLOCK_S = 3.0  # of audio that a network sees at once: its activations fit the caches of a CPU
GPU_BLOCK_S = 20.0  # the same on a GPU
ATTENDED_S = 20.0  # the same for a network that attends to its whole input
OVERLAP_S = 2.0  # of the blocks of such a network
QUANTA_S = (0.2, 0.5)  # short and other signals are padded to multiples of them
SHORT_S = 2.0


def block_s(network: nn.Module, device: torch.device) -> float:
    """Return the length in seconds above which a signal runs through the network in blocks."""
    if getattr(network, "attends", False):
        return ATTENDED_S
    return BLOCK_S if device.type == "cpu" else GPU_BLOCK_S


def missing(n_samples: int, sample_rate: int) -> int:
    """Return how many zeros a signal gets at its end: for each new length oneDNN keeps 0.6 MB of machine code.

    >>> missing(16001, 16000), missing(40000, 16000)
    (3199, 0)
    """
    short, other = QUANTA_S
    return -n_samples % round((short if n_samples <= SHORT_S * sample_rate else other) * sample_rate)


def enhance_long(network: nn.Module, domain: Spectral, noisy: Tensor, sample_rate: int) -> Tensor:
    """Enhance one signal block after block.

    A network with memory gives the same result as on the whole signal, at the level of the whole; one that attends gets
    overlapping blocks, each at a level of its own, since quiet parts of a loud recording are cleaned better so.

    Shapes: (1, N) -> (1, N).
    """
    lengths = torch.tensor([noisy.shape[1]], device=noisy.device)
    block = int(block_s(network, noisy.device) * sample_rate)
    if getattr(network, "attends", False):
        return _overlapping(network, domain, noisy, block, int(OVERLAP_S * sample_rate))
    stream = Stream(network, domain).to(noisy.device)
    padded = functional.pad(noisy, (0, missing(noisy.shape[1], sample_rate)))
    return stream.run(padded, domain.level_of(noisy, lengths), hops=block // stream.hop_length)[:, : noisy.shape[1]]


def _overlapping(network: nn.Module, domain: Spectral, noisy: Tensor, block: int, overlap: int) -> Tensor:
    """Enhance overlapping blocks; the first half of an overlap is context only, the second half is cross-faded."""
    half, n_samples = overlap // 2, noisy.shape[1]
    fade = torch.linspace(0, 1, overlap - half, device=noisy.device)
    result = torch.zeros_like(noisy)
    for start in range(0, max(1, n_samples - overlap), block - overlap):
        cut = noisy[:, start : start + block]
        part = domain.enhance(network, cut, torch.tensor([cut.shape[1]], device=noisy.device))
        if start == 0:
            result[:, :block] = part
            continue
        seam, end = start + half, start + overlap
        result[:, seam:end] = result[:, seam:end] * (1 - fade) + part[:, half:overlap] * fade
        result[:, end : start + block] = part[:, overlap:]
    return result
