"""A trained vocoder: weights, and a card that says what frames it speaks from."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.training.loop import write_json
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.wavenet import WaveNet

WEIGHTS = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Vocoder:
    """What generation needs."""

    network: WaveNet
    mel: LogMel
    speakers: tuple[str, ...]
    card: dict[str, Any]


def save_vocoder(path: Path, vocoder: Vocoder) -> None:
    """Write .safetensors, and the card beside it."""
    save_file({k: v.contiguous() for k, v in vocoder.network.state_dict().items()}, path)
    card = {"features": asdict(vocoder.mel), "speakers": list(vocoder.speakers), **vocoder.card}
    write_json(path.with_suffix(".json"), card)


def shipped() -> list[str]:
    """Names of the voices that come with the package."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def load_vocoder(path: Path) -> Vocoder:
    """A folder that was trained in, a .safetensors file in one, or the name of a voice that is shipped.

    Raises: ConfigError if there is none, or if the card beside it is missing or describes other weights.
    """
    if str(path) in shipped():
        path = WEIGHTS / f"{path}.safetensors"
    weights = path / "best.safetensors" if path.is_dir() else path
    if weights.suffix != ".safetensors" or not weights.is_file():
        raise ConfigError(
            f"{path}: no trained vocoder; give the --out of train-vocoder, its best.safetensors, or a shipped voice: "
            f"{', '.join(shipped())}"
        )
    try:
        card = json.loads(weights.with_suffix(".json").read_text())
    except FileNotFoundError:
        raise ConfigError(f"{weights.with_suffix('.json')}: the card of these weights is missing") from None
    network = build(card["sizes"], card["speakers"] if card["speaker_conditioning"] else ())
    state, wanted = load_file(weights), network.state_dict()
    differing = sorted(
        k
        for k in state.keys() | wanted.keys()
        if k not in state or k not in wanted or state[k].shape != wanted[k].shape
    )
    if differing:
        raise ConfigError(f"{weights} does not fit the sizes {card['sizes']} of its card: {', '.join(differing[:3])}")
    network.load_state_dict(state)
    return Vocoder(network.eval(), LogMel(**card["features"]), tuple(card["speakers"]), card)


def build(sizes: dict[str, Any], speakers: tuple[str, ...] | list[str]) -> WaveNet:
    """A WaveNet of sizes as JSON has them.

    Raises: ConfigError if a size is not one of WaveNet's, or one that it cannot have.
    """
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in sizes.items()}
    try:
        return WaveNet(**given, speakers=len(speakers))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"vocoder sizes {sizes}: {error}") from None
