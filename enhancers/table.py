"""The table of enhancement systems: what each network sees, estimates and is trained towards."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import nn

from clean_corpus.enhancers import schedules
from clean_corpus.enhancers.checkpoints import SGMSE
from clean_corpus.enhancers.domains import dccrn, high_band, ratio_mask, spectral, windows
from clean_corpus.enhancers.domains.separation import Separation, SourceMasks
from clean_corpus.enhancers.method import Loss, Method, Stage
from clean_corpus.enhancers.models import dual_path
from clean_corpus.enhancers.models.cgcrn import CGCRN
from clean_corpus.enhancers.models.cgcrn_refined import RefinedCGCRN
from clean_corpus.enhancers.models.cnn_gru import CNNGRU
from clean_corpus.enhancers.models.complex_crn import ComplexCRN
from clean_corpus.enhancers.models.critic import Critic
from clean_corpus.enhancers.models.crn import CRN
from clean_corpus.enhancers.models.crn_dnn_dec import CRNDNNDEC
from clean_corpus.enhancers.models.dccrn import DCCRN
from clean_corpus.enhancers.models.dcunet import DCUNet
from clean_corpus.enhancers.models.dnn_dec import DNNDEC
from clean_corpus.enhancers.models.dnn_irm import DNNIRM
from clean_corpus.enhancers.models.dnn_nmf import DNNNMF
from clean_corpus.enhancers.models.fcnn import FCNN
from clean_corpus.enhancers.models.full_band import FullBand
from clean_corpus.enhancers.models.lean_crn import LeanCRN
from clean_corpus.enhancers.models.lstm_irm import LSTMIRM
from clean_corpus.enhancers.models.lstm_msa import LstmMsa
from clean_corpus.enhancers.models.masker_crn import MaskerCRN
from clean_corpus.enhancers.models.mhanet import MHANet
from clean_corpus.enhancers.models.nsnet import NSNet
from clean_corpus.enhancers.models.pl_crnn import PLCRNN
from clean_corpus.enhancers.models.pl_dnn import PLDNN
from clean_corpus.enhancers.models.pl_lstm import PLLSTM
from clean_corpus.enhancers.models.recurrent import Recurrent
from clean_corpus.enhancers.models.segan import SEGAN, level
from clean_corpus.enhancers.objectives import adversarial, losses, progressive, separation, targets
from clean_corpus.enhancers.objectives.adversarial import Adversary
from clean_corpus.enhancers.objectives.perceptual import pesq_disturbance
from clean_corpus.enhancers.schedules import stepwise
from clean_corpus.pipeline.core.errors import ConfigError, nearest

_STFT_20MS = spectral.Stft(320, 160, "hamming")
_STFT_32MS = spectral.Stft(512, 128, "hamming")
_STFT_HALF_OVERLAP = spectral.Stft(512, 256, "sqrt_hann")
_STFT_25MS = dccrn.ShortWindowStft(512, 100, "hann", win_length=400)
_POLAR_MASK = dccrn.ComplexMask(_STFT_25MS, "as_is", "E")
_SEPARATION = Separation(_STFT_32MS, "as_is")


def _mask(network: Callable[..., nn.Module]) -> Method:
    """Return a row of paper [000]: magnitude to the amplitude mask."""
    return Method(
        network, spectral.MagnitudeMask(_STFT_20MS), targets.amplitude_mask, {"mask_mse": (losses.mse, 1.0)}, "000"
    )


def _complex(
    network: Callable[..., nn.Module],
    domain: spectral.Domain = spectral.CompressedComplex(_STFT_20MS),  # noqa: B008 - frozen
    parts: tuple[str, ...] = (),
) -> Method:
    """Return a row of our own: complex spectrum to a complex mask, trained by compressed spectra, SI-SNR and PESQ.

    The parts of a network, if named, learn one after the other in stages of their own before all of it does.
    """
    compared: dict[str, tuple[Loss, float]] = {
        "compressed_spectrum": (losses.compressed_spectrum, 10.0),
        "neg_si_snr": (losses.neg_si_snr, 0.2),
        "pesq_disturbance": (pesq_disturbance, 1.5),
    }
    before = tuple(Stage(part, targets.waveform, compared, (part,)) for part in parts)
    return Method(network, domain, targets.waveform, compared, "own", before)


def _progressive(network: Callable[..., nn.Module], stages: Literal["last", "mean"] = "last") -> Method:
    """Return a row of paper [001]: magnitude to magnitudes of rising SNR, one a stage."""
    return Method(
        network,
        spectral.MagnitudeMapping(_STFT_20MS, stages=stages),
        progressive.stage_magnitudes,
        {"progressive_mse": (progressive.progressive_mse, 1.0)},
        "001",
    )


def _ratio_mask(network: Callable[..., nn.Module]) -> Method:
    """Return a row of paper [002]: magnitude to the ideal ratio mask of speech."""
    domain = spectral.MagnitudeMask(_STFT_32MS, "as_is")
    return Method(network, domain, separation.ratio_masks, {"mask_mse": (losses.mse, 1.0)}, "002")


def _si_snr(network: Callable[..., nn.Module], domain: spectral.Domain) -> Method:
    """Return a row of paper [003]: complex spectrum to the waveform."""
    return Method(network, domain, targets.waveform, {"neg_si_snr": (losses.neg_si_snr, 1.0)}, "003")


def _wgan(activation: Literal["glu", "prelu"]) -> Method:
    """Return a row of paper [004]: Wasserstein loss with gradient penalty and L1.

    `waveform_error` has weight 0 until a training's `loss_weights` gives it another.
    """
    adversary = Adversary(
        partial(Critic, activation=activation),
        adversarial.noisy_windows,
        adversarial.wgan_d,
        adversarial.wgan_g,
        penalty=10.0,
        critic_learning_rate=2.5e-5,
        level=level,
    )
    return Method(
        partial(SEGAN, activation=activation),
        windows.WaveformWindows(),
        targets.clean_windows,
        {"l1": (adversarial.l1, 100.0), "waveform_error": (losses.waveform_error, 0.0)},
        "004",
        adversary=adversary,
    )


def _lean(network: Callable[..., nn.Module]) -> Method:
    """Return a row of our own: complex spectrum to a filtered one, trained by losses that depend on sign and level."""
    compared: dict[str, tuple[Loss, float]] = {
        "compressed_spectra": (losses.compressed_spectra, 10.0),
        "neg_threshold_snr": (losses.neg_threshold_snr, 0.2),
        "pesq_disturbance": (pesq_disturbance, 1.5),
    }
    return Method(network, dccrn.ComplexMapping(_STFT_HALF_OVERLAP), targets.waveform, compared, "own")


def _full_band(network: Callable[..., nn.Module]) -> Method:
    """Return a row of our own for the band above 8 kHz: gains of its bins, trained by the waveform of that band."""
    compared: dict[str, tuple[Loss, float]] = {
        "compressed_spectra": (losses.compressed_spectra, 10.0),
        "log_spectrum": (losses.log_spectrum, 0.5),
        "neg_threshold_snr": (losses.neg_threshold_snr, 0.1),
    }
    return Method(network, high_band.HighBand(), targets.waveform, compared, "own", sample_rate=high_band.RATE)


_CRNN = partial(CRN, last_norm=False)
_SCRNN = partial(CRN, last_norm=False, channels=(8, 16, 32, 64, 128))

ENHANCERS: dict[str, Method] = {
    "cgcrn": _mask(CGCRN),
    "cgcrn-no-skips": _mask(partial(CGCRN, skip="none")),
    "cgcrn-add-skips": _mask(partial(CGCRN, skip="add")),
    "cgcrn-cat-skips": _mask(partial(CGCRN, skip="cat")),
    "cgcrn-p1": _mask(partial(CGCRN, groups=1)),
    "cgcrn-p4": _mask(partial(CGCRN, groups=4)),
    "cgcrn-crm": Method(
        partial(CGCRN, out_channels=2),
        ratio_mask.CompressedRatioMask(_STFT_20MS),
        targets.compressed_ratio_mask,
        {"mask_mse": (losses.mse, 1.0)},
        "000",
    ),
    "cgcrn-complex": _complex(partial(CGCRN, in_channels=2, out_channels=2)),
    "cgcrn-refined": _complex(RefinedCGCRN),
    "cgcrn-dual-path": _complex(dual_path.CGCRNDualPath, dual_path.SECOND, ("first", "second")),
    "lean": _lean(LeanCRN),
    "lean-causal": _lean(partial(LeanCRN, causal=True, along=48)),
    "full-band": _full_band(FullBand),
    "full-band-causal": _full_band(partial(FullBand, causal=True, hidden=112)),
    "lstm-4x1024": _mask(partial(Recurrent, cell="lstm")),
    "gru-4x1024": _mask(partial(Recurrent, cell="gru")),
    "crn": _mask(CRN),
    "cnn-gru": _mask(CNNGRU),
    "fcnn": _mask(FCNN),
    "pl-crnn": _progressive(PLCRNN),
    "pl-crnn-iam": _progressive(partial(PLCRNN, target="iam")),
    "pl-crnn-q2": _progressive(partial(PLCRNN, stages=2)),
    "pl-crnn-q4": _progressive(partial(PLCRNN, stages=4)),
    "pl-crnn-q5": _progressive(partial(PLCRNN, stages=5)),
    "pl-crnn-q5-iam": _progressive(partial(PLCRNN, stages=5, target="iam")),
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
        SourceMasks(_STFT_32MS, "as_is"),
        separation.constrained_masks,
        {"loss1": (separation.both_mse, 1.0)},
        "002",
    ),
    "crn-irm": _ratio_mask(partial(MaskerCRN, out_channels=1)),
    "crn-mag": Method(
        partial(MaskerCRN, out_channels=1, output="softplus"),
        spectral.MagnitudeMapping(_STFT_32MS, "as_is"),
        separation.speech_magnitude,
        {"magnitude_mse": (losses.mse, 1.0)},
        "002",
    ),
    "dnn-dec": stepwise(DNNDEC, _SEPARATION, schedules.DNN_DEC, "002"),
    "dnn-irm-dnn-nmf": stepwise(DNNNMF, _SEPARATION, schedules.DNN_NMF, "002"),
    "dnn-irm": _ratio_mask(DNNIRM),
    "lstm-irm": _ratio_mask(LSTMIRM),
    "mhanet-irm": _ratio_mask(MHANet),
    "dccrn-r": _si_snr(DCCRN, dccrn.ComplexMask(_STFT_25MS, "as_is", "R")),
    "dccrn-c": _si_snr(DCCRN, dccrn.ComplexMask(_STFT_25MS, "as_is", "C")),
    "dccrn-e": _si_snr(DCCRN, _POLAR_MASK),
    "dccrn-e-printed": _si_snr(partial(DCCRN, channels=(32, 64, 128, 128, 256, 256)), _POLAR_MASK),
    "dccrn-cl": _si_snr(partial(DCCRN, channels=(32, 64, 128, 256, 256, 256), lstm="complex"), _POLAR_MASK),
    "dcunet-16": _si_snr(DCUNet, _POLAR_MASK),
    "lstm-9.6m": Method(
        LstmMsa,
        spectral.MagnitudeMask(_STFT_25MS, "as_is"),
        targets.masked_magnitude,
        {"magnitude_mse": (losses.mse, 1.0)},
        "003",
    ),
    "complex-crn": _si_snr(ComplexCRN, dccrn.ComplexMapping(_STFT_25MS, "as_is")),
    "nsnet": Method(
        NSNet,
        dccrn.LogPowerMask(dccrn.ShortWindowStft(512, 160, "hamming", win_length=320), "as_is"),
        targets.speech_and_noise,
        {"weighted_distortion": (losses.weighted_distortion, 1.0)},
        "003",
    ),
    "wgan-glu": _wgan("glu"),
    "wgan-prelu": _wgan("prelu"),
    "segan": Method(
        SEGAN,
        windows.WaveformWindows("normal"),
        targets.clean_windows,
        {"l1": (adversarial.l1, 100.0)},
        "004",
        adversary=Adversary(
            partial(Critic, activation="leaky_relu", norm=True),
            adversarial.noisy_windows,
            adversarial.lsgan_d,
            adversarial.lsgan_g,
        ),
    ),
}


def method(name: str) -> Method:
    """Return the row of that name.

    Raises: ConfigError that names the nearest row, or if it is a third party's, which cannot be built or trained here.
    """
    if name == SGMSE:
        raise ConfigError(f"{SGMSE} is a third party's pretrained system: run it as {SGMSE}:PATH of its checkpoint")
    if name not in ENHANCERS:
        raise ConfigError(f"enhancer {name!r} is not one of {', '.join(sorted(ENHANCERS))}{nearest(name, ENHANCERS)}")
    return ENHANCERS[name]
