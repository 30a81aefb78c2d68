"""Checks of batches of waveforms of unequal lengths."""

import torch
from torch import Tensor


def check_batch(waves: Tensor, lengths: Tensor) -> None:
    """Check a batch before an enhancer runs on it.

    Shapes: waves (B, N), lengths (B,) in samples.
    Raises: ValueError with the values that disagree: no clip, another number of lengths, a length beyond N, NaN or Inf.
    """
    if waves.dim() != 2 or not waves.numel():
        raise ValueError(f"expected waveforms (B, N) with B, N > 0, got {tuple(waves.shape)}")
    if lengths.shape != waves.shape[:1]:
        raise ValueError(f"{waves.shape[0]} waveforms but lengths of shape {tuple(lengths.shape)}")
    if int(lengths.max()) > waves.shape[1]:
        raise ValueError(f"length {int(lengths.max())} exceeds the batch's {waves.shape[1]} samples")
    if not bool(torch.isfinite(waves).all()):
        raise ValueError("a sample is NaN or infinite")
