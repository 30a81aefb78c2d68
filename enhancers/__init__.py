"""The table of enhancement systems, and the loader that turns a row and its weights into a callable."""

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from enhancers import domains, losses, targets
from enhancers.models.cgcrn import CGCRN
from pipeline.errors import ConfigError, nearest

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT = "cgcrn-complex"

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Method:
    """One system: a network, what it sees and estimates, and what it is trained towards.

    `losses` is a name -> (function, weight) table; the training loss is the weighted sum and each term is logged.
    """

    network: Callable[..., nn.Module]
    domain: domains.Domain
    target: Callable[[targets.ForwardPass], tuple[Tensor, Tensor]]
    losses: dict[str, tuple[Loss, float]]
    sample_rate: int = 16000

    def build(self, **sizes: object) -> nn.Module:
        """The network with other sizes than the paper's where given.

        Raises: ConfigError if a size is not a keyword of the network.
        """
        known = [p.name for p in inspect.signature(self.network).parameters.values()]
        for key in sizes:
            if key not in known:
                raise ConfigError(f"size {key!r} is not one of {', '.join(known)}{nearest(key, known)}")
        return self.network(**sizes)

    def forward(self, network: nn.Module, noisy: Tensor, clean: Tensor) -> targets.ForwardPass:
        """One training pass at the level the network runs at.

        Shapes: noisy, clean (B, N).
        """
        lengths = torch.full((noisy.shape[0],), noisy.shape[1], device=noisy.device)
        level = domains.rms_level(noisy, lengths)
        noisy, clean = noisy / level, clean / level
        spec = self.domain.stft(noisy)
        output = network(self.domain.features(spec)).float()
        return targets.ForwardPass(self.domain, noisy, clean, spec, output)


_STFT = domains.Stft(320, 160, "hamming")

ENHANCERS: dict[str, Method] = {
    "cgcrn": Method(CGCRN, domains.Magnitude(_STFT), targets.amplitude_mask, {"mask_mse": (losses.mse, 1.0)}),
    "cgcrn-complex": Method(
        partial(CGCRN, in_channels=2, out_channels=2),
        domains.CompressedComplex(_STFT),
        targets.waveform,
        {"compressed_spectrum": (losses.compressed_spectrum, 10.0), "neg_si_snr": (losses.neg_si_snr, 0.1)},
    ),
}


def method(name: str) -> Method:
    """The row of that name.

    Raises: ConfigError that names the nearest row.
    """
    if name not in ENHANCERS:
        raise ConfigError(f"enhancer {name!r} is not one of {', '.join(sorted(ENHANCERS))}{nearest(name, ENHANCERS)}")
    return ENHANCERS[name]


class Enhancer:
    """A trained system as the pipeline sees it: a batch of waveforms and their lengths in, waveforms out.

    Shapes: (B, N) float32, zero beyond lengths (B,) in samples -> (B, N), zero beyond lengths.
    Raises: ValueError if a length exceeds N or a sample is not finite.
    """

    def __init__(self, row: Method, network: nn.Module, *, name: str, sha256: str, device: str = "cpu") -> None:
        self.row, self.network = row, network.eval().to(device)
        self.name, self.sha256, self.device = name, sha256, device
        self.sample_rate = row.sample_rate

    @torch.inference_mode()
    def __call__(self, noisy: Tensor, lengths: Tensor) -> Tensor:
        if int(lengths.max()) > noisy.shape[-1]:
            raise ValueError(f"length {int(lengths.max())} exceeds the batch's {noisy.shape[-1]} samples")
        if not bool(torch.isfinite(noisy).all()):
            raise ValueError("a sample is NaN or infinite")
        noisy, lengths = noisy.to(self.device), lengths.to(self.device)
        domain = self.row.domain
        level = domains.rms_level(noisy, lengths)
        spec = domain.stft(noisy / level)
        estimate = domain.estimate(self.network(domain.features(spec)), spec)
        frames = -(-lengths // domain.stft.hop_length) + 1
        inside = torch.arange(spec.shape[1], device=lengths.device) < frames[:, None]
        wave = domain.stft.inverse(estimate * inside[:, :, None], noisy.shape[-1]) * level
        samples = torch.arange(noisy.shape[-1], device=lengths.device) < lengths[:, None]
        return (wave * samples).cpu()


def checkpoint_path(name_or_path: str) -> Path:
    """The .safetensors file of a shipped name or of a path.

    Raises: ConfigError if there is none.
    """
    path = Path(name_or_path)
    shipped = WEIGHTS / f"{name_or_path}.safetensors"
    if shipped.exists():
        return shipped
    if path.is_dir():
        path = path / "best.safetensors"
    if path.suffix == ".safetensors" and path.exists():
        return path
    names = sorted(p.stem for p in WEIGHTS.glob("*.safetensors"))
    raise ConfigError(
        f"enhancer {name_or_path!r} has no weights: shipped are {', '.join(names) or 'none'}"
        f"{nearest(name_or_path, names)}; or give the path of a trained .safetensors file"
    )


def weights_sha256(name_or_path: str) -> str:
    """Hash of weights and card together: what an enhanced shard's identity rests on."""
    path = checkpoint_path(name_or_path)
    return hashlib.sha256(path.read_bytes() + path.with_suffix(".json").read_bytes()).hexdigest()


def load(name_or_path: str, *, device: str = "cpu") -> Enhancer:
    """A shipped enhancer by name, or one trained here by the path of its .safetensors file (card beside it).

    Raises: ConfigError if there are no such weights, or if they belong to another network or other sizes.
    """
    path = checkpoint_path(name_or_path)
    card = json.loads(path.with_suffix(".json").read_text())
    row = method(card["method"])
    network = row.build(**{k: tuple(v) if isinstance(v, list) else v for k, v in card["sizes"].items()})
    state, wanted = load_file(path), network.state_dict()
    differing = [k for k in sorted(state.keys() | wanted.keys()) if _shape(state, k) != _shape(wanted, k)]
    if differing:
        first = "; ".join(f"{k}: file {_shape(state, k)}, network {_shape(wanted, k)}" for k in differing[:3])
        raise ConfigError(f"{path} does not fit {card['method']} with sizes {card['sizes']}: {first}")
    network.load_state_dict(state)
    return Enhancer(row, network, name=card["name"], sha256=weights_sha256(name_or_path), device=device)


def _shape(state: dict[str, Tensor], key: str) -> tuple[int, ...] | None:
    return tuple(state[key].shape) if key in state else None
