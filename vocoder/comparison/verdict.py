"""What a comparison shows and what it does not, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from clean_corpus.vocoder.comparison.copy_synthesis import COMMON, OWN
from clean_corpus.vocoder.comparison.differences import Difference
from clean_corpus.vocoder.comparison.measures import NAMES

SHOWS = {
    True: "is predicted to sound better than",
    False: "is predicted to sound worse than",
    None: "is not shown to differ from",
}


def sentences(
    rows: Sequence[Difference], opinions: Sequence[str], n_utterances: int, facts: Mapping[str, Any]
) -> list[str]:
    """Say of each system what the first of the opinions shows, what the noise floor is, and what intervals cover."""
    found = {(row.system, row.against, row.frames, row.measure): row for row in rows if row.mean is not None}
    twins = [
        f"“{name}” holds the very audio of “{first}”: the trainings of one stand for both."
        for name, first in facts["twins"].items()
    ]
    if not opinions:
        return ["No vocoder said anything that could be scored: there is no verdict.", *twins]
    headline, aa = opinions[0], facts["aa"]
    floor = found.get((aa["system"], aa["of"], COMMON, headline)) if aa else None
    family = sum(row.p_holm is not None for row in found.values())
    heads = [row for row in found.values() if (row.frames, row.measure) == (COMMON, headline) and row is not floor]
    said = [_of_system(row, found, opinions, family, floor, facts["frames_from"]) for row in heads]
    if floor:
        said.append(_of_floor(floor, headline, aa["of"]))
    return [*said, _cover(n_utterances, facts["seeds"]), *twins]


def _of_system(
    row: Difference,
    found: Mapping[tuple[str, str, str, str], Difference],
    opinions: Sequence[str],
    family: int,
    floor: Difference | None,
    frames_from: str,
) -> str:
    """Return the sentence on one system: from common frames, beside it from its own, and against the floor."""
    corrected = "" if row.p_holm is None else f"; p = {row.p_holm:.2g} after Holm's correction for {family}"
    parts = [
        f"Trained alike and heard from the same frames, those of “{frames_from}”, the vocoder of “{row.system}” "
        f"{SHOWS[row.better]} that of “{row.against}”: {_size(row, corrected)} {NAMES[row.measure]}"
    ]
    for name in opinions[1:]:
        other = found.get((row.system, row.against, COMMON, name))
        parts += [f", {_size(other)} {NAMES[name]}"] if other else []
    parts.append(".")
    if floor and floor.reach is not None and row.better is not None and abs(row.mean) <= floor.reach:
        parts.append(f" Two trainings on the same audio differ as much (up to {floor.reach:.2f}): it may be chance.")
    if own := found.get((row.system, row.against, OWN, row.measure)):
        parts.append(f" From frames of its own set: {_size(own)}.")
    return "".join(parts)


def _of_floor(floor: Difference, headline: str, of: str) -> str:
    limit = "" if floor.reach is None else (
        f": differences smaller than {floor.reach:.2f} are those between two trainings on the same audio"
    )  # fmt: skip
    return f"“{of}” trained once more with other seeds differs from itself by {_size(floor)} {NAMES[headline]}{limit}."


def _cover(n_utterances: int, seeds: int) -> str:
    if seeds == 1:
        return (
            f"Each set was trained once, and {n_utterances} utterances were heard: the intervals cover other "
            "utterances, not another training; --seeds 3 makes them cover both."
        )
    return f"Means and intervals are over {n_utterances} utterances and {seeds} trainings of each set."


def _size(row: Difference, more: str = "") -> str:
    if row.low is None:
        return f"{row.mean:+.2f}"
    return f"{row.mean:+.2f} (95 % interval {row.low:+.2f} to {row.high:+.2f}{more})"
