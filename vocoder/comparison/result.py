"""The result of a comparison: scores of every utterance, means, differences, and a verdict in words."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.statistics import Column, anova, mean, wilcoxon
from clean_corpus.pipeline.training.loop import write_json
from clean_corpus.vocoder.comparison.copy_synthesis import Spoken
from clean_corpus.vocoder.comparison.measures import LOWER_IS_BETTER, MEASURES, OPINION

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""System -> its validation loss by step."""


class Cell(NamedTuple):
    """A mean over utterances and its interval; None where nothing was measured."""

    mean: float | None
    low: float | None
    high: float | None


class Difference(NamedTuple):
    """Difference between a set's vocoder and the first set's, paired by utterance."""

    system: str
    against: str
    measure: str
    mean: float | None
    low: float | None
    high: float | None
    p: float | None

    @property
    def better(self) -> bool | None:
        """True if the set's vocoder is better, False if it is worse, None if the interval holds zero."""
        if self.mean is None or self.low is None or self.low <= 0 <= self.high:
            return None
        return (self.mean > 0) != (self.measure in LOWER_IS_BETTER)


Columns = dict[tuple[str, str | None], dict[str, Column]]
"""(system, frames) -> measure -> value of each utterance."""


def columns(spoken: Sequence[Spoken], keys: Sequence[str]) -> Columns:
    """Arrange scores by system and frames, utterances in the order of `keys`."""
    at = {key: i for i, key in enumerate(keys)}
    found: Columns = {}
    for row in spoken:
        table = found.setdefault((row.system, row.frames), {name: np.full(len(keys), np.nan) for name in MEASURES})
        for name, value in row.scores.items():
            table[name][at[row.utterance]] = np.nan if value is None else value
    return found


def differences(found: Columns, systems: Sequence[str]) -> list[Difference]:
    """Compare every system's vocoder, speaking frames of its own set, with the first system's."""
    first = systems[0]
    rows = []
    for system in systems[1:]:
        for measure in MEASURES:
            a, b = found[system, "own"][measure], found[first, "own"][measure]
            _, _, value, low, high = mean(a - b)
            rows.append(Difference(system, first, measure, value, low, high, wilcoxon(a, b)[2]))
    return rows


def verdict(rows: Sequence[Difference], n_utterances: int) -> list[str]:
    """Say in a sentence for each system what its predicted opinion shows, and what it does not show."""
    sentences = []
    for row in rows:
        if row.measure != OPINION or row.mean is None:
            continue
        size = f"{row.mean:+.2f}" + ("" if row.low is None else f" (95 % interval {row.low:+.2f} to {row.high:+.2f})")
        shows = {
            True: "is predicted to sound better than",
            False: "is predicted to sound worse than",
            None: "is not shown to differ from",
        }[row.better]
        sentences.append(
            f"Trained alike on the same utterances, the vocoder of “{row.system}” {shows} that of “{row.against}”: "
            f"{size} predicted MOS over {n_utterances} utterances."
        )
    return sentences


def write_result(
    spoken: Sequence[Spoken],
    keys: Sequence[str],
    curves: Curves,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    out: Path,
) -> None:
    """Write scores.csv, result.json and verdict.txt below `out`."""
    write_scores(spoken, out / "scores.csv")
    systems = list(curves)
    found = columns(spoken, keys)
    rows = differences(found, systems)
    sentences = verdict(rows, len(keys)) + [
        f"“{name}” holds the very audio of “{first}”: one training stands for both."
        for name, first in facts["twins"].items()
    ]
    groups = {(s, f): {m: Cell(*mean(c)[2:]) for m, c in table.items()} for (s, f), table in found.items()}
    tests = {m: anova([found[s, "own"][m] for s in systems]) for m in MEASURES}
    write_json(
        out / "result.json",
        {
            **facts,
            "verdict": sentences,
            "means": [
                {"system": s, "frames": f, **{m: c._asdict() for m, c in t.items()}} for (s, f), t in groups.items()
            ],
            "differences": [row._asdict() for row in rows],
            "anova": {m: {"f": f, "p": p, "critical": c} for m, (_, f, p, c) in tests.items()},
            "utterances": list(keys),
            "curves": curves,
            "settings": config,
        },
    )
    (out / "verdict.txt").write_text("".join(f"{sentence}\n" for sentence in sentences))


def read_result(out: Path) -> tuple[dict[str, Any], Columns]:
    """Read the result that a comparison left in `out`, and the scores of every utterance.

    Raises: ConfigError if no comparison lies in `out`.
    """
    try:
        result = json.loads((out / "result.json").read_text())
    except OSError:
        raise ConfigError(f"{out}: no comparison lies there (no result.json); give the --out of compare") from None
    return result, columns(read_scores(out / "scores.csv"), result["utterances"])


def write_scores(spoken: Sequence[Spoken], path: Path) -> None:
    """Write a line of scores for each utterance, system and frames; empty where nothing was measured."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("system", "frames", "utterance", *MEASURES))
        for row in spoken:
            values = (row.scores[m] for m in MEASURES)
            frames = "audio" if row.frames is None else row.frames
            writer.writerow((row.system, frames, row.utterance, *("" if v is None else f"{v:.6g}" for v in values)))


def read_scores(path: Path) -> list[Spoken]:
    """Read what `write_scores` wrote."""
    with path.open(newline="") as file:
        return [
            Spoken(
                row["system"],
                None if row["frames"] == "audio" else row["frames"],
                row["utterance"],
                {m: float(row[m]) if row[m] else None for m in MEASURES},
            )
            for row in csv.DictReader(file)
        ]
