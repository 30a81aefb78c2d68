"""Tables of recordings as text: separators, quotes, header lines, and what columns without a header may mean."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.manifest_columns import SEPARATORS, Columns, choose_columns, field_of

Quoting = Literal["none", "needed", "always"]
"""Quotes around a column are text; or the writer's where it had to quote; or always the writer's."""

_MAX_SAMPLED = 2000  # lines in which the meaning of columns without a header is looked for
_ORDER = tuple(dict.fromkeys(SEPARATORS.values()))
LJSPEECH = Columns(name=0, text=(2, 1), names=("id", "text", "normalised"), name_is_id=True)


@dataclass(frozen=True)
class Dialect:
    """How the lines of a table are read: separator, quoting, columns, and whether the first line is a header."""

    separator: str
    quoting: Quoting
    columns: Columns
    has_header: bool
    declared: bool = False


def split_columns(line: str, separator: str, quoting: Quoting) -> list[str] | None:
    r"""Return the stripped columns of a line, or None if a quote in it is never closed.

    Departs: from RFC 4180 in that a quote that does not begin a column, or is not followed by a separator, is text;
    and with "needed", so are quotes around a column that holds neither a separator nor doubled quotes.

    >>> split_columns('a,"b, c", d', ",", "always"), split_columns('a|"b."|d', "|", "needed")
    (['a', 'b, c', 'd'], ['a', '"b."', 'd'])
    """
    if quoting == "none" or '"' not in line:
        return [column.strip() for column in line.split(separator)]
    columns, start = [], 0
    while True:
        end = -1
        while line[start : start + 1] == " " != separator:
            start += 1
        if line[start : start + 1] == '"':
            end = _closing_quote(line, start + 1, separator)
            if end < 0 and quoting == "always":
                return None
        inner = line[start + 1 : end] if end >= 0 else ""
        if end >= 0 and (quoting == "always" or separator in inner or '""' in inner):
            columns.append(inner.replace('""', '"').strip())
            end = line.find(separator, end + 1)
        else:
            end = line.find(separator, start)
            columns.append(line[start : end if end >= 0 else None].strip())
        if end < 0:
            return columns
        start = end + 1


def _closing_quote(line: str, start: int, separator: str) -> int:
    """Return where the quote stands that closes a column opened before `start`, -1 if none does."""
    while (found := line.find('"', start)) >= 0:
        if line[found + 1 : found + 2] == '"':
            start = found + 2
        else:
            after = found + 1
            while line[after : after + 1] == " ":
                after += 1
            if line[after : after + 1] in ("", separator):
                return found
            start = found + 1
    return -1


def header_dialect(line: str, separator: str | None) -> Dialect | None:
    """Return the dialect that a header line tells, None if the line is no header.

    A header has a column that names the recording, and another one that is known.

    Raises: ConfigError if two of its columns mean the same.
    """
    best: tuple[int, str, list[str]] | None = None
    for candidate in [separator] if separator else _ORDER:
        names = split_columns(line, candidate, "always") or []
        fields = {field_of(name) for name in names} - {None}
        if fields & {"audio", "id"} and fields - {"audio", "id", "language"} and (best is None or len(names) > best[0]):
            best = len(names), candidate, names
    if best is None:
        return None
    _, found, names = best
    quoting: Quoting = "always" if found in ",;" or line.lstrip().startswith('"') else "needed"
    return Dialect(found, quoting, choose_columns(names), has_header=True)


def declared_dialect(line: str, separator: str | None, columns: Columns) -> Dialect:
    """Return the dialect of a table whose columns are declared; its first line tells the separator, unless given.

    Raises: ConfigError if no separator gives as many columns.
    """
    for candidate in [separator] if separator else _ORDER:
        quoting: Quoting = "always" if candidate in ",;" or line.lstrip().startswith('"') else "needed"
        names = split_columns(line, candidate, quoting) or []
        if separator or len(names) == len(columns.names):
            cells = dict(enumerate(names))
            plain = all(" " not in cells.get(place, "") for place in columns.text)
            has_header = plain and field_of(cells.get(columns.name, "")) in ("audio", "id")
            return Dialect(candidate, quoting, columns, has_header, declared=True)
    declared = "|".join(columns.names)
    raise ConfigError(
        f"no separator gives the {len(columns.names)} columns of manifest.columns={declared}: {line[:80]!r}"
    )


def unknown_header(line: str) -> str | None:
    """Return what is wrong with a first line that looks like a header of columns that are not known, else None."""
    for separator in _ORDER:
        names = split_columns(line, separator, "always") or []
        plain = all(re.fullmatch(r"[A-Za-z][\w-]*", name) for name in names)
        if len(names) > 1 and plain and field_of(names[0]) in ("audio", "id"):
            return (
                f"its header {line[:80]!r} has no column of text or speaker that is known; name it text, "
                "or set manifest.columns"
            )
    return None


@dataclass
class _Pairs:
    """What stands beside a value of one column in another one, in a sample of lines."""

    partners: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    many: set[str] = field(default_factory=set)

    def add(self, value: str, partner: str) -> None:
        self.lines[value] = self.lines.get(value, 0) + 1
        if self.partners.setdefault(value, partner) != partner:
            self.many.add(value)

    def repeated(self) -> tuple[int, str]:
        """Return in how many lines a value has a partner of several, and the most frequent such value."""
        value = max(self.many, key=lambda value: self.lines[value], default="")
        return sum(self.lines[value] for value in self.many), value


def ambiguous_columns(lines: Iterable[str], separator: str = "|") -> str | None:
    """Return why lines of three columns without a header are not surely id|text|normalised text, None if they are.

    A text always has the same normalised text, and mostly shares words with it. A speaker stands beside many texts,
    shares none, and is shorter.
    """
    second, third = _Pairs(), _Pairs()
    count = unlike = short = 0
    for line in lines:
        columns = [column.strip() for column in line.split(separator)]
        if len(columns) != 3 or not columns[1]:
            continue
        count += 1
        if count > _MAX_SAMPLED:
            break
        if _words(columns[1]) & _words(columns[2]) or columns[1] == columns[2]:
            continue
        second.add(columns[1][:200], columns[2][:200])
        if columns[2]:
            unlike += 1
            short += 2 * len(columns[2]) < len(columns[1])
            third.add(columns[2][:200], columns[1][:200])
    for pairs, place, other in ((second, "second", "third"), (third, "third", "second")):
        lines_of, value = pairs.repeated()
        if lines_of >= 2 and 2 * lines_of >= min(count, _MAX_SAMPLED):
            return f"{value[:40]!r} is the {place} column of lines whose {other} differs, so it may be a speaker"
    if count and short == unlike == min(count, _MAX_SAMPLED):
        return "the third column is short and shares no word with the second, so it may be a speaker"
    return None


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def wrong_count(columns: Sequence[str], dialect: Dialect) -> str | None:
    """Return what is wrong with the number of columns of a line, None if nothing is."""
    expected = len(dialect.columns.names)
    if dialect.columns is LJSPEECH:
        if len(columns) < 2 or not columns[0]:
            line = dialect.separator.join(columns)
            return f"expected id|text, got {line[:80]!r}; give other columns a header, or set manifest.columns"
        if len(columns) > 3:
            return f"{len(columns)} columns, and no header says what they are; add one, or set manifest.columns"
        return None
    if len(columns) == expected:
        return None
    said = "manifest.columns has" if dialect.declared else "the header has"
    return (
        f"{len(columns)} columns, {said} {expected} ({dialect.separator.join(dialect.columns.names)[:80]}); "
        "a separator inside a column wants quotes around it"
    )
