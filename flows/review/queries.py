"""Questions that the review page asks of the clips: pages of the table, facets, histograms, thresholds moved."""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clean_corpus.flows.review import thresholds
from clean_corpus.flows.review.filters import MAX_VALUES, Filter, Where, column_of, where
from clean_corpus.flows.review.table import BINS, FACETS, LOTS, Table, finite
from clean_corpus.pipeline.core.errors import ConfigError

MAX_PAGE = 500
FAR = 5000  # rows before a page, from which it may be quicker to count from the end
_HOURS = "coalesce(sum(duration_s), 0) / 3600"
_KEPT_HOURS = "coalesce(sum(duration_s) FILTER (is_kept), 0) / 3600"
_CHANGES = {"entering": "NOT now_keeps AND NOT unscored", "leaving": "now_keeps", "unscored": "unscored"}
_SORTS = {"clip_id": "clip_id", "duration_s": "duration_s", "nearest": "nearness", "changed": "change"}


@dataclass(frozen=True)
class Page:
    """One page of a sorted table: the numbers of its rows, and what the filter lets through in all."""

    rows: list[int]
    totals: dict[str, Any]


def totals(table: Table, asked: Filter) -> dict[str, Any]:
    """Return how many clips a filter lets through, and their hours."""
    found = where(asked, table)
    question = f"SELECT count(*) AS total, {_HOURS} AS hours, {_KEPT_HOURS} AS kept_hours FROM clips {found.sql}"
    return table.records(question, found.parameters)[0]


def page(
    table: Table, asked: Filter, *, sort: str, descending: bool | None, seed: int, offset: int, limit: int
) -> Page:
    """Return one page of a sorted table; the filter is looked through once.

    Without `descending` each order has its own direction: the nearest and the smallest first, the most changed first.
    Raises: ConfigError for an order that there is not.
    """
    found = where(asked, table)
    key, limit = _order(table, sort, seed), min(limit, MAX_PAGE)
    down = sort == "changed" if descending is None else descending
    if offset > FAR:
        return _from_behind(table, asked, key, down, offset, limit)
    question = f"""WITH hits AS {"MATERIALIZED" if found.conditions else ""}
                       (SELECT row, {key} AS key, duration_s, is_kept FROM clips {found.sql}),
                   shown AS (SELECT row, key FROM hits ORDER BY {_sorted(down)} LIMIT $limit OFFSET $offset)
                   SELECT count(*) AS total, {_HOURS} AS hours, {_KEPT_HOURS} AS kept_hours,
                       (SELECT list(row ORDER BY {_sorted(down)}) FROM shown) AS rows FROM hits"""
    (answer,) = table.records(question, found.parameters | {"limit": limit, "offset": offset})
    return Page(answer.pop("rows") or [], answer)


def _sorted(down: bool, *, behind: bool = False) -> str:
    """Return the order of a page; `behind` the whole of it turned round."""
    way, tie, nulls = (
        ("DESC" if down is not behind else "ASC"),
        "DESC" if behind else "ASC",
        "FIRST" if behind else "LAST",
    )
    return f"key {way} NULLS {nulls}, row {tie}"


def _from_behind(table: Table, asked: Filter, key: str, down: bool, offset: int, limit: int) -> Page:
    """Return a page far from the beginning, counted from the end if that is nearer: less has to be sorted."""
    whole, found = totals(table, asked), where(asked, table)
    rest = max(0, whole["total"] - offset)
    behind = rest < offset
    first, n = (max(0, rest - limit), min(limit, rest)) if behind else (offset, limit)
    question = f"""SELECT row FROM (SELECT row, {key} AS key FROM clips {found.sql})
                   ORDER BY {_sorted(down, behind=behind)} LIMIT $limit OFFSET $offset"""
    rows = [row for (row,) in table.rows(question, found.parameters | {"limit": n, "offset": first})]
    return Page(rows[::-1] if behind else rows, whole)


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
    question = f"SELECT {columns}{', ' * bool(scores)}{scores} FROM clips WHERE rowid IN (SELECT unnest($rows))"
    found = {record["row"]: record for record in table.records(question, {"rows": list(rows)})}
    return [_clip(table, found[row]) for row in rows if row in found]


def _clip(table: Table, record: dict[str, Any]) -> dict[str, Any]:
    facets = {facet: table.values[facet][record.pop(facet)] for facet in FACETS}
    scores = {name: finite(record.pop(f"s_{name}")) for name in table.scores}
    plain = {name: finite(value) for name, value in record.items() if name != "row"}
    return plain | facets | {"scores": scores}


def facets(table: Table, asked: Filter) -> dict[str, dict[str, Any]]:
    """Return of each facet, under all other filters, how many values it has and the most frequent with clips and hours.

    At most `MAX_VALUES` are listed, the most frequent first.
    """
    found: dict[str, dict[str, Any]] = {}
    free = [facet for facet in FACETS if not asked.is_.get(facet)]
    groups = [(free, where(asked, table))] if free else []
    groups += [([facet], where(asked, table, but=facet)) for facet in FACETS if facet not in free]
    for names, conditions in groups:
        found |= _counted(table, names, conditions)
    return {facet: found[facet] for facet in FACETS}


def _counted(table: Table, names: Sequence[str], found: Where) -> dict[str, dict[str, Any]]:
    sets = ", ".join(f"({name})" for name in names)
    question = f"""SELECT {", ".join(names)}, grouping({", ".join(names)}) AS others, count(*), {_HOURS},
                          count(*) OVER (PARTITION BY others)
                   FROM clips {found.sql} GROUP BY GROUPING SETS ({sets})
                   QUALIFY row_number() OVER (PARTITION BY others ORDER BY count(*) DESC, {", ".join(names)})
                       <= {MAX_VALUES} ORDER BY count(*) DESC, {", ".join(names)}"""
    values: dict[str, dict[str, Any]] = {name: {"count": 0, "values": []} for name in names}
    for *numbers, others, n, hours, count in table.rows(question, found.parameters):
        index = next(i for i in range(len(names)) if not others >> (len(names) - 1 - i) & 1)
        name = names[index]
        values[name]["count"] = count
        values[name]["values"].append({"value": table.values[name][numbers[index]], "clips": n, "hours": hours})
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
    """Return what other thresholds would keep of all clips, and how many come in and go out.

    `unscored` are those that no network heard for what their recording is, and would: nobody knows their end yet.
    Raises: ConfigError for a setting that decides nothing by a score, or a value that it cannot have.
    """
    now, change = table.kept, _change(table, settings)
    return {
        "now_kept": now.clips,
        "now_hours": now.hours,
        "kept": now.clips + change["entering"] - change["leaving"],
        "hours": now.hours + change["entering_hours"] - change["leaving_hours"],
        **change,
    }


def _change(table: Table, settings: thresholds.Moved) -> dict[str, Any]:
    if not settings:
        return {name: 0 for kind in _CHANGES for name in (kind, f"{kind}_hours")}
    gate = thresholds.moved_gate(table.config.gate, settings)
    condition, parameters = thresholds.changes(gate, table.config)
    columns = ", ".join(
        f"count(*) FILTER ({which}) AS {name}, coalesce(sum(duration_s) FILTER ({which}), 0) / 3600 AS {name}_hours"
        for name, which in _CHANGES.items()
    )
    return table.records(f"SELECT {columns} FROM clips WHERE {condition}", parameters)[0]
