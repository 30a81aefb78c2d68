"""Time-stamped texts of Praat's TextGrids, long or short, and the tiers of them that hold utterances."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.discover.subtitles import Cue

_TOKEN = re.compile(r'"((?:[^"]|"")*)"|<(\w+)>|(?<![^\s=:])(-?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?)(?![^\s!])')
_FINER = re.compile(r"(?i)(?:.*[\s_-])?(?:words?|phones?|phonemes?|syllables?|segments?|mau|kan|ort-mau|tones?)$")
_UTTERANCES = re.compile(r"(?i)(?:utterances?|utts?|sentences?|phrases?|transcripts?|transcription|text|trn)$")
_SILENT = {"", "sil", "sp", "spn", "<sil>", "<p>", "<p:>", "<eps>", "<silence>", "#", "_"}


@dataclass
class Tier:
    """A tier of intervals: its name, and its marks that are not empty."""

    name: str
    cues: list[Cue] = field(default_factory=list)


def parse_textgrid(content: str, tier: str | None = None) -> list[Cue]:
    """Return the utterances of a TextGrid, in the order of its tiers.

    They are those of the tier that is named; else of the one whose name says so (utterances, sentences, text ...); else
    of every tier of intervals whose name does not say that it holds words, phones or the like; if these are several, as
    one tier a speaker, the name is the speaker's.

    Raises: ConfigError if it is no TextGrid, or no tier is left.
    """
    tiers = list(_tiers(content))
    names = ", ".join(repr(one.name) for one in tiers) or "no tiers of intervals"
    if tier is not None:
        chosen = [one for one in tiers if one.name.casefold() == tier.casefold()]
        if not chosen:
            raise ConfigError(f"no tier of intervals is called {tier!r}, as manifest.tier says; there are {names}")
        return [cue for one in chosen for cue in one.cues]
    known = [one for one in tiers if _UTTERANCES.match(one.name.strip())]
    chosen = known[:1] or [one for one in tiers if not _FINER.match(one.name.strip())]
    if not chosen:
        raise ConfigError(f"no tier holds utterances: there are {names}; name one with manifest.tier")
    return [_spoken_by(cue, chosen, one.name) for one in chosen for cue in one.cues]


def _spoken_by(cue: Cue, tiers: Sequence[Tier], name: str) -> Cue:
    speaker = name.strip() if len(tiers) > 1 else None
    return Cue(cue.line, cue.start_s, cue.end_s, cue.text, speaker or None)


def _tiers(content: str) -> Iterator[Tier]:
    """Yield the tiers of intervals; both forms hold the same strings and numbers in the same order.

    Source: Praat manual, TextGrid file formats: free-standing numbers, strings and flags count, all else is comment.
    """
    tokens = iter(_tokens(content))
    try:
        if not str(next(tokens)[1]).startswith("ooTextFile") or next(tokens)[1] != "TextGrid":
            raise ConfigError('no TextGrid: it does not begin with File type = "ooTextFile", Object class = "TextGrid"')
        next(tokens), next(tokens)  # the times of the whole
        if next(tokens)[1] != "exists":
            return
        for _ in range(int(_number(tokens))):
            kind, name = next(tokens)[1], next(tokens)[1]
            next(tokens), next(tokens)
            found = Tier(str(name))
            for _ in range(int(_number(tokens))):
                line, start_s = next(tokens)
                end_s = _number(tokens) if kind == "IntervalTier" else start_s
                text = " ".join(str(next(tokens)[1]).split())
                if text.casefold() not in _SILENT:
                    found.cues.append(Cue(line, float(start_s), float(end_s), text))
            if kind == "IntervalTier":
                yield found
    except (StopIteration, ValueError):
        raise ConfigError("the TextGrid ends early, or its numbers do not fit; save it anew with Praat") from None


def _number(tokens: Iterator[tuple[int, str | float]]) -> float:
    return float(next(tokens)[1])


def _tokens(content: str) -> Iterator[tuple[int, str | float]]:
    """Yield the line and the value of each string, number and flag that stands free."""
    line, at = 1, 0
    for found in _TOKEN.finditer(content):
        line += content.count("\n", at, found.start())
        at = found.start()
        if found[1] is not None:
            yield line, found[1].replace('""', '"')
        elif found[2] is not None:
            yield line, found[2]
        else:
            yield line, float(found[3].replace(",", "."))
