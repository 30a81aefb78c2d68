"""CRN+DNN-DEC: masks, then codes, then decoders and a Wiener filter, paper [002]."""

from typing import Literal

from torch import Tensor, nn

from clean_corpus.enhancers.domains.separation import Separated, per_source, wiener_gains
from clean_corpus.enhancers.models.dae import DAE, Dense
from clean_corpus.enhancers.models.layers import Memory, flatten_bins, unflatten_bins
from clean_corpus.enhancers.models.masker_crn import MaskerCRN


class CRNDNNDEC(nn.Module):
    """Two-stage network, noisy magnitude to those of speech and noise: masker CRN; DNN, decoders and Wiener filter.

    The masker separates speech from noise, the DNN turns both into codes, decoders turn these into magnitudes. The
    encoders of the auto-encoders serve training only, as the source of the codes that the DNN learns.

    Source: paper [002], figure 2, section III, eqs. 4 to 6; SYSTEMS.md sections 4.2 and 4.5.
    Size: 27,351,388 parameters and 1,291,464 of the encoders (asserted in tests).
    Shapes: noisy_mag (B, 1, T, n_freq) -> Separated.
    Raises: ValueError if noisy_mag has other channels or bins.
    """

    training_only = ("speech_dae.encoder", "noise_dae.encoder")

    def __init__(
        self,
        *,
        n_freq: int = 257,
        channels: tuple[int, ...] = (16, 32, 64, 128, 256),
        units: int = 1024,
        hidden: tuple[int, ...] = (1024, 1024, 1024, 1024),
        speech_hidden: tuple[int, ...] = (1024, 512),
        noise_hidden: tuple[int, ...] = (512, 512),
        code: int = 100,
        code_output: Literal["relu", "leaky_relu"] = "relu",
    ) -> None:
        super().__init__()
        self.masker = MaskerCRN(n_freq=n_freq, channels=channels, units=units)
        output = {"relu": nn.ReLU(), "leaky_relu": nn.LeakyReLU(0.1)}[code_output]
        self.enhancer = Dense((2 * n_freq, *hidden, 2 * code), output)
        self.speech_dae = DAE(n_freq=n_freq, hidden=speech_hidden, code=code)
        self.noise_dae = DAE(n_freq=n_freq, hidden=noise_hidden, code=code)

    def forward(self, noisy_mag: Tensor, memory: Memory | None = None) -> Separated:
        masks = self.masker(noisy_mag, memory)
        codes = unflatten_bins(self.enhancer(flatten_bins(masks * noisy_mag)), 2)  # (B, 2, T, code)
        decoded = per_source((self.speech_dae.decoder, self.noise_dae.decoder), codes)
        return Separated(masks, codes, decoded, wiener_gains(decoded) * noisy_mag)
