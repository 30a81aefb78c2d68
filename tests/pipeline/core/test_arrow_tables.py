"""Tables from rows against pyarrow's own conversion, which is slow to import and no more."""

import subprocess
import sys

import pyarrow as pa
import pytest

from clean_corpus.pipeline.core.arrow_tables import column_of, table_of
from clean_corpus.pipeline.core.reasons import Reason

SCHEMA = pa.schema({"text": pa.string(), "x": pa.float64(), "n": pa.int32(), "empty": pa.string()})
ROWS = [
    {"text": "日本", "x": 0.1, "n": -1},
    {"text": None, "x": None, "n": 2**31 - 1},
    {"text": Reason.CER, "n": None},
    {"text": "", "x": float("nan"), "n": 0},
]


@pytest.mark.parametrize("rows", [ROWS, ROWS * 5, ROWS[:1], []])
def test_equals_pyarrow(rows):
    found = table_of(rows, SCHEMA)
    found.validate(full=True)
    expected = pa.Table.from_pylist(rows, SCHEMA)
    assert found.schema == expected.schema and str(found.to_pylist()) == str(expected.to_pylist())
    assert [column.null_count for column in found.columns] == [column.null_count for column in expected.columns]


def test_other_kinds_are_refused():
    with pytest.raises(TypeError, match="list"):
        column_of([[1]], pa.list_(pa.int32()))


def test_pandas_is_not_imported():
    code = (
        "import sys, pyarrow as pa; from clean_corpus.pipeline.core.arrow_tables import table_of\n"
        "table_of([{'a': 'x'}], pa.schema({'a': pa.string()})); sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
