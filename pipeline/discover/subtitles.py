"""Time-stamped texts of SubRip (.srt), WebVTT (.vtt) and Audacity's labels (.txt)."""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from clean_corpus.pipeline.core.errors import ConfigError

_TIME = r"(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:[.,]\d+)?)"
_ARROW = re.compile(rf"\s*(-?)\s*{_TIME}\s*-{{1,2}}>\s*(-?)\s*{_TIME}(?:\s.*)?$")
_LABEL = re.compile(r"\s*(-?\d+(?:[.,]\d+)?)\t\s*(-?\d+(?:[.,]\d+)?)(?:\t(.*))?$")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>", re.I)
_TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")  # of HTML and WebVTT, and of SubStation Alpha
_DASH = re.compile(r"^\s*(?:-+|\u2013|\u2014|>>+)\s*(?=\S)", re.M)
_SOUNDS = re.compile(r"(?:\[[^\[\]]*\]|\([^()]*\)|[\u2669-\u266c#*]|\s)*")  # what is heard, not what is said


@dataclass(frozen=True)
class Cue:
    """A text with its times in seconds, and the line in which it begins."""

    line: int
    start_s: float
    end_s: float
    text: str
    speaker: str | None = None


def parse_subtitles(content: str) -> Iterator[Cue]:
    """Yield the cues of a SubRip or WebVTT file in their order, those without words left out.

    A cue begins with a line of times, hours optional, decimals after a comma or a point, and goes on to an empty line;
    numbers, names, settings, notes and styles are passed over, and so is formatting. A WebVTT voice (`<v Ann>`) is the
    speaker. Where captions roll up, a line that a cue repeats from the one before it counts once.

    Raises: ConfigError if there is no cue.

    >>> list(parse_subtitles("1\\n00:00:01,500 --> 00:00:02,000\\n<i>Hello</i>,\\nyou.\\n"))
    [Cue(line=2, start_s=1.5, end_s=2.0, text='Hello, you.', speaker=None)]
    """
    lines = [*content.splitlines(), "", "0"]  # the number of a cue that does not come
    at = [number for number, line in enumerate(lines) if "->" in line and _ARROW.match(line)]
    if not at:
        raise ConfigError("no time stamps such as 00:00:01,500 --> 00:00:04,000")
    is_webvtt = content.lstrip("\ufeff").startswith("WEBVTT")
    bodies = [_body(lines[one + 1 : other], is_webvtt) for one, other in pairwise([*at, len(lines)])]
    plain = [[line for line in map(_plain, body) if line] for body in bodies]
    for place, body, texts in zip(at, bodies, _unrolled(plain), strict=True):
        if _SOUNDS.fullmatch(text := " ".join(texts)):
            continue
        before, *start, before_end = _ARROW.match(lines[place]).groups()[:5]
        end = _ARROW.match(lines[place]).groups()[5:]
        voices = {name.strip() for line in body for name in _VOICE.findall(line)}
        speaker = voices.pop() if len(voices) == 1 else None
        yield Cue(place + 1, _seconds(before, start), _seconds(before_end, end), text, speaker)


def _body(lines: list[str], is_webvtt: bool) -> list[str]:
    """Return the lines of a cue's text, without what stands before the times of the next cue.

    In WebVTT a text ends with an empty line; SubRip files have some with an empty line within.
    """
    if is_webvtt:
        return lines[: next((number for number, line in enumerate(lines) if not line.strip()), len(lines))]
    filled = [line for line in lines if line.strip()]
    return filled[:-1] if filled and filled[-1].strip().isdigit() else filled


def _unrolled(texts: list[list[str]]) -> list[list[str]]:
    """Return the lines of each cue without those that roll up from the one before, if most cues have such."""
    before: list[str] = []
    fresh = []
    for lines in texts:
        fresh.append(lines[1:] if before and lines[:1] == before[-1:] else lines)
        before = lines or before
    n_rolled = sum(len(one) < len(other) for one, other in zip(fresh, texts, strict=True))
    return fresh if 2 * n_rolled >= sum(map(bool, texts)) > 2 else texts


def _plain(line: str) -> str:
    text = html.unescape(_TAG.sub("", line)).replace("\u00a0", " ").replace("\\N", " ")
    return " ".join(_DASH.sub("", text).split())


def _seconds(minus: str, clock: Sequence[str]) -> float:
    hours, minutes, seconds = clock
    value = int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))
    return -value if minus else value


def parse_labels(content: str) -> list[Cue] | None:
    """Return the labels of a text file if each of its lines is one of Audacity's, start, end and text between tabs.

    None says that it is a plain text. Lines that give a label's frequencies, which begin with a backslash, are passed
    over.

    >>> parse_labels("0.5\\t1.5\\tHello.\\n"), parse_labels("0.5 is the answer.\\n")
    ([Cue(line=1, start_s=0.5, end_s=1.5, text='Hello.', speaker=None)], None)
    """
    cues = []
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip() or line.startswith("\\"):
            continue
        found = _LABEL.match(line)
        if found is None:
            return None
        start_s, end_s = (float(found[group].replace(",", ".")) for group in (1, 2))
        cues.append(Cue(number, start_s, end_s, " ".join((found[3] or "").split())))
    return [cue for cue in cues if cue.text] if cues else None
