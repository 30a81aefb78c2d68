"""The orders in which the papers have their systems, and whether rows of our own table show the same.

The papers' figures lie in `paper_figures.json` with the table that each is from: means as printed, or as the mean of
the printed means of several noises. Every two systems of a table whose figures differ are an order; `orders` are those
that a paper states in words or in figures that are images.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from documents import table

FIGURES = Path(__file__).with_name("paper_figures.json")
RESAMPLES = 2000
SHOWN, UNDECIDED, CONTRARY = "shown", "within the noise", "contrary"

Row = Mapping[str, Any]
"""A system's row: `minutes` of training (None for the noisy speech), and `scores`, measure -> a value for each pair.

A row that was published before values of single pairs were kept has `means`, measure -> mean and half of its interval.
"""


class Order(NamedTuple):
    """One claim: by a measure, a system of a paper is better than another."""

    paper: str
    measure: str
    better: str
    other: str


class Difference(NamedTuple):
    """Mean of a difference over pairs, and its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Return whether the order that this is the difference of is shown, contrary, or neither."""
        return SHOWN if self.low > 0 else CONTRARY if self.high < 0 else UNDECIDED


def orders(figures: Mapping[str, Any]) -> list[Order]:
    """Return all orders of the papers once, by paper and measure."""
    return sorted(dict.fromkeys(_orders(figures)), key=lambda order: order[:2])


def _orders(figures: Mapping[str, Any]) -> Iterator[Order]:
    for each in figures["tables"]:
        for index, measure in enumerate(each["measures"]):
            for (a, first), (b, second) in combinations(each["figures"].items(), 2):
                if first[index] != second[index]:
                    better, other = (a, b) if first[index] > second[index] else (b, a)
                    yield Order(each["paper"], measure, better, other)
    for each in figures["orders"]:
        for measure in each["measures"]:
            for better, other in each["orders"]:
                yield Order(each["paper"], measure, better, other)


def difference(order: Order, rows: Mapping[str, Row], pairs: Sequence[str]) -> Difference | None:
    """Return by how much a row is better, None unless both are there with the same minutes of training.

    Rows with scores are compared pair by pair, resampled by utterance, since pairs of one utterance at five SNRs are
    alike; a row with means alone as if it had been scored on pairs of its own, which makes the interval too wide.

    Source: percentile bootstrap; the same resamples each time.
    """
    both = [rows.get(name) for name in (order.better, order.other)]
    if None in both or len({row["minutes"] for row in both} - {None}) > 1:
        return None
    scores = [row.get("scores", {}).get(order.measure) for row in both]
    if None not in scores:
        values = np.subtract(*(np.array(column, float) for column in scores))
        return _bootstrapped(values, [name.split("__")[0] for name in pairs])
    means = [mean_and_half(row, order.measure) for row in both]
    if None in means:
        return None
    (a, half_a), (b, half_b) = means
    reach = float(np.hypot(half_a, half_b))
    return Difference(a - b, a - b - reach, a - b + reach)


def _bootstrapped(values: np.ndarray, utterances: Sequence[str]) -> Difference:
    """Return the mean over pairs with its interval over resampled utterances; pairs without a score do not count."""
    groups: dict[str, list[float]] = {}
    for value, utterance in zip(values, utterances, strict=True):
        if np.isfinite(value):
            groups.setdefault(utterance, []).append(value)
    sums, counts = (np.array([f(group) for group in groups.values()]) for f in (sum, len))
    drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Difference(float(sums.sum() / counts.sum()), float(low), float(high))


def mean_and_half(row: Row, measure: str) -> tuple[float, float] | None:
    """Return a row's mean by a measure and half of its interval over pairs, None if it lacks the measure."""
    if "scores" not in row:
        mean = row["means"].get(measure)
        return tuple(mean) if mean else None
    if measure not in row["scores"]:
        return None
    values = np.array(row["scores"][measure], float)
    found = _bootstrapped(values, [str(i) for i in range(values.size)])
    return found.mean, (found.high - found.low) / 2


def own_figures(name: str, figures: Mapping[str, Any]) -> str:
    """Return what a system's paper reports of it, from the first table that has it."""
    for each in figures["tables"]:
        if name in each["figures"] and name != "noisy":
            noisy = each["figures"].get("noisy")
            cells = (
                f"{measure} {f'{noisy[i]:g} → ' if noisy else ''}{each['figures'][name][i]:g}"
                for i, measure in enumerate(each["measures"])
            )
            return f"[{each['paper']}] {', '.join(cells)}"
    stated = (each["paper"] for each in figures["orders"] if any(name in order for order in each["orders"]))
    return next((f"[{paper}] orders only" for paper in stated), "")


def report(rows: Mapping[str, Row], pairs: Sequence[str], figures: Mapping[str, Any]) -> str:
    """Return how many orders of the papers the rows show, do not decide and contradict, and which."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for order in orders(figures):
        part = found.setdefault(order[:2], {SHOWN: [], UNDECIDED: [], CONTRARY: [], "": []})
        apart = difference(order, rows, pairs)
        words = f"{order.better} > {order.other}" + (f" ({apart.mean:+.2g})" if apart else "")
        part[apart.verdict if apart else ""].append(words)
    verdicts = (SHOWN, UNDECIDED, CONTRARY)
    lines = [
        [f"[{paper}]", measure, sum(map(len, part.values())), *(len(part[v]) for v in verdicts), len(part[""])]
        for (paper, measure), part in found.items()
    ]
    parts = [table(["paper", "measure", "orders", *verdicts, "not there yet"], lines)]
    for verdict in verdicts:
        named = [
            f"- [{paper}] {measure}: {', '.join(part[verdict])}"
            for (paper, measure), part in found.items()
            if part[verdict]
        ]
        parts.append(f"{verdict.capitalize()}:\n\n" + ("\n".join(named) or "- none"))
    return "\n\n".join(parts)


def load_figures(path: Path = FIGURES) -> dict[str, Any]:
    """Return the papers' figures and orders."""
    return json.loads(path.read_text())
