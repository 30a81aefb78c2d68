"""The table of enhancement systems, and a trained one as the pipeline sees it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from enhancers import card, checkpoint_path, domains, losses, progressive, targets, weights_sha256
from enhancers.models.cgcrn import CGCRN
from enhancers.models.cnn_gru import CNNGRU
from enhancers.models.crn import CRN
from enhancers.models.fcnn import FCNN
from enhancers.models.pl_crnn import PLCRNN
from enhancers.models.pl_dnn import PLDNN
from enhancers.models.pl_lstm import PLLSTM
from enhancers.models.recurrent import Recurrent
from pipeline.errors import ConfigError, nearest

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Stage:
    """One step of a training schedule: what is compared, by which losses, and which parts of the network learn.

    `losses` is a name -> (function, weight) table; the training loss is the weighted sum and each term is logged.
    `parts` are names of submodules, all if empty; `fresh` names those that start anew instead of from the stage before.
    """

    name: str
    target: Callable[[domains.ForwardPass], tuple[Tensor, Tensor]]
    losses: dict[str, tuple[Loss, float]]
    parts: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()


@dataclass(frozen=True)
class Method:
    """One system: a network, what it sees and estimates, and what it is trained towards.

    `target` and `losses` are those of the last stage of training, most systems' only one; `before` are the others.
    `paper` is the number of the paper that describes the system.
    """

    network: Callable[..., nn.Module]
    domain: domains.Domain
    target: Callable[[domains.ForwardPass], tuple[Tensor, Tensor]]
    losses: dict[str, tuple[Loss, float]]
    paper: str
    before: tuple[Stage, ...] = ()
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


_STFT_20MS = domains.Stft(320, 160, "hamming")


def _mask(network: Callable[..., nn.Module]) -> Method:
    """Papers [000]: magnitude to the amplitude mask."""
    return Method(
        network, domains.MagnitudeMask(_STFT_20MS), targets.amplitude_mask, {"mask_mse": (losses.mse, 1.0)}, "000"
    )


def _progressive(network: Callable[..., nn.Module], stages: Literal["last", "mean"] = "last") -> Method:
    """Paper [001]: magnitude to magnitudes of rising SNR, a stage each."""
    return Method(
        network,
        domains.MagnitudeMapping(_STFT_20MS, stages=stages),
        progressive.stage_magnitudes,
        {"progressive_mse": (progressive.progressive_mse, 1.0)},
        "001",
    )


_CRNN = partial(CRN, last_norm=False)
_SCRNN = partial(CRN, last_norm=False, channels=(8, 16, 32, 64, 128))

ENHANCERS: dict[str, Method] = {
    "cgcrn": _mask(CGCRN),
    "cgcrn-complex": Method(
        partial(CGCRN, in_channels=2, out_channels=2),
        domains.CompressedComplex(_STFT_20MS),
        targets.waveform,
        {"compressed_spectrum": (losses.compressed_spectrum, 10.0), "neg_si_snr": (losses.neg_si_snr, 0.2)},
        "000",
    ),
    "lstm-4x1024": _mask(partial(Recurrent, cell="lstm")),
    "gru-4x1024": _mask(partial(Recurrent, cell="gru")),
    "crn": _mask(CRN),
    "cnn-gru": _mask(CNNGRU),
    "fcnn": _mask(FCNN),
    "pl-crnn": _progressive(PLCRNN),
    "pl-crnn-iam": _progressive(partial(PLCRNN, target="iam")),
    "pl-dnn": _progressive(PLDNN, "mean"),
    "pl-dnn-iam": _progressive(partial(PLDNN, target="iam"), "mean"),
    "pl-lstm": _progressive(PLLSTM, "mean"),
    "pl-lstm-iam": _progressive(partial(PLLSTM, target="iam"), "mean"),
    "crnn": _progressive(_CRNN),
    "crnn-iam": _progressive(partial(_CRNN, target="iam")),
    "scrnn": _progressive(_SCRNN),
    "scrnn-iam": _progressive(partial(_SCRNN, target="iam")),
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
        wave = self.row.domain.enhance(self.network, noisy, lengths)
        samples = torch.arange(noisy.shape[-1], device=lengths.device) < lengths[:, None]
        return (wave * samples).cpu()


def load_enhancer(name_or_path: str, *, device: str) -> Enhancer:
    """See `enhancers.load`."""
    path = checkpoint_path(name_or_path)
    about = card(name_or_path)
    row = method(about["method"])
    network = row.build(**{k: tuple(v) if isinstance(v, list) else v for k, v in about["sizes"].items()})
    state, wanted = load_file(path), network.state_dict()
    differing = [k for k in sorted(state.keys() | wanted.keys()) if _shape(state, k) != _shape(wanted, k)]
    if differing:
        first = "; ".join(f"{k}: file {_shape(state, k)}, network {_shape(wanted, k)}" for k in differing[:3])
        raise ConfigError(f"{path} does not fit {about['method']} with sizes {about['sizes']}: {first}")
    network.load_state_dict(state)
    return Enhancer(row, network, name=about["name"], sha256=weights_sha256(name_or_path), device=device)


def _shape(state: dict[str, Tensor], key: str) -> tuple[int, ...] | None:
    return tuple(state[key].shape) if key in state else None
