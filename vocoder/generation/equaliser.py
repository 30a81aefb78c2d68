"""Speech brought to the energies of the frames that it was spoken from, band by band, over a while."""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from clean_corpus.pipeline.audio import loudness
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.vocoder.features import LogMel, mel_filters

LIMIT_DB = 20.0  # most that a band is raised or lowered
FRAMES = 2000  # filtered at once, so that hours take little memory
EDGE = 8  # frames around them that the filter reaches to, beside those of its window


def playable(wave: Audio, log_mel: Tensor, mel: LogMel, window_ms: float) -> Audio:
    """Return what a network spoke, equalised, and scaled down as a whole where that takes it beyond full scale.

    The network's samples lie within it, but the frames of a loud recording may ask for more.

    Shapes: wave (T * hop_length,), log_mel (n_mels, T) -> (T * hop_length,).
    """
    return loudness.within_full_scale(equalised(torch.from_numpy(wave), log_mel, mel, window_ms).numpy())


@torch.no_grad()
def equalised(x: Tensor, log_mel: Tensor, mel: LogMel, window_ms: float) -> Tensor:
    """Filter speech so that the energies of its mel bands, averaged over `window_ms`, are those of its frames.

    Sharper draws leave out what a network is not sure of, most of all the breath in the upper bands of a voice, and a
    hoarse network draws too much between words. Both change slowly, and so does this filter: the shorter its window,
    the more of the speech is the filter's. White noise through 5 ms is understood, through 50 ms it is noise.

    Shapes: x (T * hop_length,), log_mel (n_mels, T) -> (T * hop_length,); 0 ms changes nothing.

    >>> mel, x = LogMel(), torch.randn(16000, generator=torch.manual_seed(0))
    >>> loud = equalised(x / 4, mel(x[None])[0], mel, 100)
    >>> round(loud.std().item(), 1)
    1.0
    """
    if not window_ms:
        return x
    hop, n_frames = mel.hop_length, log_mel.shape[1]
    reach = round(window_ms / 1000 * mel.sample_rate / hop / 2)  # frames on each side of the one in the middle
    parts = []
    for start in range(0, n_frames, FRAMES):
        first, stop = max(0, start - reach - EDGE), min(n_frames, start + FRAMES)
        last = min(n_frames, stop + reach + EDGE)
        filtered = _filtered(x[first * hop : last * hop], log_mel[:, first:last], mel, reach)
        parts.append(filtered[(start - first) * hop : (stop - first) * hop])
    return torch.cat(parts) if parts else x


def _filtered(x: Tensor, log_mel: Tensor, mel: LogMel, reach: int) -> Tensor:
    limit = LIMIT_DB / 20 * math.log(10)
    gains = (_averaged(log_mel, reach) - _averaged(mel(x[None])[0], reach)) / 2  # of amplitudes, in nats
    at_ends = functional.pad(gains.clamp(-limit, limit)[None], (1, 1), mode="replicate")
    response = (_shares(mel) @ functional.avg_pool1d(at_ends, 2, 1)[0]).exp()
    window = torch.hann_window(mel.win_length)
    spectrum = torch.stft(
        x, mel.n_fft, mel.hop_length, mel.win_length, window, pad_mode="constant", return_complex=True
    )
    return torch.istft(spectrum * response, mel.n_fft, mel.hop_length, mel.win_length, window, length=len(x))


@cache
def _shares(mel: LogMel) -> Tensor:
    """Return how much of each band's gain a line of the spectrum has, the nearest band's beyond all: (F, n_mels)."""
    filters = mel_filters(mel)
    inside = filters.sum(1).nonzero()
    shares = filters / filters.sum(1, keepdim=True).clamp_min(torch.finfo().tiny)
    shares[: inside[0], 0] = shares[inside[-1] + 1 :, -1] = 1
    return shares


def _averaged(log_mel: Tensor, reach: int) -> Tensor:
    """Average energies over the frames within reach, those beyond an end left out: (n_mels, T) -> (n_mels, T)."""
    energies = log_mel.exp()[None]
    return functional.avg_pool1d(energies, 2 * reach + 1, 1, reach, count_include_pad=False)[0].log()
