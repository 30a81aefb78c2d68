"""Filters of the review page: what a request asks for, as conditions of SQL with bound parameters."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clean_corpus.flows.review import thresholds
from clean_corpus.flows.review.table import FACETS, Table
from clean_corpus.pipeline.core.errors import ConfigError

MAX_WORDS = 20
MAX_VALUES = 1000  # of one facet


class Filter(BaseModel):
    """What clips a request is about; what it leaves out filters nothing.

    `is` names values of facets, "" for none; `ranges` the least and the greatest value of scores, null for no end.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    is_: dict[str, Annotated[list[str], Field(max_length=MAX_VALUES)]] = Field(default_factory=dict, alias="is")
    ranges: dict[str, tuple[float | None, float | None]] = Field(default_factory=dict)
    search: str = Field("", max_length=1000)
    moved: dict[str, float | None] = Field(default_factory=dict)


@dataclass
class Where:
    """Conditions of SQL, all of which have to hold, and the parameters in them."""

    conditions: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def sql(self) -> str:
        """The clause, which is never empty."""
        return "WHERE " + (" AND ".join(self.conditions) or "true")


def parse(text: str | None) -> Filter:
    """Return the filter that a request's parameter spells as JSON.

    Raises: ConfigError that names what is wrong in it.
    """
    return _validated("filter", text, lambda values: values)


def parse_moved(text: str | None) -> dict[str, float | None]:
    """Return the settings that a request's parameter spells as JSON, for example {"gate.snr_db_min": 12}.

    Raises: ConfigError that names what is wrong in it.
    """
    return _validated("moved", text, lambda values: {"moved": values}).moved


def _validated(name: str, text: str | None, as_filter: Callable[[Any], Any]) -> Filter:
    if not text:
        return Filter()
    try:
        return Filter.model_validate(as_filter(json.loads(text)))
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{name}: {'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}") from None
    except ValueError as error:
        raise ConfigError(f"{name}: no JSON: {error}") from None


def where(asked: Filter, table: Table, *, but: str | None = None) -> Where:
    """Return the conditions of a filter, but for those on the facet or the score that `but` names.

    Raises: ConfigError for a facet, a score or a setting that there is not.
    """
    found = Where()
    for condition, parameters in _conditions(asked, table, but):
        found.conditions.append(condition)
        found.parameters |= parameters
    return found


def _conditions(asked: Filter, table: Table, but: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    for facet, values in asked.is_.items():
        if facet not in FACETS:
            raise ConfigError(f"filter: is.{facet}: no such facet; there are {', '.join(FACETS)}")
        if facet != but and values:
            numbers = {f"is_{facet}_{n}": table.number(facet, value) for n, value in enumerate(values)}
            yield f"{facet} IN ({', '.join(f'${name}' for name in numbers)})", numbers
    for name, (low, high) in asked.ranges.items():
        column = column_of(name, table)
        for end, value, sign in (("low", low, ">="), ("high", high, "<=")):
            if name != but and value is not None:
                yield f"{column} {sign} ${end}_{name}", {f"{end}_{name}": value}
    for number, word in enumerate(asked.search.split()[:MAX_WORDS]):
        yield f"contains(search, lower(nfc_normalize($word_{number})))", {f"word_{number}": word}
    if asked.moved:
        yield thresholds.changes(thresholds.moved_gate(table.config.gate, asked.moved), table.config)


def column_of(name: str, table: Table) -> str:
    """Return the column of a score or of the duration.

    Raises: ConfigError if no clip has it.
    """
    if name == "duration_s":
        return name
    if name not in table.scores:
        raise ConfigError(f"filter: {name}: no clip has this score; there are duration_s, {', '.join(table.scores)}")
    return f"s_{name}"
