"""The table of enhancement systems, and a trained one as the pipeline sees it."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from enhancers import (
    SGMSE,
    adversarial,
    card,
    checkpoint_path,
    dccrn_domains,
    domains,
    losses,
    progressive,
    schedules,
    separation,
    targets,
    weights_sha256,
    windows,
)
from enhancers.adversarial import Adversary
from enhancers.batches import check_batch
from enhancers.long import QUANTUM_S, block_s, enhance_long
from enhancers.method import Loss, Method, Stage
from enhancers.models import dual_path
from enhancers.models.cgcrn import CGCRN
from enhancers.models.cgcrn_refined import RefinedCGCRN
from enhancers.models.cnn_gru import CNNGRU
from enhancers.models.complex_crn import ComplexCRN
from enhancers.models.critic import Critic
from enhancers.models.crn import CRN
from enhancers.models.crn_dnn_dec import CRNDNNDEC
from enhancers.models.dccrn import DCCRN
from enhancers.models.dcunet import DCUNet
from enhancers.models.dnn_dec import DNNDEC
from enhancers.models.dnn_irm import DNNIRM
from enhancers.models.dnn_nmf import DNNNMF
from enhancers.models.fcnn import FCNN
from enhancers.models.lean_crn import LeanCRN
from enhancers.models.lstm_irm import LSTMIRM
from enhancers.models.lstm_msa import LstmMsa
from enhancers.models.masker_crn import MaskerCRN
from enhancers.models.mhanet import MHANet
from enhancers.models.nsnet import NSNet
from enhancers.models.pl_crnn import PLCRNN
from enhancers.models.pl_dnn import PLDNN
from enhancers.models.pl_lstm import PLLSTM
from enhancers.models.recurrent import Recurrent
from enhancers.models.segan import SEGAN, level
from enhancers.perceptual import pesq_disturbance
from enhancers.schedules import stepwise
from pipeline.errors import ConfigError, nearest

_STFT_20MS = domains.Stft(320, 160, "hamming")
_STFT_32MS = domains.Stft(512, 128, "hamming")
_STFT_25MS = dccrn_domains.ShortWindowStft(512, 100, "hann", win_length=400)
_STFT_HALF = domains.Stft(512, 256, "sqrt_hann")
_POLAR_MASK = dccrn_domains.ComplexMask(_STFT_25MS, "as_is", "E")
_SEPARATION = separation.Separation(_STFT_32MS, "as_is")


def _mask(network: Callable[..., nn.Module]) -> Method:
    """Papers [000]: magnitude to the amplitude mask."""
    return Method(
        network, domains.MagnitudeMask(_STFT_20MS), targets.amplitude_mask, {"mask_mse": (losses.mse, 1.0)}, "000"
    )


def _complex(
    network: Callable[..., nn.Module],
    domain: domains.Domain = domains.CompressedComplex(_STFT_20MS),  # noqa: B008 - frozen
    parts: tuple[str, ...] = (),
) -> Method:
    """Beyond paper [000]: complex spectrum to a complex mask; compressed spectra, SI-SNR and what PESQ hears compared.

    Parts of a network learn one after the other in stages of their own before all of it does.
    """
    compared: dict[str, tuple[Loss, float]] = {
        "compressed_spectrum": (losses.compressed_spectrum, 10.0),
        "neg_si_snr": (losses.neg_si_snr, 0.2),
        "pesq_disturbance": (pesq_disturbance, 1.5),
    }
    before = tuple(Stage(part, targets.waveform, compared, (part,)) for part in parts)
    return Method(network, domain, targets.waveform, compared, "000", before)


def _progressive(network: Callable[..., nn.Module], stages: Literal["last", "mean"] = "last") -> Method:
    """Paper [001]: magnitude to magnitudes of rising SNR, a stage each."""
    return Method(
        network,
        domains.MagnitudeMapping(_STFT_20MS, stages=stages),
        progressive.stage_magnitudes,
        {"progressive_mse": (progressive.progressive_mse, 1.0)},
        "001",
    )


def _ratio_mask(network: Callable[..., nn.Module]) -> Method:
    """Paper [002]: magnitude to the ideal ratio mask of speech."""
    domain = domains.MagnitudeMask(_STFT_32MS, "as_is")
    return Method(network, domain, separation.ratio_masks, {"mask_mse": (losses.mse, 1.0)}, "002")


def _si_snr(network: Callable[..., nn.Module], domain: domains.Domain) -> Method:
    """Paper [003]: complex spectrum to the waveform."""
    return Method(network, domain, targets.waveform, {"neg_si_snr": (losses.neg_si_snr, 1.0)}, "003")


def _wgan(activation: Literal["glu", "prelu"]) -> Method:
    """Paper [004]: Wasserstein loss with gradient penalty; `loss_weights` may weigh in what SNR hears."""
    adversary = Adversary(
        partial(Critic, activation=activation),
        windows.noisy_windows,
        adversarial.wgan_d,
        adversarial.wgan_g,
        penalty=10.0,
        critic_learning_rate=2.5e-5,
        level=level,
    )
    return Method(
        partial(SEGAN, activation=activation),
        windows.WaveformWindows(),
        windows.clean_windows,
        {"l1": (adversarial.l1, 100.0), "waveform_error": (windows.waveform_error, 0.0)},
        "004",
        adversary=adversary,
    )


def _lean(network: Callable[..., nn.Module]) -> Method:
    """Beyond the papers: complex spectrum to a filtered one; what is heard counts, and sign and level of the result."""
    compared: dict[str, tuple[Loss, float]] = {
        "compressed_spectra": (losses.compressed_spectra, 10.0),
        "neg_threshold_snr": (losses.neg_threshold_snr, 0.2),
        "pesq_disturbance": (pesq_disturbance, 1.5),
    }
    return Method(network, dccrn_domains.ComplexMapping(_STFT_HALF), targets.waveform, compared, "-")


_CRNN = partial(CRN, last_norm=False)
_SCRNN = partial(CRN, last_norm=False, channels=(8, 16, 32, 64, 128))

ENHANCERS: dict[str, Method] = {
    "cgcrn": _mask(CGCRN),
    "cgcrn-complex": _complex(partial(CGCRN, in_channels=2, out_channels=2)),
    "cgcrn-refined": _complex(RefinedCGCRN),
    "cgcrn-dual-path": _complex(dual_path.CGCRNDualPath, dual_path.SECOND, ("first", "second")),
    "lean": _lean(LeanCRN),
    "lean-causal": _lean(partial(LeanCRN, causal=True, along=48)),
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
    "crn-dnn-dec": stepwise(CRNDNNDEC, _SEPARATION, schedules.JNT4_2, "002"),
    "crn-dnn-dec-sep": stepwise(CRNDNNDEC, _SEPARATION, schedules.SEP, "002"),
    "crn-dnn-dec-jnt3": stepwise(partial(CRNDNNDEC, code_output="leaky_relu"), _SEPARATION, schedules.JNT3, "002"),
    "crn-dnn-dec-jnt4-1": stepwise(CRNDNNDEC, _SEPARATION, schedules.JNT4_1, "002"),
    "crn-cpsirm": Method(
        MaskerCRN,
        separation.SourceMasks(_STFT_32MS, "as_is"),
        separation.constrained_masks,
        {"loss1": (separation.both_mse, 1.0)},
        "002",
    ),
    "crn-irm": _ratio_mask(partial(MaskerCRN, out_channels=1)),
    "crn-mag": Method(
        partial(MaskerCRN, out_channels=1, output="softplus"),
        domains.MagnitudeMapping(_STFT_32MS, "as_is"),
        separation.speech_magnitude,
        {"magnitude_mse": (losses.mse, 1.0)},
        "002",
    ),
    "dnn-dec": stepwise(DNNDEC, _SEPARATION, schedules.DNN_DEC, "002"),
    "dnn-irm-dnn-nmf": stepwise(DNNNMF, _SEPARATION, schedules.DNN_NMF, "002"),
    "dnn-irm": _ratio_mask(DNNIRM),
    "lstm-irm": _ratio_mask(LSTMIRM),
    "mhanet-irm": _ratio_mask(MHANet),
    "dccrn-r": _si_snr(DCCRN, dccrn_domains.ComplexMask(_STFT_25MS, "as_is", "R")),
    "dccrn-c": _si_snr(DCCRN, dccrn_domains.ComplexMask(_STFT_25MS, "as_is", "C")),
    "dccrn-e": _si_snr(DCCRN, _POLAR_MASK),
    "dccrn-e-printed": _si_snr(partial(DCCRN, channels=(32, 64, 128, 128, 256, 256)), _POLAR_MASK),
    "dccrn-cl": _si_snr(partial(DCCRN, channels=(32, 64, 128, 256, 256, 256), lstm="complex"), _POLAR_MASK),
    "dcunet-16": _si_snr(DCUNet, _POLAR_MASK),
    "lstm-9.6m": Method(
        LstmMsa,
        domains.MagnitudeMask(_STFT_25MS, "as_is"),
        dccrn_domains.masked_magnitude,
        {"magnitude_mse": (losses.mse, 1.0)},
        "003",
    ),
    "complex-crn": _si_snr(ComplexCRN, dccrn_domains.ComplexMapping(_STFT_25MS, "as_is")),
    "nsnet": Method(
        NSNet,
        dccrn_domains.LogPowerMask(dccrn_domains.ShortWindowStft(512, 160, "hamming", win_length=320), "as_is"),
        dccrn_domains.speech_and_noise,
        {"weighted_distortion": (dccrn_domains.weighted_distortion, 1.0)},
        "003",
    ),
    "wgan-glu": _wgan("glu"),
    "wgan-prelu": _wgan("prelu"),
    "segan": Method(
        SEGAN,
        windows.WaveformWindows("normal"),
        windows.clean_windows,
        {"l1": (adversarial.l1, 100.0)},
        "004",
        adversary=Adversary(
            partial(Critic, activation="leaky_relu", norm=True),
            windows.noisy_windows,
            adversarial.lsgan_d,
            adversarial.lsgan_g,
        ),
    ),
}


def method(name: str) -> Method:
    """The row of that name.

    Raises: ConfigError that names the nearest row, or if it is a third party's, neither built nor trained here.
    """
    if name == SGMSE:
        raise ConfigError(f"{SGMSE} is a third party's pretrained system: run it as {SGMSE}:PATH of its checkpoint")
    if name not in ENHANCERS:
        raise ConfigError(f"enhancer {name!r} is not one of {', '.join(sorted(ENHANCERS))}{nearest(name, ENHANCERS)}")
    return ENHANCERS[name]


class Enhancer:
    """A trained system as the pipeline sees it: a batch of waveforms and their lengths in, waveforms out.

    Long signals go through in blocks, in memory that does not grow with their length but for the waveforms themselves.

    Shapes: (B, N) float32, zero beyond lengths (B,) in samples -> (B, N), zero beyond lengths.
    Raises: ValueError if the batch is empty, a length exceeds N or a sample is not finite.
    """

    def __init__(self, row: Method, network: nn.Module, *, name: str, sha256: str, device: str = "cpu") -> None:
        self.row, self.network = row, network.eval().to(device)
        if device == "cpu":  # oneDNN's transposed convolutions take twice as long with channels first
            self.network.to(memory_format=torch.channels_last)
        self.name, self.sha256, self.device = name, sha256, device
        self.sample_rate = row.sample_rate

    @torch.inference_mode()
    def __call__(self, noisy: Tensor, lengths: Tensor) -> Tensor:
        check_batch(noisy, lengths)
        n_samples, domain = noisy.shape[-1], self.row.domain
        noisy, lengths = noisy.to(self.device), lengths.to(self.device)
        if isinstance(domain, domains.Spectral) and n_samples > block_s(self.network, noisy.device) * self.sample_rate:
            wave = torch.zeros_like(noisy)
            for clip, result, n in zip(noisy, wave, lengths.tolist(), strict=True):
                result[:n] = enhance_long(self.network, domain, clip[None, :n], self.sample_rate)[0]
        else:
            noisy = functional.pad(noisy, (0, -n_samples % round(QUANTUM_S * self.sample_rate)))
            wave = domain.enhance(self.network, noisy, lengths)[:, :n_samples]
        samples = torch.arange(n_samples, device=lengths.device) < lengths[:, None]
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
