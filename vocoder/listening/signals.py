"""Sounds that a listening test adds: tones of the headphone check, and beeps that ask for an answer."""

import numpy as np

from clean_corpus.pipeline.core.types import Audio

LOUDNESS_LUFS = -23.0  # of clips, tones and beeps

TONE_HZ, TONE_S, TONE_GAP_S, QUIETER_DB = 200.0, 1.0, 0.5, 6.0  # of the headphone check
BEEP_HZ, BEEP_S, BEEP_GAP_S = 1000.0, 0.15, 0.25


def headphone_tones(quiet: int, antiphase: int, sample_rate: int) -> Audio:
    """Return three tones, of which one is quieter and another one in antiphase between the ears.

    Over loudspeakers the antiphase tone cancels itself and seems the quietest; over headphones it does not.

    Source: Woods et al. 2017, "Headphone screening to facilitate web-based auditory experiments".
    Shapes: numbers of the two tones, from 0 -> (N, 2), full scale +-1.
    """
    n_tone, n_gap = round(TONE_S * sample_rate), round(TONE_GAP_S * sample_rate)
    tone = _tone(TONE_HZ, n_tone, sample_rate, ramp_s=TONE_S / 10)
    parts = []
    for number in range(3):
        gain = 10 ** (-QUIETER_DB / 20) if number == quiet else 1.0
        both_ears = gain * np.stack([tone, -tone if number == antiphase else tone], axis=1)
        parts += [both_ears, np.zeros((n_gap, 2))]
    return np.concatenate(parts[:-1]).astype(np.float32)


def with_beeps(x: Audio, sample_rate: int, n_beeps: int) -> Audio:
    """Append beeps to a clip, a pause before each.

    Shapes: (N,) -> (M,), M > N.
    """
    beep = _tone(BEEP_HZ, round(BEEP_S * sample_rate), sample_rate, ramp_s=0.01)
    gap = np.zeros(round(BEEP_GAP_S * sample_rate), np.float32)
    return np.concatenate([x, *(part for _ in range(n_beeps) for part in (gap, beep))]).astype(np.float32)


def _tone(frequency_hz: float, n_samples: int, sample_rate: int, *, ramp_s: float) -> Audio:
    """Return a sine as loud as the clips, with ramps against clicks."""
    time_s = np.arange(n_samples) / sample_rate
    ramp = np.clip(np.minimum(time_s, time_s[::-1]) / ramp_s, 0, 1)
    amplitude = np.sqrt(2) * 10 ** (LOUDNESS_LUFS / 20)
    return (amplitude * ramp * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)
