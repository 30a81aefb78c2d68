"""Three splits of the utterances of a comparison: train, validation and test, no sentence and no recording in two."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.export.split import key_of_text

Side = Literal["train", "validation", "test"]
SIDES: tuple[Side, ...] = ("train", "validation", "test")

TEST_MOST = 0.2  # of all utterances; of a small corpus fewer are spoken than are asked for
GROUP_MOST = 0.1  # of all utterances; a larger group, of one long recording, stays in train


class Said(NamedTuple):
    """What decides the side of an utterance: its text and the recording it was cut from, None where unknown.

    Its speaker, "" where unknown, does not: vocoders that are told of speakers speak it as that one.
    """

    text: str | None = None
    language: str | None = None
    recording: str | None = None
    speaker: str = ""


class Splits(NamedTuple):
    """The side of each utterance, None for one that is left out, and whether recordings are kept apart too."""

    sides: dict[str, Side | None]
    by: Literal["text and recording", "text"]

    def of(self, side: Side) -> list[str]:
        """Return the utterances of a side."""
        return [key for key, found in self.sides.items() if found == side]

    def counts(self) -> dict[str, int]:
        """Return the number of utterances of each side, and of those left out."""
        found = Counter(self.sides.values())
        return {**{side: found[side] for side in SIDES}, "left_out": found[None]}


def split(said: Mapping[str, Said], common: Collection[str], *, test: int, validation: int, seed: int) -> Splits:
    """Give each utterance its side; so many of those that all sets have are for test and for validation.

    Utterances with the same text, or of the same recording, share a side; those without either fall alone. Where that
    leaves too few groups to choose from, as in a corpus of one long recording, the text alone decides. Fewer than
    `test` are taken where they would be more than TEST_MOST of all. An utterance that fell to test or validation and
    is not wanted there, or not in all sets, is left out: its sentence must not be trained on.
    Raises: DataError if no three splits can be made.
    """
    wanted = {"test": min(test, max(1, int(TEST_MOST * len(common)))), "validation": max(1, validation)}
    most = max(1, int(GROUP_MOST * len(common)))
    for by, kinds in (("text and recording", (_text, _recording)), ("text", (_text,))):  # noqa: B007 - the last counts
        groups = _shuffled(_groups(said, kinds), seed)
        if sum(len(group & set(common)) for group in groups if len(group) <= most) >= sum(wanted.values()):
            break
    sides: dict[str, Side | None] = dict.fromkeys(said, "train")
    for group in groups:
        side = next((side for side, count in wanted.items() if count > 0), None)
        if side is None:
            break
        held = sorted(group & set(common), key=lambda key: _place(seed, key))[: wanted[side]]
        if len(group) <= most and held:
            sides |= {key: side if key in held else None for key in group}
            wanted[side] -= len(held)
    if any(wanted.values()) or not any(side == "train" and key in common for key, side in sides.items()):
        raise DataError(
            f"{len(common)} utterances that all sets have, of {len(groups)} texts: no split into train, validation and "
            "test, each with sentences of its own, can be made; give more utterances"
        )
    return Splits(sides, by)


def _text(key: str, said: Said) -> str | None:
    return f"text {key_of_text(said.text)}" if said.text else None


def _recording(key: str, said: Said) -> str | None:
    return f"recording {said.recording}" if said.recording else None


def _groups(said: Mapping[str, Said], kinds: Sequence[Callable[[str, Said], str | None]]) -> list[set[str]]:
    """Return the utterances that share a name of some kind, directly or through others."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while (above := parents.setdefault(name, name)) != name:
            name = above
        return name

    for key, about in said.items():
        for name in filter(None, (kind(key, about) for kind in kinds)):
            parents[root(name)] = root(f"key {key}")
    groups: dict[str, set[str]] = {}
    for key in said:
        groups.setdefault(root(f"key {key}"), set()).add(key)
    return list(groups.values())


def _shuffled(groups: Iterable[set[str]], seed: int) -> list[set[str]]:
    return sorted(groups, key=lambda group: min(_place(seed, key) for key in group))


def _place(seed: int, key: str) -> str:
    """Return the place of an utterance in an order that depends on its name and the seed alone."""
    return hashlib.sha256(f"{seed} {key}".encode()).hexdigest()
