"""Questions that the review page asks of the clips: pages of the table, facets, histograms, thresholds moved."""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from clean_corpus.flows.review import thresholds
from clean_corpus.flows.review.filters import Filter, Where, column_of, where
from clean_corpus.flows.review.table import BINS, FACETS, LOTS, Table, finite
from clean_corpus.pipeline.core.errors import ConfigError

MAX_PAGE = 500
MAX_VALUES = 100
_HOURS = "coalesce(sum(duration_s), 0) / 3600"
_KEPT_HOURS = "coalesce(sum(duration_s) FILTER (is_kept), 0) / 3600"
_SORTS = {"clip_id": "clip_id", "duration_s": "duration_s", "nearest": "nearness", "changed": "change"}


def totals(table: Table, asked: Filter) -> dict[str, Any]:
    """Return how many clips a filter lets through, and their hours."""
    found = where(asked, table)
    question = f"SELECT count(*) AS total, {_HOURS} AS hours, {_KEPT_HOURS} AS kept_hours FROM clips {found.sql}"
    return table.records(question, found.parameters)[0]


def rows_of_page(
    table: Table, asked: Filter, *, sort: str, descending: bool | None, seed: int, offset: int, limit: int
) -> list[int]:
    """Return the numbers of the rows of one page of a sorted table.

    Without `descending` each order has its own direction: the nearest and the smallest first, the most changed first.
    Raises: ConfigError for an order that there is not.
    """
    found = where(asked, table)
    key = _order(table, sort, seed)
    down = sort == "changed" if descending is None else descending
    question = f"""SELECT row FROM clips {found.sql}
                   ORDER BY {key} {"DESC" if down else "ASC"} NULLS LAST, row LIMIT $limit OFFSET $offset"""
    parameters = found.parameters | {"limit": min(limit, MAX_PAGE), "offset": offset}
    return [row for (row,) in table.rows(question, parameters)]


def _order(table: Table, sort: str, seed: int) -> str:
    if sort == "random":
        draw = random.Random(seed)
        factor, shift = draw.randrange(1, LOTS), draw.randrange(LOTS)
        return f"((lot * {factor} + {shift}) % {LOTS})"
    if sort in _SORTS:
        return _SORTS[sort]
    if sort in table.scores:
        return column_of(sort, table)
    known = ", ".join((*_SORTS, "random", *table.scores))
    raise ConfigError(f"sort {sort!r}: no such order; there are {known}")


def clips(table: Table, rows: Sequence[int]) -> list[dict[str, Any]]:
    """Return what the page's table says of some clips, in the order asked for."""
    scores = ", ".join(f"s_{name}" for name in table.scores)
    columns = f"row, clip_id, source, text, duration_s, nearness, change, {', '.join(FACETS)}"
    question = f"SELECT {columns}{', ' * bool(scores)}{scores} FROM clips WHERE list_contains($rows, row)"
    found = {record["row"]: record for record in table.records(question, {"rows": list(rows)})}
    return [_clip(table, found[row]) for row in rows if row in found]


def _clip(table: Table, record: dict[str, Any]) -> dict[str, Any]:
    facets = {facet: table.values[facet][record.pop(facet)] for facet in FACETS}
    scores = {name: finite(record.pop(f"s_{name}")) for name in table.scores}
    plain = {name: finite(value) for name, value in record.items() if name != "row"}
    return plain | facets | {"scores": scores}


def facets(table: Table, asked: Filter) -> dict[str, list[dict[str, Any]]]:
    """Return the values of each facet with clips and hours, the most frequent first, each under all other filters."""
    found: dict[str, list[dict[str, Any]]] = {}
    free = [facet for facet in FACETS if not asked.is_.get(facet)]
    groups = [(free, where(asked, table))] if free else []
    groups += [([facet], where(asked, table, but=facet)) for facet in FACETS if facet not in free]
    for names, conditions in groups:
        found |= _counted(table, names, conditions)
    return {facet: found[facet] for facet in FACETS}


