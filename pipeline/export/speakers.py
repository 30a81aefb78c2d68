"""Labels and numbers of speakers, which stay what they are from one export to the next, whoever comes and goes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from clean_corpus.pipeline.corpus.forgotten import Forgotten, label_of

Labels = Callable[[Iterable[str], Mapping[str, str]], dict[str, str]]
"""(own names, labels that are given already) -> label of each name."""


@dataclass(frozen=True)
class Speakers:
    """The speakers of an export by their own names, and what is stored of them and of earlier ones for the next.

    `next` is the number of the next new speaker: more than any number ever was.
    """

    labels: Mapping[str, str]
    numbers: Mapping[str, int]
    stored: list[dict[str, Any]]
    next: int


def assign(names: Iterable[str], earlier: Mapping[str, Any], write: Labels, forgotten: Forgotten) -> Speakers:
    """Return the labels and numbers of speakers; those of an earlier export keep theirs.

    `earlier` is what that export stored, empty for none. Who is absent keeps number and label, the latter for as long
    as nothing of the corpus is forgotten: from then on absent names are stored as the corpus' own digests, since a
    request for recordings does not tell whose they were. A forgotten speaker's number is given to nobody.
    """
    present = set(names)
    known: dict[str, dict[str, Any]] = {}
    nameless = []
    for entry in _entries(present, earlier, write, forgotten):
        if (name := entry.get("name")) is None:
            nameless.append(entry)
        elif name in present or not forgotten.request_of(None, None, name):
            known.setdefault(name, entry)
    labels = write(present, {name: entry["label"] for name, entry in known.items() if "label" in entry})
    numbers, next_number = {name: known[name]["number"] for name in present & known.keys()}, earlier.get("next", 0)
    for name in sorted(present - known.keys(), key=labels.__getitem__):
        numbers[name] = next_number
        next_number += 1
    stored = [{"name": name, "label": labels[name], "number": numbers[name]} for name in present]
    for name in known.keys() - present:
        stored.append(_without_name(known[name], forgotten) if forgotten else known[name])
    stored = sorted([*stored, *nameless], key=lambda entry: entry["number"])
    return Speakers(labels, numbers, stored, next_number)


def _entries(
    present: set[str], earlier: Mapping[str, Any], write: Labels, forgotten: Forgotten
) -> Iterator[dict[str, Any]]:
    """Yield what was stored of each speaker, with the name of those that are there again."""
    digests = {_digest(name, forgotten): name for name in present} if forgotten else {}
    for entry in earlier.get("speakers", ()):
        name = digests.get(entry.get("digest"))
        yield {"name": name, "number": entry["number"]} if name else entry
    # Earlier programs stored labels alone, as they gave them to the names of that time.
    names = {label: name for name, label in write(present, {}).items()}
    for label, number in earlier.get("numbers", {}).items():
        if label in names or not forgotten:
            yield {"name": names.get(label, label), "label": label, "number": number}


def _without_name(entry: Mapping[str, Any], forgotten: Forgotten) -> dict[str, Any]:
    return {"digest": _digest(entry["name"], forgotten), "number": entry["number"]}


def _digest(name: str, forgotten: Forgotten) -> str:
    return forgotten.digest("speaker", label_of(name))
