"""Texts and names of speakers as readers take them: on one line, without the separator that they split at."""

import re
import unicodedata
from collections.abc import Callable, Iterable

from anyascii import anyascii

Clean = Callable[[str], str]

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


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return a name of ASCII letters, digits and "_" for each name; those that would become one get a number.

    Lists that are sorted by speaker-clip are then sorted by speaker too: "-" comes before all of these.

    >>> identifiers(["Anna Müller", "anna", "Anna_Muller", "日"])
    {'Anna Müller': 'Anna_Muller', 'Anna_Muller': 'Anna_Muller_2', 'anna': 'anna', '日': 'Ri'}
    """
    made: dict[str, str] = {}
    for name in sorted(set(names)):
        base = wanted = re.sub(r"[^A-Za-z0-9_]+", "_", anyascii(name)).strip("_") or "speaker"
        number = 1
        while wanted in made.values():
            number += 1
            wanted = f"{base}_{number}"
        made[name] = wanted
    return made


def labels(names: Iterable[str]) -> dict[str, str]:
    """Return names of speakers on one line without "|", told apart where that makes two alike.

    >>> labels(["a|b", "a b", "19"])
    {'19': '19', 'a b': 'a b', 'a|b': 'a b 2'}
    """
    made: dict[str, str] = {}
    for name in sorted(set(names)):
        base = wanted = without_bar(name) or "speaker"
        number = 1
        while wanted in made.values():
            number += 1
            wanted = f"{base} {number}"
        made[name] = wanted
    return made


def pandas_labels(names: Iterable[str]) -> dict[str, str]:
    """Return labels that pandas reads as text: numbers and words for a missing value get a prefix.

    >>> pandas_labels(["19", "None", "Anna"])
    {'19': 'speaker 19', 'Anna': 'Anna', 'None': 'speaker None'}
    """
    made = labels(names)
    return {name: f"speaker {label}" if _is_no_text(label) else label for name, label in made.items()}


def _is_no_text(label: str) -> bool:
    return label in MISSING or label.lower() in ("true", "false") or re.fullmatch(r"[-+0-9.eE]+|inf", label) is not None
