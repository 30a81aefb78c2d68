"""Arrow tables from rows, without pyarrow's own conversion, which imports pandas where that is installed: a second."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

_NUMBERS = {pa.float64(): np.float64, pa.float32(): np.float32, pa.int64(): np.int64, pa.int32(): np.int32}


def table_of(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return rows as a table; a column that a row lacks is null.

    Raises: TypeError if the schema has a column of another kind than text and numbers.

    >>> table_of([{"a": "x"}, {"b": 1.5}], pa.schema({"a": pa.string(), "b": pa.float64()})).to_pylist()
    [{'a': 'x', 'b': None}, {'a': None, 'b': 1.5}]
    """
    rows = list(rows)
    columns = [column_of([row.get(field.name) for row in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def column_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values, or None for null, as an array of text, bytes or numbers.

    Raises: TypeError if `kind` is another.
    """
    known = np.fromiter((value is not None for value in values), np.bool_, len(values))
    valid = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little").tobytes())
    if kind in (pa.string(), pa.binary()):
        texts = [_bytes_of(value) for value in values]
        offsets = np.zeros(len(texts) + 1, np.int32)
        np.cumsum([len(text) for text in texts], out=offsets[1:])
        buffers = [valid, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(texts))]
    elif kind in _NUMBERS:
        numbers = np.fromiter((0 if value is None else value for value in values), _NUMBERS[kind], len(values))
        buffers = [valid, pa.py_buffer(numbers.tobytes())]
    else:
        raise TypeError(f"a column of {kind}: text, bytes, float and int are known")
    return pa.Array.from_buffers(kind, len(values), buffers, int(len(known) - known.sum()))


def _bytes_of(value: str | bytes | None) -> bytes:
    return value if isinstance(value, bytes) else b"" if value is None else str(value).encode()
