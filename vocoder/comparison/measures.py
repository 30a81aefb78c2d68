"""The measures of a comparison: predicted opinion, closeness to a reference, and whether words are understood."""

from functools import cache

import numpy as np

from clean_corpus.pipeline.core import extras
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.quality import distillmos, dnsmos, scorer, signal_measures, voice
from clean_corpus.pipeline.text.error_rate import word_error_rate
from clean_corpus.vocoder.comparison import distances, squim

VERSION = 2  # raise it when the same audio gets other values
OPINIONS = ("distillmos", "dnsmos_p808")  # headlines, the first that is measured above all; the gate chose by P.835
NAMES = {"distillmos": "DistillMOS", "dnsmos_p808": "DNSMOS P.808"}  # of the headlines in a sentence
MEASURES: dict[str, str] = {
    "distillmos": "DistillMOS, predicted naturalness, 1 to 5, if the extra `distillmos` is installed",
    "dnsmos_p808": "DNSMOS P.808, predicted opinion of the whole, 1 to 5",
    "dnsmos_ovrl": "DNSMOS P.835, predicted opinion of the whole, 1 to 3.93; the gate's own ruler",
    "dnsmos_sig": "DNSMOS P.835, of the speech, 1 to 4.01",
    "dnsmos_bak": "DNSMOS P.835, of the background, 1 to 4.36",
    "mcd_db": "mel-cepstral distortion from the reference, dB, lower is better",
    "lsd_db": "log-spectral distance from it, dB, lower is better",
    "f0_rmse_hz": "error of F0 against it where both are voiced, Hz, lower is better",
    "voicing_error": "share of frames voiced in one of the two alone, lower is better",
    "stoi": "STOI against the reference",
    "pesq_wb": "PESQ wide-band against the reference",
    "si_sdr_db": "SI-SDR against it, dB; meaningless for a vocoder, which keeps no phase",
    "speaker_likeness": "cosine of the voice's embedding to the reference's, if the extra `speakers` is installed",
    "word_error_rate": "word errors of a recogniser against the text, lower is better, if a transcriber is set",
    "squim_pesq": "PESQ as TorchAudio-Squim guesses it without a reference, if its weights are here",
    "squim_stoi": "STOI as guessed by it",
    "squim_si_sdr_db": "SI-SDR as guessed by it, dB",
}
LOWER_IS_BETTER = frozenset(("mcd_db", "lsd_db", "f0_rmse_hz", "voicing_error", "word_error_rate"))
SPEECH_THRESHOLD = 0.5  # probability of speech in what is embedded as a voice


def hears_naturalness() -> bool:
    """Return whether DistillMOS can be measured here."""
    return extras.is_installed(distillmos.PACKAGE)


def hears_voices() -> bool:
    """Return whether the likeness of voices can be measured here."""
    return extras.is_installed(voice.PACKAGE)


def measure(
    wave: Audio, reference: Audio | None, sample_rate: int, *, text: str | None = None, heard: str | None = None
) -> Scores:
    """Score speech by every name of MEASURES; None where there is nothing to compare with or nothing was measured.

    A reference of another length is none: the two are not aligned. `heard` is what a recogniser makes of the speech.
    Shapes: (N,) samples of one rate.
    """
    values: dict[str, float | None] = dict.fromkeys(MEASURES)
    if np.any(wave) and len(wave) >= scorer.MIN_S * sample_rate:
        x = scorer.at_scoring_rate(wave, sample_rate)
        values |= _dnsmos()(x / max(1.0, float(np.abs(x).max())))
        if hears_naturalness():
            values["distillmos"] = _distillmos()(x)
        values |= squim.scores(x) or {}
    if reference is not None and len(reference) == len(wave) and np.any(reference):
        values |= _against(wave, reference, sample_rate)
    if text is not None and heard is not None:
        values["word_error_rate"] = word_error_rate(text, heard)
    return {k: None if v is None or not np.isfinite(v) else float(v) for k, v in values.items()}


def _against(wave: Audio, reference: Audio, sample_rate: int) -> dict[str, float | None]:
    """Return the measures that want a reference, which is not silent."""
    melody = distances.melody(wave, reference, sample_rate)
    pair = scorer.at_scoring_rate(wave, sample_rate), scorer.at_scoring_rate(reference, sample_rate)
    values = {
        "mcd_db": distances.mel_cepstral_distortion_db(wave, reference, sample_rate),
        "lsd_db": distances.log_spectral_distance_db(wave, reference, sample_rate),
        "f0_rmse_hz": melody.f0_rmse_hz,
        "voicing_error": melody.voicing_error,
        "pesq_wb": scorer.pesq_lqo(*pair, "wb"),
        "stoi": scorer.stoi(*pair, extended=False),
        "si_sdr_db": signal_measures.si_sdr_db(wave, reference),
    }
    if hears_voices():
        voices = [_voices()(x, sample_rate=sample_rate) for x in (wave, reference)]
        if all(voices):
            values["speaker_likeness"] = voice.likeness(*(each.embedding for each in voices))
    return values


@cache
def _distillmos() -> distillmos.DistillMos:
    return distillmos.DistillMos()


@cache
def _dnsmos() -> dnsmos.Dnsmos:
    return dnsmos.Dnsmos("speechmos")  # as published figures


@cache
def _voices() -> voice.VoiceEncoder:
    return voice.VoiceEncoder(speech_threshold=SPEECH_THRESHOLD)
