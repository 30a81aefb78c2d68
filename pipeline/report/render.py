"""The report's templates, and how its numbers are written."""

from pathlib import Path
from typing import Any

import jinja2
import yaml

_DIGITS = {"hz": ",.0f", "db": ".1f", "lufs": ".1f", "ratio": ".2g"}


def format_score(value: float | None, name: str) -> str:
    """Write a score in as many digits as mean something; its unit is what its name ends in.

    >>> format_score(7812.5, "bandwidth_hz"), format_score(2.134, "dnsmos_sig"), format_score(None, "stoi")
    ('7,812', '2.13', '\N{EN DASH}')
    """
    return "\N{EN DASH}" if value is None else format(value, _DIGITS.get(name.rsplit("_", 1)[-1], ".2f"))


def format_duration(seconds: float) -> str:
    """Write seconds in the largest unit of which there is at least one.

    >>> [format_duration(s) for s in (0.0, 43.21, 726.1, 45296.0)]
    ['0.0 s', '43.2 s', '12.1 min', '12.58 h']
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.2f} h"


def to_yaml(data: Any) -> str:
    """Write plain data as YAML, in its own order."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=False)


TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {
    "score": format_score,
    "duration": format_duration,
    "clips": lambda n: f"{n:,}",
    "percent": lambda share: f"{100 * share:.1f} %",
}
