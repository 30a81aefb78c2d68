"""The measures of a comparison: predicted opinion, distance from the source, closeness to the clean version."""

from functools import cache

import numpy as np

from clean_corpus.pipeline.core import extras
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.quality import distillmos, dnsmos, scorer, signal_measures
from clean_corpus.vocoder.comparison import distances, squim

VERSION = 1  # raise it when the same audio gets other values
OPINION = "dnsmos_p808"  # the headline; the gate has chosen by the other ruler, P.835
PREDICTED = ("dnsmos_p808", "dnsmos_ovrl", "dnsmos_sig", "dnsmos_bak")
MEASURES: dict[str, str] = {
    "dnsmos_p808": "DNSMOS P.808, predicted opinion of the whole, 1 to 5",
    "dnsmos_ovrl": "DNSMOS P.835, predicted opinion of the whole, 1 to 3.93",
    "dnsmos_sig": "DNSMOS P.835, of the speech, 1 to 4.01",
    "dnsmos_bak": "DNSMOS P.835, of the background, 1 to 4.36",
    "distillmos": "DistillMOS, predicted naturalness, 1 to 5, if the extra `distillmos` is installed",
    "mcd_db": "mel-cepstral distortion from the audio the frames came from, dB, lower is better",
    "lsd_db": "log-spectral distance from it, dB, lower is better",
    "f0_rmse_hz": "error of F0 against it where both are voiced, Hz, lower is better",
    "voicing_error": "share of frames voiced in one of the two alone, lower is better",
    "pesq_wb": "PESQ wide-band against the clean version",
    "stoi": "STOI against the clean version",
    "si_sdr_db": "SI-SDR against the clean version, dB; meaningless for a vocoder, which keeps no phase",
    "squim_pesq": "PESQ as TorchAudio-Squim guesses it without a clean version, if its weights are here",
    "squim_stoi": "STOI as guessed by it",
    "squim_si_sdr_db": "SI-SDR as guessed by it, dB",
}
LOWER_IS_BETTER = frozenset(("mcd_db", "lsd_db", "f0_rmse_hz", "voicing_error"))


def hears_naturalness() -> bool:
    """Return whether DistillMOS can be measured here."""
    return extras.is_installed(distillmos.PACKAGE)


def measure(wave: Audio, source: Audio | None, clean: Audio | None, sample_rate: int) -> Scores:
    """Score speech by every name of MEASURES; None where there is nothing to compare with or nothing was measured.

    Shapes: (N,) samples of one rate; source is the audio that the frames were taken from, clean the clean version.
    """
    values: dict[str, float | None] = dict.fromkeys(MEASURES)
    if np.any(wave) and len(wave) >= scorer.MIN_S * sample_rate:
        x = scorer.at_scoring_rate(wave, sample_rate)
        values |= _dnsmos()(x / max(1.0, float(np.abs(x).max())))
        if hears_naturalness():
            values["distillmos"] = _distillmos()(x)
        values |= squim.scores(x) or {}
    if source is not None and np.any(source):
        melody = distances.melody(wave, source, sample_rate)
        values["mcd_db"] = distances.mel_cepstral_distortion_db(wave, source, sample_rate)
        values["lsd_db"] = distances.log_spectral_distance_db(wave, source, sample_rate)
        values["f0_rmse_hz"], values["voicing_error"] = melody.f0_rmse_hz, melody.voicing_error
    if clean is not None and np.any(clean):
        pair = scorer.at_scoring_rate(wave, sample_rate), scorer.at_scoring_rate(clean, sample_rate)
        values["pesq_wb"] = scorer.pesq_lqo(*pair, "wb")
        values["stoi"] = scorer.stoi(*pair, extended=False)
        values["si_sdr_db"] = signal_measures.si_sdr_db(wave, clean)
    return {k: None if v is None or not np.isfinite(v) else float(v) for k, v in values.items()}


@cache
def _distillmos() -> distillmos.DistillMos:
    return distillmos.DistillMos()


@cache
def _dnsmos() -> dnsmos.Dnsmos:
    return dnsmos.Dnsmos("speechmos")  # as published figures
