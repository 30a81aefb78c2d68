"""The band above a 16 kHz enhancer's own, under the gains of a trained network: what `any_rate` asks for it."""

import torch
from safetensors.torch import load_file
from torch import nn

from clean_corpus.enhancers.checkpoints import card, checkpoint_path, weights_sha256
from clean_corpus.enhancers.domains.high_band import LOW_RATE, RATE, HighBand, Split
from clean_corpus.enhancers.serving.high_band import extrapolated
from clean_corpus.enhancers.table import method
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Audio


class UpperBand:
    """A trained network of the domain `HighBand`: call it with both sides of the lower band and with the upper one.

    It works at 48 kHz. What the way there and back leaves out of a signal at another rate, above 24 kHz or right below
    half the rate, gets the extrapolated gain, so that gains of 1 return the signal.

    Shapes: low_in (M,), low_out (M,) at 16 kHz, high (N,) at any rate above -> (N,).
    Raises: ValueError if the lower band has another rate.
    """

    def __init__(self, network: nn.Module, domain: HighBand, *, sha256: str, device: str = "cpu") -> None:
        self.network, self.domain = network.eval().to(device), domain
        self.sha256, self.device = sha256, device

    @classmethod
    def load(cls, name_or_path: str, *, device: str = "cpu") -> "UpperBand":
        """Load shipped weights by name, or trained ones by the path of their .safetensors file.

        Raises: ConfigError if there are no such weights, or if they are not for the band above another enhancer.
        """
        path, about = checkpoint_path(name_or_path), card(name_or_path)
        row = method(about["method"])
        if not isinstance(row.domain, HighBand):
            raise ConfigError(f"{path} is a {about['method']}, which works by itself: expected a full-band")
        network = row.build(**about["sizes"])
        network.load_state_dict(load_file(path))
        return cls(network, row.domain, sha256=weights_sha256(name_or_path), device=device)

    @torch.inference_mode()
    def __call__(self, low_in: Audio, low_out: Audio, high: Audio, low_rate: int, rate: int) -> Audio:
        if low_rate != LOW_RATE:
            raise ValueError(f"the lower band has {low_rate} Hz, the network was trained with {LOW_RATE}")
        n_full = len(low_in) * (RATE // LOW_RATE)
        full = torch.zeros(1, n_full)
        part = torch.from_numpy(resample(high, rate, RATE))[:n_full]
        full[0, : len(part)] = part
        split = Split(full, torch.from_numpy(low_in)[None], torch.from_numpy(low_out)[None])
        split = Split(*(x.to(self.device) for x in split))
        treated = self.domain.enhance(self.network, split, torch.tensor([n_full], device=self.device))
        back, before = (_back(x[0].cpu().numpy(), rate, len(high)) for x in (treated, full))
        return back + extrapolated(low_in, low_out, high - before, low_rate, rate)


def _back(x: Audio, rate: int, n_samples: int) -> Audio:
    """Return a signal at 48 kHz at another rate, cut or continued with silence to so many samples."""
    x = torch.from_numpy(resample(x, RATE, rate))[:n_samples]
    return torch.nn.functional.pad(x, (0, n_samples - len(x))).numpy()
