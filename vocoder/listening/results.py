"""Results of a listening test: answers read, listeners screened, systems compared."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.vocoder.listening.exports import collect, read_export
from clean_corpus.vocoder.listening.key import Key
from clean_corpus.vocoder.listening.screening import screen
from clean_corpus.vocoder.listening.statistics import (
    Comparison,
    Preference,
    Score,
    compare,
    preferences,
    ratings,
    score,
)


@dataclass(frozen=True)
class Results:
    """Everything that the tables, the plot and results.json show."""

    key: Key
    listeners: list[str]
    excluded: dict[str, list[str]]
    scores: list[Score] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)


def analyse(files: Sequence[Path], key: Key) -> Results:
    """Read exports of one or many listeners each, CSV or JSON, then screen listeners and compare systems.

    Raises: DataError if a file cannot be used or no listener is left.
    """
    answers = collect([row for file in files for row in read_export(file, key)])
    reasons = {listener: screen(trials, key) for listener, trials in sorted(answers.items())}
    excluded = {listener: why for listener, why in reasons.items() if why}
    kept = [listener for listener in reasons if listener not in excluded]
    if not kept:
        why = "; ".join(f"{listener}: {', '.join(reasons)}" for listener, reasons in excluded.items())
        raise DataError(
            f"none of {len(excluded)} listeners is left after screening: {why or 'no answers in the files'}"
        )
    counted = [answers[listener] for listener in kept]
    if key.mode == "ab":
        return Results(key, kept, excluded, preferences=preferences(counted, key))
    tables = ratings(counted, key)
    scores = [score(system, tables[system]) for system in key.systems]
    return Results(key, kept, excluded, scores=scores, comparisons=compare(tables, key.reference))
