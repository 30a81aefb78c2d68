"""Schedules of step-wise training, paper [002]: each mapping is a tuple of stages.

The last stage gives its row of the table the target and the losses.

Source: paper [002], section III-C and figure 3; SYSTEMS.md sections 4.3 and 4.4.
"""

from collections.abc import Callable

from torch import nn

from clean_corpus.enhancers.domains.spectral import Domain
from clean_corpus.enhancers.method import Method, Stage
from clean_corpus.enhancers.models.dnn_nmf import DNNNMF
from clean_corpus.enhancers.objectives import losses, separation


def stepwise(network: Callable[..., nn.Module], domain: Domain, stages: tuple[Stage, ...], paper: str) -> Method:
    """Return the row of a network that is trained by these stages."""
    *before, last = stages
    return Method(network, domain, last.target, last.losses, paper, tuple(before), parts=last.parts)


def _codes(*parts: str) -> Stage:
    """Return the stage that trains these parts towards the codes of the auto-encoders."""
    return Stage("codes", separation.codes, {"loss3": (separation.both_mse, 1.0)}, parts)


def _magnitudes(*parts: str) -> Stage:
    """Return the stage that trains these parts and the decoders towards the magnitudes."""
    decoders = ("speech_dae.decoder", "noise_dae.decoder")
    return Stage("magnitudes", separation.magnitudes, {"loss4": (separation.both_mse, 1.0)}, (*parts, *decoders))


_AUTOENCODERS = Stage(
    "autoencoders",
    separation.reconstructions,
    {"error": (separation.reconstruction_error, 1.0), "sparsity": (separation.code_l1, 1.0)},
    ("speech_dae", "noise_dae"),
)
_FIRST = (
    _AUTOENCODERS,
    Stage("masks", separation.constrained_masks, {"loss1": (separation.both_mse, 1.0)}, ("masker",)),
    Stage("signals", separation.masked_magnitudes, {"loss2": (separation.both_mae, 1.0)}, ("masker",)),
)

SEP = (*_FIRST, _codes("masker", "enhancer"))
JNT3 = (*_FIRST, _magnitudes("masker", "enhancer"))
JNT4_1 = (*_FIRST, _codes("masker", "enhancer"), _magnitudes("masker", "enhancer"))
JNT4_2 = (*_FIRST, _codes("enhancer"), _magnitudes("masker", "enhancer"))
DNN_DEC = (_AUTOENCODERS, _codes("enhancer"), _magnitudes("enhancer"))
DNN_NMF = (
    Stage("masks", separation.ratio_masks, {"mask_mse": (losses.mse, 1.0)}, ("masker",), prepare=DNNNMF.fit_bases),
    Stage("activations", separation.activations, {"activation_mse": (separation.both_mse, 1.0)}, ("enhancer",)),
)
