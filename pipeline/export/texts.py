"""Texts and names of speakers as readers take them: on one line, without the separator that they split at."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping

from anyascii import anyascii

from clean_corpus.pipeline.export.utterances import UNKNOWN

Clean = Callable[[str], str]

NONE_GIVEN: Mapping[str, str] = {}

# What pandas reads as a missing value, in a quoted field too. Source: pandas.read_csv, argument na_values.
MISSING = frozenset(
    {
        "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
        "NULL", "NaN", "None", "n/a", "nan", "null",
    }
)  # fmt: skip


def one_line(text: str) -> str:
    """Return a text with each run of white space, line ends and control characters as one space.

    >>> one_line("One\\r\\n two\\u2028three\\x07.")
    'One two three .'
    """
    visible = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in text)
    return " ".join(visible.split())


def without_bar(text: str) -> str:
    """Return a text on one line without "|", for readers that split there whatever quotes stand around it.

    >>> without_bar("either|or")
    'either or'
    """
    return one_line(text.replace("|", " "))


def identifiers(names: Iterable[str], given: Mapping[str, str] = NONE_GIVEN) -> dict[str, str]:
    """Return a name of ASCII letters, digits and "_" for each name; those that would become one get a number.

    Lists that are sorted by speaker-clip are then sorted by speaker too: "-" comes before all of these.

    >>> identifiers(["Anna Müller", "anna", "Anna_Muller", "日"])
    {'Anna Müller': 'Anna_Muller', 'Anna_Muller': 'Anna_Muller_2', 'anna': 'anna', '日': 'Ri'}
    """
    return _told_apart(names, lambda name: re.sub(r"[^A-Za-z0-9_]+", "_", anyascii(name)).strip("_"), "_", given)


def labels(names: Iterable[str], given: Mapping[str, str] = NONE_GIVEN) -> dict[str, str]:
    """Return names of speakers on one line without "|", told apart where that makes two alike.

    >>> labels(["a|b", "a b", "19"])
    {'19': '19', 'a b': 'a b', 'a|b': 'a b 2'}
    """
    return _told_apart(names, without_bar, " ", given)


def _told_apart(
    names: Iterable[str], written: Callable[[str], str], joint: str, given: Mapping[str, str]
) -> dict[str, str]:
    """Return each name as it is written, with a number behind it where others are written so.

    Names that were `given` one keep it. UNKNOWN is what clips without a speaker get: no other name is written so.
    """
    given = {**given, UNKNOWN: UNKNOWN}
    different, taken = set(names), set(given.values())
    made = {name: given[name] for name in sorted(different & given.keys())}
    for name in sorted(different - given.keys()):
        base = wanted = written(name) or "speaker"
        number = 1
        while wanted in taken:
            number += 1
            wanted = f"{base}{joint}{number}"
        taken.add(wanted)
        made[name] = wanted
    return made


def pandas_labels(names: Iterable[str], given: Mapping[str, str] = NONE_GIVEN) -> dict[str, str]:
    """Return labels that pandas reads as text: numbers and words for a missing value get a prefix.

    >>> pandas_labels(["19", "None", "Anna", "speaker 19"])
    {'19': 'speaker 19', 'Anna': 'Anna', 'None': 'speaker None', 'speaker 19': 'speaker 19 2'}
    """

    def written(name: str) -> str:
        label = without_bar(name)
        return f"speaker {label}" if _is_no_text(label) else label

    return _told_apart(names, written, " ", given)  # after the prefix, which makes "19" another's "speaker 19"


def _is_no_text(label: str) -> bool:
    is_number = re.fullmatch(r"[-+0-9.e]+|[-+]?inf(inity)?", label, re.IGNORECASE) is not None
    return is_number or label in MISSING or label.lower() in ("true", "false")
