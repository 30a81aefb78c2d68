"""Aligners of the texts of long recordings, as the settings name them."""

import importlib.metadata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from clean_corpus.pipeline.core import extras
from clean_corpus.pipeline.core.config import TextConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.text import long_alignment
from clean_corpus.pipeline.text.alignment import Alignment
from clean_corpus.pipeline.text.ctc_aligner import CtcEngine, check_model, model_digest
from clean_corpus.pipeline.text.languages import ENGLISH, language_code
from clean_corpus.pipeline.text.sphinx_aligner import SphinxEngine
from clean_corpus.pipeline.text.spool import Piece


@dataclass(frozen=True)
class Aligner:
    """Finds out when each word of a text is spoken; `name` says what computes it, and decides results."""

    name: str
    engine: Callable[[str | None], long_alignment.Engine | None]
    """(code of the language, None for unknown) -> the model for it, None if there is none."""
    language: str | None

    def __call__(self, pieces: Iterable[Piece], text: str, language: str | None) -> Alignment | None:
        """Return when the words of a text are spoken in a recording, None if nobody knows.

        `pieces` are the recording's speech in the order of time.
        """
        engine = self.engine(language_code(language or self.language))
        return long_alignment.align(engine, pieces, text) if engine else None


def open_aligner(config: TextConfig) -> Aligner | None:
    """Return the aligner of the settings, None for none; its model is loaded with the first text.

    Raises: ConfigError that names the setting if it cannot work.
    """
    kind = config.aligner
    if kind == "auto":
        kind = "ctc" if config.aligner_model else "pocketsphinx" if extras.is_installed("pocketsphinx") else None
    if kind is None:
        return None
    own = f"alignment {long_alignment.VERSION}, language {config.language}"
    if kind == "pocketsphinx":
        extras.require("pocketsphinx", "align", "text.aligner=pocketsphinx")
        name = f"pocketsphinx {importlib.metadata.version('pocketsphinx')}, {own}"
        return Aligner(name, _sphinx, config.language)
    if config.aligner_model is None:
        raise ConfigError("text.aligner=ctc wants a network; set text.aligner_model to its .onnx file")
    path = config.aligner_model.expanduser()
    check_model(path)
    loaded: list[CtcEngine] = []

    def engine(_: str | None) -> CtcEngine:
        if not loaded:
            loaded.append(CtcEngine(path))
        return loaded[0]

    return Aligner(f"ctc {model_digest(path)}, {own}", engine, config.language)


def _sphinx(language: str | None) -> SphinxEngine | None:
    return SphinxEngine(is_english=language == ENGLISH) if language in (None, ENGLISH) else None
