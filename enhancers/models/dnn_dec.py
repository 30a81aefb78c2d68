"""DNN-DEC: the second stage of CRN+DNN-DEC on the noisy magnitude, baseline of paper [002]."""

from torch import Tensor, nn

from clean_corpus.enhancers.domains.separation import Decoded, per_source, wiener_gains
from clean_corpus.enhancers.models.dae import DAE, Dense
from clean_corpus.enhancers.models.layers import Memory, expect, flatten_bins, unflatten_bins


class DNNDEC(nn.Module):
    """CRN+DNN-DEC without its first stage: a DNN estimates the codes of speech and noise from the noisy magnitude.

    Source: paper [002], section IV; SYSTEMS.md section 4.4.
    Size: 4,917,962 parameters and 1,291,464 of the encoders, used in training only (asserted in tests).
    Shapes: noisy_mag (B, 1, T, n_freq) -> Decoded.
    Raises: ValueError if noisy_mag has other channels or bins.
    """

    training_only = ("speech_dae.encoder", "noise_dae.encoder")

    def __init__(
        self,
        *,
        n_freq: int = 257,
        hidden: tuple[int, ...] = (1024, 1024, 1024, 1024),
        speech_hidden: tuple[int, ...] = (1024, 512),
        noise_hidden: tuple[int, ...] = (512, 512),
        code: int = 100,
    ) -> None:
        super().__init__()
        self.n_freq = n_freq
        self.enhancer = Dense((n_freq, *hidden, 2 * code), nn.ReLU())
        self.speech_dae = DAE(n_freq=n_freq, hidden=speech_hidden, code=code)
        self.noise_dae = DAE(n_freq=n_freq, hidden=noise_hidden, code=code)

    def forward(self, noisy_mag: Tensor, memory: Memory | None = None) -> Decoded:
        expect(noisy_mag, channels=1, n_freq=self.n_freq)
        codes = unflatten_bins(self.enhancer(flatten_bins(noisy_mag)), 2)  # (B, 2, T, code)
        decoded = per_source((self.speech_dae.decoder, self.noise_dae.decoder), codes)
        return Decoded(codes, decoded, wiener_gains(decoded) * noisy_mag)
