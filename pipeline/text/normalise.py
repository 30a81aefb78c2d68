"""Forms of a text: as it is published, and as it is compared with another."""

import re
import unicodedata
from dataclasses import replace

from clean_corpus.pipeline.core.types import Clip

_JOINERS = "\u200c\u200d"  # between letters of Persian, Hindi and others they are spelling
_FIRST_JOINED = "\u0600"  # Arabic: scripts before it have no use for joiners
_HYPHENS = re.compile(r"(?<=\w)[-\u2010\u2011/](?=\w)")
_APOSTROPHES = dict.fromkeys(map(ord, "'\u2019\u02bc\u02bb`\u00b4"))
_SPACELESS = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003134f]"
)


def clean_text(text: str | None) -> str | None:
    r"""Return a text in Unicode's form NFC on one line, without control, direction and zero-width characters.

    Joiners stay between letters of the scripts that spell with them. None if nothing is left.

    >>> clean_text("\ufeffCafe\u0301\u200b \x07 au\n lait\u00a0")
    'Café au lait'
    """
    if text is None:
        return None
    text = "".join(" " if c.isspace() else c for c in text)
    kept = (c for at, c in enumerate(text) if unicodedata.category(c) not in ("Cc", "Cf", "Cs") or _joins(text, at))
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split()) or None


def with_clean_text(clip: Clip) -> Clip:
    """Return a clip with its text cleaned; `text_original` is the one that it had, where that is another."""
    text = clip.metadata.text
    clean = clean_text(text)
    if clean == text:
        return clip
    return replace(clip, metadata=replace(clip.metadata, text=clean), text_original=text)


def _joins(text: str, at: int) -> bool:
    """Return whether the character at a place is a joiner between letters that may be joined."""
    around = text[max(at - 1, 0) : at] + text[at + 1 : at + 2]
    return (
        text[at] in _JOINERS
        and len(around) == 2
        and all(c >= _FIRST_JOINED and unicodedata.category(c)[0] in "LM" for c in around)
    )


def comparable(text: str) -> str:
    """Return the words of a text in which two transcripts of one utterance are alike, one space between them.

    Case, width, punctuation, symbols and apostrophes do not count; hyphens part words; digits stay digits.

    >>> comparable("“Don't!” said Mr. O’Neill\u2014at ９:30, half-hearted.")
    'dont said mr oneill at 9 30 half hearted'
    """
    text = unicodedata.normalize("NFKC", text).casefold().translate(_APOSTROPHES)
    marks = (" " if unicodedata.category(c)[0] in "PSZC" else c for c in _HYPHENS.sub(" ", text))
    return " ".join(unicodedata.normalize("NFC", "".join(marks)).split())


def letters(text: str) -> str:
    """Return the letters and digits of a text that count in a comparison, without spaces.

    >>> letters("Half-hearted, you?")
    'halfheartedyou'
    """
    return comparable(text).replace(" ", "")


def is_spaceless(character: str) -> bool:
    """Return whether a character is of a script that parts no words by spaces: Chinese, Japanese, Thai, Khmer ...

    >>> is_spaceless("語"), is_spaceless("a"), is_spaceless("한")
    (True, False, False)
    """
    return _SPACELESS.match(character) is not None
