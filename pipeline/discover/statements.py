"""Statements of one manifest on one recording, put together; of two that contradict each other neither counts."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from clean_corpus.pipeline.core.types import Metadata, TimedText, overlay

_FIELDS = tuple(vars(Metadata()))


@dataclass(frozen=True)
class Statement:
    """What a line says of a part of a recording; of two statements of one part at most one can be right.

    With an end, in seconds, its text is spoken from the start to there.
    """

    line: int
    part: str
    says: Metadata
    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class Contradiction:
    """A line that says something else than an earlier one of the same."""

    line: int
    words: str


def merge_statements(
    statements: Iterable[Statement],
) -> tuple[Metadata, tuple[TimedText, ...], list[Contradiction]]:
    """Return the metadata and time-stamped texts that statements in the order of time give, and lines that contradict.

    Texts of parts are joined, and other fields are kept if all agree. A part that is told twice alike counts once. A
    field in which two statements of one part differ is left out, and so is the time-stamped text of that part.

    >>> one, other = (Statement(line, "", Metadata(text)) for line, text in ((1, "a"), (2, "b")))
    >>> metadata, _, [contradiction] = merge_statements([one, other])
    >>> metadata.text, contradiction.words
    (None, "its text is 'b', and 'a' in line 1; neither is used, keep one of the lines")
    """
    parts: dict[str, Statement] = {}
    disputed: set[str] = set()
    contested: set[str] = set()
    contradictions = []
    for statement in statements:
        first = parts.setdefault(statement.part, statement)
        if first is statement:
            continue
        words = []
        for name in _FIELDS:
            own, known = getattr(statement.says, name), getattr(first.says, name)
            if None not in (own, known) and own != known:
                contested.add(name)
                words.append(f"its {name} is {own[:60]!r}, and {known[:60]!r} in line {first.line}")
        if words:
            advice = "neither is used, keep one of the lines"
            disputed.add(statement.part)
            contradictions.append(Contradiction(statement.line, f"{', '.join(words)}; {advice}"))
        else:
            parts[statement.part] = replace(first, says=overlay(statement.says, first.says))
    says = replace(_join([part.says for part in parts.values()]), **dict.fromkeys(contested))
    timed = tuple(
        TimedText(part.start_s, part.end_s, part.says.text, part.says.speaker)
        for part in parts.values()
        if part.end_s is not None and part.says.text and part.part not in disputed
    )
    return says, timed, contradictions


def _join(parts: list[Metadata]) -> Metadata:
    agreed = {}
    for name in _FIELDS:
        values = {getattr(says, name) for says in parts} - {None}
        agreed[name] = values.pop() if len(values) == 1 else None
    return Metadata(**agreed | {"text": " ".join(says.text for says in parts if says.text) or None})
