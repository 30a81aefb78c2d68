"""Trained vocoders on disk: weights, and a card with the settings of the frames they speak from."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.files import write_json, write_whole
from clean_corpus.pipeline.training.trained_files import read_card, read_tensors
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.wavenet import WaveNet

WEIGHTS = Path(__file__).parent / "weights"
CARD = {"sizes": dict, "speakers": list, "speaker_conditioning": bool, "features": dict}
"""Values of a card without which weights cannot be loaded."""


@dataclass(frozen=True)
class Vocoder:
    """A trained network with everything that generation needs."""

    network: WaveNet
    mel: LogMel
    speakers: tuple[str, ...]
    card: dict[str, Any]

    @property
    def voiced_temperature(self) -> float:
        """The temperature of draws in voiced frames, unless one is asked for."""
        return float(self.card.get("voiced_temperature", 1.0))

    @property
    def equaliser_ms(self) -> float:
        """Milliseconds over which speech gets the energies of its frames, unless others are asked for."""
        return float(self.card.get("equaliser_ms", 0.0))


def save_vocoder(path: Path, vocoder: Vocoder) -> None:
    """Write the weights to PATH, a .safetensors file, and the card beside them as .json."""
    write_whole(path, save({k: v.contiguous() for k, v in vocoder.network.state_dict().items()}))
    card = {"features": asdict(vocoder.mel), "speakers": list(vocoder.speakers), **vocoder.card}
    write_json(path.with_suffix(".json"), card)


def shipped() -> list[str]:
    """Return the names of the voices that come with the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def load_vocoder(path: Path) -> Vocoder:
    """Load a vocoder from the folder of a training, a .safetensors file in it, or the name of a shipped voice.

    Raises: ConfigError if nothing is found, if a file is damaged, or if the card is missing or describes other weights.
    """
    weights = weights_file(path)
    if weights.suffix != ".safetensors" or not weights.is_file():
        raise ConfigError(
            f"{path}: no trained vocoder; give the --out of train-vocoder, its best.safetensors, or a shipped voice: "
            f"{', '.join(shipped())}"
        )
    card = read_card(weights.with_suffix(".json"), CARD, "a vocoder")
    network = build(card["sizes"], card["speakers"] if card["speaker_conditioning"] else ())
    state = read_tensors(weights)
    if differing := _differing(state, network.state_dict()):
        raise ConfigError(f"{weights} does not fit the sizes {card['sizes']} of its card: {', '.join(differing[:3])}")
    network.load_state_dict(state)
    try:
        mel = LogMel(**card["features"])
    except TypeError as error:
        raise ConfigError(f"{weights.with_suffix('.json')}: features {card['features']}: {error}") from None
    return Vocoder(network.eval(), mel, tuple(card["speakers"]), card)


def weights_file(path: Path) -> Path:
    """Return the .safetensors file that a folder of a training, a file or the name of a shipped voice stands for."""
    if str(path) in shipped():
        return WEIGHTS / f"{path}.safetensors"
    return path / "best.safetensors" if path.is_dir() else path


def _differing(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> list[str]:
    """Return the names of tensors that only one side has, or that have two shapes."""
    names = found.keys() | wanted.keys()
    return sorted(n for n in names if n not in found or n not in wanted or found[n].shape != wanted[n].shape)


def build(sizes: dict[str, Any], speakers: Sequence[str]) -> WaveNet:
    """Build a WaveNet with sizes as a card or a configuration holds them.

    Raises: ConfigError if a keyword is not WaveNet's, or a value does not fit.
    """
    keywords = {k: tuple(v) if isinstance(v, list) else v for k, v in sizes.items()}
    try:
        return WaveNet(**keywords, speakers=len(speakers))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"vocoder sizes {sizes}: {error}") from None
