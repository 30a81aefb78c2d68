"""Recognisers that write down what is spoken in a clip, behind one interface."""

import hashlib
import importlib.metadata
import os
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from clean_corpus.pipeline.core import extras
from clean_corpus.pipeline.core.config import TextConfig
from clean_corpus.pipeline.core.errors import ConfigError, nearest
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.text.languages import ENGLISH, language_code
from clean_corpus.pipeline.text.sphinx import decode, general_decoder

RATE = 16000  # Hz, of every recogniser here
MODEL_FILES = ("config.json", "model.bin", "tokenizer.json")
_PACKAGES = {"faster-whisper": ("faster-whisper", "ctranslate2"), "pocketsphinx": ("pocketsphinx",)}


class Transcriber(Protocol):
    """A recogniser of one worker."""

    def transcribe(self, x: Audio, *, language: str | None) -> str | None:
        """Return what is spoken in a clip, an empty text for nothing; None if it does not know the language.

        Shapes: x (N,) samples at RATE. `language` is a code of ISO 639-1, None for unknown.
        """
        ...


class Sphinx:
    """PocketSphinx with the English models in its wheel: a stand-in on every machine, far from today's recognisers."""

    def __init__(self) -> None:
        self._decoder = general_decoder()

    def transcribe(self, x: Audio, *, language: str | None) -> str | None:
        """Return the words of a clip in lower case, without punctuation."""
        if language not in (None, ENGLISH):
            return None
        decode(self._decoder, x)
        found = self._decoder.hyp()
        return found.hypstr if found else ""


class Whisper:
    """Whisper run by CTranslate2, from a folder in its format.

    Greedy fallbacks that draw at random are off, so a clip gets the same text every time.
    """

    def __init__(self, folder: str) -> None:
        import ctranslate2
        from faster_whisper import WhisperModel

        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        self._model: Any = WhisperModel(folder, device=device, cpu_threads=1, local_files_only=True)

    def transcribe(self, x: Audio, *, language: str | None) -> str | None:
        """Return the text of a clip with case and punctuation; a language that Whisper does not know is detected."""
        known = self._model.supported_languages
        segments, _ = self._model.transcribe(
            x,
            language=language if language in known else None,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(" ".join(segment.text for segment in segments).split())


def open_transcriber(config: TextConfig) -> Transcriber:
    """Return the recogniser that the settings name, loaded.

    Raises: ConfigError as model_folder.
    """
    return Sphinx() if config.transcriber == "pocketsphinx" else Whisper(str(model_folder(config)))


def identity(config: TextConfig) -> str:
    """Return what decides the text that a recogniser writes: its packages and the hash of its model.

    Raises: ConfigError as model_folder.
    """
    names = _PACKAGES[str(config.transcriber)]
    packages = [f"{package} {importlib.metadata.version(package)}" for package in names]
    return " ".join(packages + ([_folder_digest(model_folder(config))] if config.transcriber != "pocketsphinx" else []))


def check_transcriber(config: TextConfig) -> None:
    """Refuse settings with which nothing could be transcribed.

    Raises: ConfigError that names the extra or the setting.
    """
    if config.transcriber is None:
        return
    if config.transcriber == "pocketsphinx":
        extras.require("pocketsphinx", "align", "text.transcriber=pocketsphinx")
        if language_code(config.language) not in (None, ENGLISH):
            raise ConfigError(
                f"text.transcriber pocketsphinx knows English alone, text.language is {config.language}; "
                "set text.transcriber=faster-whisper"
            )
        return
    extras.require("faster_whisper", "transcribe", "text.transcriber=faster-whisper")
    model_folder(config)


def model_folder(config: TextConfig) -> Path:
    """Return the folder of the faster-whisper model; with text.download, one that the hub gives a name's model in.

    Raises: ConfigError if there is none, or a file is missing without which one would be downloaded.
    """
    if config.model is None:
        raise ConfigError("text.transcriber=faster-whisper wants a model; set text.model to its folder")
    folder = Path(config.model).expanduser()
    if not folder.is_dir():
        if not config.download:
            raise ConfigError(
                f"text.model {config.model}: no such folder; give one with {', '.join(MODEL_FILES)}, or set "
                "text.download=true to fetch a model of that name"
            )
        folder = _downloaded(config.model)
    missing = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if missing:
        raise ConfigError(f"text.model {folder} lacks {', '.join(missing)}; give a folder in the format of CTranslate2")
    return folder


@cache
def _downloaded(name: str) -> Path:
    os.environ["HF_HUB_OFFLINE"] = "0"  # before the hub's library is imported, which reads it then
    from faster_whisper import available_models, download_model

    if "/" not in name and name not in available_models():
        raise ConfigError(f"text.model {name!r} is no folder and no name of a model{nearest(name, available_models())}")
    try:
        return Path(download_model(name))
    except Exception as error:
        raise ConfigError(f"text.model {name}: it could not be downloaded: {error}") from None


@cache
def _folder_digest(folder: Path) -> str:
    """Return a hash of a model's files, once in a process: they are read whole."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256(repr([(path.name, sha256_file(path)) for path in files]).encode()).hexdigest()[:32]
