"""Folders of noisy and clean recordings, as `clean-corpus evaluate` takes them."""

from pathlib import Path

import soundfile

from tests.support import signals

RATE = 16000


def write_pairs(root: Path, names: dict[str, float], *, seconds: float = 1.5) -> Path:
    """Write pairs of these names, noisy at these SNRs in dB."""
    for seed, (name, snr_db) in enumerate(names.items()):
        for folder, x in (
            ("noisy", signals.noisy_speech(seconds, snr_db, seed)),
            ("clean", signals.speech(seconds, seed)),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            soundfile.write(root / folder / f"{name}.wav", x, RATE)
    return root
