"""A base: a trained vocoder from whose weights a training starts, instead of random ones."""

import inspect
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.recording_list import RecordingList
from clean_corpus.vocoder.checkpoint import Vocoder, load_vocoder, weights_file
from clean_corpus.vocoder.training.config import EMPHASIS, FeatureConfig, VocoderConfig
from clean_corpus.vocoder.wavenet import WaveNet


class Base(NamedTuple):
    """A trained vocoder, and the hash of its weights."""

    name: str
    vocoder: Vocoder
    sha256: str

    def about(self) -> dict[str, Any]:
        """Return what the card of a training says of it."""
        card = self.vocoder.card
        return {"weights": self.name, "sha256": self.sha256} | {k: card[k] for k in ("steps", "data") if k in card}

    def recordings(self) -> RecordingList | None:
        """Return the list of what it has heard, None if there is none beside its weights."""
        return recording_list.read(weights_file(Path(self.name)))


def resolve(config: VocoderConfig) -> tuple[VocoderConfig, Base | None]:
    """Return the configuration with the sizes, the pre-emphasis and the features of its base, and the base if any.

    A base without a source of harmonics may be given one.
    Raises: ConfigError if the base is not there, or has other sizes, pre-emphasis or features than the configuration.
    """
    if config.start_from is None:
        emphasis = EMPHASIS if config.emphasis is None else config.emphasis
        return config.model_copy(update={"emphasis": emphasis}), None
    path = Path(config.start_from)
    vocoder = load_vocoder(path)
    sizes = dict(vocoder.card["sizes"])
    frames, features = asdict(vocoder.mel), config.features.model_dump(exclude_unset=True)
    if "f_max_hz" in features:
        features["f_max_hz"] = features["f_max_hz"] or features.get("sample_rate", frames["sample_rate"]) / 2
    there = _defaults() | sizes | {f"features.{k}": v for k, v in frames.items()}
    asked = config.sizes | ({} if config.emphasis is None else {"emphasis": config.emphasis})
    asked |= {f"features.{k}": v for k, v in features.items()}
    if not there["harmonics"] and (harmonics := asked.pop("harmonics", 0)):
        sizes["harmonics"] = harmonics  # a fresh source adds nothing to what the base does
    for name, value in asked.items():
        if _plain(there.get(name)) != _plain(value):
            raise ConfigError(
                f"start_from {config.start_from}: its {name} is {there.get(name)}, this training's {value}; give the "
                "base's, or leave it out"
            )
    emphasis = float(sizes.pop("emphasis", 0.0))
    if frames["f_max_hz"] == frames["sample_rate"] / 2:
        frames["f_max_hz"] = None  # as it stands in run.json where nothing is set
    base = Base(config.start_from, vocoder, sha256_file(weights_file(path)))
    return config.model_copy(update={"sizes": sizes, "emphasis": emphasis, "features": FeatureConfig(**frames)}), base


def _defaults() -> dict[str, Any]:
    """Return the sizes that a card may leave out."""
    parameters = inspect.signature(WaveNet).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _plain(value: Any) -> Any:
    """Return a value as JSON would hold it."""
    return list(value) if isinstance(value, tuple) else value


def start(network: WaveNet, base: Vocoder, speakers: Sequence[str]) -> None:
    """Set the weights of a network to those of its base, with the normalisation of frames that these have learnt.

    `speakers` are the network's, if it has an embedding for each. A speaker whom the base knows keeps the embedding,
    another one begins with the mean of the base's, and with zeros if it has none. Without speakers the network begins
    with the voice of that mean.
    """
    state = dict(base.network.state_dict())
    known = state.pop("speaker.weight", None)
    if network.speaker is not None:
        state["speaker.weight"] = _embeddings(network.speaker.weight, known, base.speakers, speakers)
    if base.network.source is None and network.source is not None:
        state |= {f"source.{name}": x for name, x in network.source.state_dict().items()}
    network.load_state_dict(state)
    if network.speaker is None and known is not None:
        with torch.no_grad():
            for block in network.blocks:  # what a layer's projection would have added for the embedding
                block.dilated.bias += block.conditioning.weight[:, :, 0] @ known.mean(0)


def _embeddings(fresh: Tensor, known: Tensor | None, names: Sequence[str], speakers: Sequence[str]) -> Tensor:
    """Return the first embedding of each speaker, (S, C), from those of the base, (R, C)."""
    if known is None:
        return torch.zeros_like(fresh)
    by_name = dict(zip(names, known, strict=True))
    return torch.stack([by_name.get(name, known.mean(0)) for name in speakers])
