"""Words that people write into YAML for a switch: off, no, on, yes, where a setting is a number or may be null."""

import math
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

_WORDS = {"off": False, "no": False, "on": True, "yes": True}
_NUMBERS = frozenset({int, float})


class _NullIsOff:
    """Mark of a setting that null switches off, and the word off therefore too."""


NULL_IS_OFF = _NullIsOff()


def read_switch(field: FieldInfo, value: Any) -> Any:
    """Return the value given to a setting, with `off` as null where null switches it off.

    Raises: PydanticCustomError if a boolean, a word for one, or NaN is given for a number.
    """
    word = value.strip().lower() if isinstance(value, str) else None
    switchable = any(isinstance(mark, _NullIsOff) for mark in field.metadata)
    if switchable and word == "off":
        return None
    kinds = set(_kinds(field.annotation))
    if Any in kinds and isinstance(value, dict):  # names and values that another model checks: as YAML 1.1 reads them
        return {key: _WORDS.get(item.lower(), item) if isinstance(item, str) else item for key, item in value.items()}
    if kinds & _NUMBERS and bool not in kinds and any(_is_no_number(item, kinds) for item in _items(value)):
        raise PydanticCustomError("no_number", "expected a number" + _remedy(switchable, type(None) in kinds))
    return value


def _remedy(switchable: bool, nullable: bool) -> str:
    if switchable:
        return "; to switch it off use null"
    return "; for the automatic choice use null" if nullable else ", and it cannot be switched off"


def _is_no_number(value: Any, kinds: set[Any]) -> bool:
    if isinstance(value, str):
        return str not in kinds and value.strip().lower() in _WORDS
    return isinstance(value, bool) or (isinstance(value, float) and math.isnan(value))


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _items(item)
    else:
        yield value


def _kinds(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation is made of, those inside containers and the types of literals included."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin is Literal:
        yield from {type(value) for value in get_args(annotation)} - {str}
    elif origin is dict:
        yield from _kinds(get_args(annotation)[1])
    elif origin in (Union, types.UnionType, list, tuple, set, frozenset):
        for part in get_args(annotation):
            yield from _kinds(part)
    else:
        yield annotation
