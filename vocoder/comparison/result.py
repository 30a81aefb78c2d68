"""The result of a comparison: scores of every utterance, means, differences, and a verdict in words."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.files import write_json
from clean_corpus.vocoder.comparison import verdict
from clean_corpus.vocoder.comparison.copy_synthesis import Spoken
from clean_corpus.vocoder.comparison.differences import Tables, between, headlines, in_pairs
from clean_corpus.vocoder.comparison.measures import MEASURES
from clean_corpus.vocoder.comparison.two_levels import Table, estimate

Curves = Mapping[str, Sequence[Sequence[tuple[int, float]]]]
"""System -> the validation loss by step of each of its trainings."""


def tables(spoken: Sequence[Spoken], keys: Sequence[str]) -> Tables:
    """Arrange scores by system and frames, trainings by their number, utterances in the order of `keys`."""
    at = {key: i for i, key in enumerate(keys)}
    seeds: dict[tuple[str, str | None], int] = {}
    for row in spoken:
        group = row.system, row.frames
        seeds[group] = max(seeds.get(group, 0), (row.seed or 0) + 1)
    found: Tables = {
        group: {name: np.full((count, len(keys)), np.nan) for name in MEASURES} for group, count in seeds.items()
    }
    for row in spoken:
        for name, value in row.scores.items():
            table = found[row.system, row.frames][name]
            table[row.seed or 0, at[row.utterance]] = np.nan if value is None else value
    return found


def write_result(
    spoken: Sequence[Spoken],
    keys: Sequence[str],
    curves: Curves,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    out: Path,
) -> None:
    """Write scores.csv, result.json and verdict.txt below `out`.

    Of the facts, `systems` are in order, the first is what the others are compared with, and the second training of a
    set, `aa`, is no comparison; `twins` names, for a set that has no training of its own, the set that has it.
    """
    write_scores(spoken, out / "scores.csv")
    found = tables(spoken, keys)
    first, *others = (name for name in facts["systems"] if name not in facts["twins"])
    pairs = [(name, first) for name in others if not facts["aa"] or name != facts["aa"]["system"]]
    rows = between(found, pairs, headlines(found))
    if facts["aa"]:
        rows += in_pairs(found, [(facts["aa"]["system"], facts["aa"]["of"])])
    sentences = verdict.sentences(rows, headlines(found), len(keys), facts)
    means = [{"system": s, "frames": f, **{m: _cell(t) for m, t in row.items()}} for (s, f), row in found.items()]
    write_json(
        out / "result.json",
        {
            **facts,
            "verdict": sentences,
            "headlines": headlines(found),
            "means": means,
            "differences": [row._asdict() for row in rows],
            "utterances": list(keys),
            "curves": curves,
            "settings": config,
        },
    )
    (out / "verdict.txt").write_text("".join(f"{sentence}\n" for sentence in sentences))


def _cell(table: Table) -> dict[str, float | None]:
    mean, low, high, _ = estimate(table)
    return {"mean": mean, "low": low, "high": high}


def read_result(out: Path) -> tuple[dict[str, Any], Tables]:
    """Read the result that a comparison left in `out`, and the scores of every training and utterance.

    Raises: ConfigError if no comparison lies in `out`, or one of an older form.
    """
    try:
        result = json.loads((out / "result.json").read_text())
    except OSError:
        raise ConfigError(f"{out}: no comparison lies there (no result.json); give the --out of compare") from None
    if "headlines" not in result:
        raise ConfigError(f"{out}: its result.json is of an older version, of one training a set; compare again")
    return result, tables(read_scores(out / "scores.csv"), result["utterances"])


def write_scores(spoken: Sequence[Spoken], path: Path) -> None:
    """Write a line of scores for each system, frames, training and utterance; empty where nothing was measured."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("system", "frames", "seed", "utterance", *MEASURES))
        for row in spoken:
            values = (row.scores[m] for m in MEASURES)
            what = ("audio", "") if row.frames is None else (row.frames, row.seed)
            writer.writerow((row.system, *what, row.utterance, *("" if v is None else f"{v:.6g}" for v in values)))


def read_scores(path: Path) -> list[Spoken]:
    """Read what `write_scores` wrote."""
    with path.open(newline="") as file:
        return [
            Spoken(
                row["system"],
                None if row["frames"] == "audio" else row["frames"],
                int(row["seed"]) if row["seed"] else None,
                row["utterance"],
                {m: float(row[m]) if row[m] else None for m in MEASURES},
            )
            for row in csv.DictReader(file)
        ]
