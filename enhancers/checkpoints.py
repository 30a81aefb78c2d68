"""Trained weights by name or path: their file, their card and their hash. Needs no torch."""

import hashlib
from pathlib import Path
from typing import Any

from clean_corpus.pipeline.core.errors import ConfigError, nearest
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.recording_list import RecordingList
from clean_corpus.pipeline.training.trained_files import read_card

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT = "default"
NO_ENHANCER = "none"
"""Given for an enhancer, it says that none runs."""

EXTRAPOLATED = "extrapolated"
"""Given for an upper band, it says that the enhancer's own gains go on above its band."""

UPPER_BAND = "full-band"
"""What treats the band above an enhancer whose card names nothing."""

UPPER_BAND_METHODS = ("full-band", "full-band-causal")
"""Rows of the table that work above 8 kHz, after another enhancer."""

CARD = {"name": str, "method": str, "sizes": dict}
"""Values of a card without which weights cannot be loaded."""

SGMSE = "sgmse+"
"""A third party's system, named with its checkpoint: sgmse+:PATH."""


def is_shipped(name: str) -> bool:
    """Return whether weights of that name come with the package."""
    return (WEIGHTS / f"{name}.safetensors").exists()


def shipped() -> list[str]:
    """Return the names of the shipped enhancers; weights for the band above them are none."""
    names = sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))
    return [name for name in names if card(name)["method"] not in UPPER_BAND_METHODS]


def checkpoint_path(name_or_path: str) -> Path:
    """Return the .safetensors file of a shipped name or of a path, or the file that sgmse+:PATH names.

    Raises: ConfigError if there is none.
    """
    path = Path(name_or_path)
    if name_or_path == NO_ENHANCER:
        raise ConfigError(f"enhancer {NO_ENHANCER}: a run goes without one, this needs weights; name some")
    if is_sgmse(name_or_path):
        path = Path(name_or_path.partition(":")[2])
        if path.is_file():
            return path
        raise ConfigError(
            f"sgmse+ needs a checkpoint: give sgmse+:PATH, {str(path)!r} is no file; the README of "
            "github.com/sp-uhh/sgmse links those trained on VoiceBank-DEMAND (train_vb_29nqe0uh_epoch=115.ckpt) and "
            "on WSJ0-CHiME3"
        )
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


def card(name_or_path: str) -> dict[str, Any]:
    """Return the card of trained weights: network, sizes, sample rate, data, licences, scores.

    Raises: ConfigError if there are no such weights, or no card of an enhancer beside them.
    """
    path = checkpoint_path(name_or_path).with_suffix(".json")
    if is_sgmse(name_or_path):
        return {"name": SGMSE, "method": SGMSE, "sample_rate": 16000}
    return read_card(path, CARD, "an enhancer")


def recordings(name_or_path: str) -> RecordingList | None:
    """Return the list of the recordings that trained weights have heard, None if none lies beside them.

    Raises: ConfigError if there are no such weights; DataError if the list is damaged.
    """
    return None if is_sgmse(name_or_path) else recording_list.read(checkpoint_path(name_or_path))


def upper_band(enhancer: str, asked: str | None = None) -> str | None:
    """Return the weights for the band above a 16 kHz enhancer, None for its own gains extrapolated.

    They are those asked for, else those that the enhancer's card names, else `UPPER_BAND`.
    """
    name = asked or card(enhancer).get("upper_band", UPPER_BAND)
    return None if name == EXTRAPOLATED else name


def require_upper_band(name_or_path: str) -> None:
    """Refuse weights that work by themselves where some for the band above another enhancer are needed.

    Raises: ConfigError that says so, or that there are no such weights.
    """
    if (found := card(name_or_path)["method"]) not in UPPER_BAND_METHODS:
        raise ConfigError(
            f"{checkpoint_path(name_or_path)} is a {found}, which works by itself: for the band above 8 kHz expected "
            f"{' or '.join(UPPER_BAND_METHODS)}"
        )


def require_enhancer(name_or_path: str) -> None:
    """Refuse weights that work above 8 kHz after another enhancer, where that one is needed.

    Raises: ConfigError that says so, or that there are no such weights.
    """
    if (found := card(name_or_path)["method"]) in UPPER_BAND_METHODS:
        raise ConfigError(
            f"{checkpoint_path(name_or_path)} is a {found}, which works above 8 kHz after another: name that one, and "
            "this as upper_band"
        )


def weights_sha256(name_or_path: str) -> str:
    """Return the hash of weights and card together."""
    path = checkpoint_path(name_or_path)
    if is_sgmse(name_or_path):
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(path.read_bytes() + path.with_suffix(".json").read_bytes()).hexdigest()


def is_sgmse(name_or_path: str) -> bool:
    """Return whether the name is that of the third party's system."""
    return name_or_path.partition(":")[0] == SGMSE