def _counted(table: Table, names: Sequence[str], found: Where) -> dict[str, list[dict[str, Any]]]:
    sets = ", ".join(f"({name})" for name in names)
    question = f"""SELECT {", ".join(names)}, grouping({", ".join(names)}) AS others, count(*), {_HOURS}
                   FROM clips {found.sql} GROUP BY GROUPING SETS ({sets})
                   QUALIFY row_number() OVER (PARTITION BY others ORDER BY count(*) DESC, {", ".join(names)})
                       <= {MAX_VALUES} ORDER BY count(*) DESC, {", ".join(names)}"""
    values: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for *numbers, others, n, hours in table.rows(question, found.parameters):
        index = next(i for i in range(len(names)) if not others >> (len(names) - 1 - i) & 1)
        name = names[index]
        values[name].append({"value": table.values[name][numbers[index]], "clips": n, "hours": hours})
    return values


def histograms(table: Table, asked: Filter, *, bins: int) -> dict[str, dict[str, list[float]]]:
    """Return how often each score takes which value, in all clips and under all filters but that on this score.

    Raises: ConfigError if the bars cannot be so many.
    """
    if bins < 1 or BINS % bins:
        raise ConfigError(f"bins {bins}: a histogram has a divisor of {BINS} as its number of bars")
    whole = table.bars or _bars(table, list(table.scores), Where())
    table.bars = whole
    free = [name for name in table.scores if name not in asked.ranges]
    under = _bars(table, free, where(asked, table)) if free else {}
    for name in asked.ranges:
        if name in table.scores:
            under |= _bars(table, [name], where(asked, table, but=name))
    return {
        name: {
            "edges": _edges(*table.edges[name], bins),
            "clips": _joined(whole[name], bins),
            "under_filter": _joined(under[name], bins),
        }
        for name in table.scores
    }


def _bars(table: Table, names: Sequence[str], found: Where) -> dict[str, dict[int, int]]:
    """Return the clips of each bar of some scores."""
    columns = ", ".join(f"b_{name}" for name in names)
    sets = ", ".join(f"(b_{name})" for name in names)
    question = f"""SELECT {columns}, grouping({columns}) AS others, count(*) FROM clips {found.sql}
                   GROUP BY GROUPING SETS ({sets})"""
    bars: dict[str, dict[int, int]] = defaultdict(dict)
    for *numbers, others, n in table.rows(question, found.parameters):
        index = next(i for i in range(len(names)) if not others >> (len(names) - 1 - i) & 1)
        if numbers[index] is not None:
            bars[names[index]][numbers[index]] = n
    return {name: bars[name] for name in names}


def _edges(low: float, high: float, bins: int) -> list[float]:
    return [low + (high - low) * n / bins for n in range(bins + 1)]


def _joined(bars: dict[int, int], bins: int) -> list[int]:
    counts = [0] * bins
    for number, n in bars.items():
        counts[number * bins // BINS] += n
    return counts


def moved(table: Table, settings: thresholds.Moved) -> dict[str, Any]:
    """Return what other thresholds would keep of all clips, and what each moved setting alone would change.

    Raises: ConfigError for a setting that decides nothing by a score, or a value that it cannot have.
    """
    now = f"SELECT count(*) FILTER (is_kept) AS now_kept, {_KEPT_HOURS} AS now_hours FROM clips"
    found = table.records(now)[0]
    both = _change(table, settings)
    single = {name: _change(table, {name: value}) for name, value in settings.items()} if len(settings) > 1 else {}
    of = single or dict.fromkeys(settings, both)
    return {
        **found,
        "kept": found["now_kept"] + both["entering"] - both["leaving"],
        "hours": found["now_hours"] + both["entering_hours"] - both["leaving_hours"],
        **both,
        "by_setting": [
            {"setting": name, "threshold": settings[name], "now": getattr(table.config.gate, name[5:]), **of[name]}
            for name in settings
        ],
    }


def _change(table: Table, settings: thresholds.Moved) -> dict[str, Any]:
    if not settings:
        return {"entering": 0, "leaving": 0, "entering_hours": 0.0, "leaving_hours": 0.0}
    gate = thresholds.moved_gate(table.config.gate, settings)
    condition, parameters = thresholds.changes(gate, table.config)
    columns = ", ".join(
        f"count(*) FILTER ({which}) AS {name}, coalesce(sum(duration_s) FILTER ({which}), 0) / 3600 AS {name}_hours"
        for name, which in (("entering", "NOT now_keeps"), ("leaving", "now_keeps"))
    )
    return table.records(f"SELECT {columns} FROM clips WHERE {condition}", parameters)[0]
