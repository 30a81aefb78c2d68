"""The decoder of PocketSphinx with the English models in its wheel."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from clean_corpus.pipeline.core.types import Audio

PEAK = 0.6  # of full scale: its features do not depend on level, but 16 bits should be used


def general_decoder() -> Any:
    """Return a decoder of English with its general language model and whole dictionary."""
    from pocketsphinx import Decoder

    return Decoder(loglevel="FATAL", cmn="batch")


def decoder_of_words(pronunciations: Mapping[str, Sequence[str]], language_model: Path, dictionary: Path) -> Any:
    """Return a decoder that knows some words alone, which is loaded in a tenth of a second.

    `language_model` is their ARPA file; at `dictionary` theirs is written. All states are evaluated, so the score of a
    word tells how much likelier than its own the best states are.
    """
    from pocketsphinx import Decoder

    with dictionary.open("w", encoding="utf-8") as file:
        for word, ways in sorted(pronunciations.items()):
            file.writelines(f"{word}{f'({n})' if n > 1 else ''} {phones}\n" for n, phones in enumerate(ways, 1))
    return Decoder(loglevel="FATAL", cmn="batch", lm=str(language_model), dict=str(dictionary), compallsen=True)


@cache
def dictionary() -> Mapping[str, tuple[str, ...]]:
    """Return the English words of PocketSphinx's dictionary with their pronunciations, phones in ARPABET."""
    from pocketsphinx import get_model_path

    found: dict[str, tuple[str, ...]] = {}
    with open(get_model_path("en-us/cmudict-en-us.dict"), encoding="utf-8") as file:
        for line in file:
            word, phones = line.split(maxsplit=1)
            word = without_variant(word)
            found[word] = (*found.get(word, ()), phones.strip())
    return found


def without_variant(word: str) -> str:
    """Return a word without the number of its pronunciation.

    >>> without_variant("was(2)"), without_variant("was")
    ('was', 'was')
    """
    return word.partition("(")[0]


def decode(decoder: Any, x: Audio) -> None:
    """Run a decoder over one utterance, which leaves no trace in the next.

    Shapes: x (N,) samples at 16 kHz.
    """
    decoder.reinit_feat()  # else the mean of its features goes on from utterance to utterance
    decoder.start_utt()
    decoder.process_raw(pcm(x), full_utt=True)
    decoder.end_utt()


def pcm(x: Audio) -> bytes:
    """Return samples as the decoder takes them: 16 bits, with a peak of 0.6.

    Shapes: x (N,) samples at 16 kHz.

    >>> np.frombuffer(pcm(np.float32([0.1, -0.05])), np.int16).tolist()
    [19660, -9830]
    """
    peak = float(np.abs(x).max(initial=0.0))
    return (x * np.float32(PEAK * 32767 / peak if peak else 0.0)).astype(np.int16).tobytes()
