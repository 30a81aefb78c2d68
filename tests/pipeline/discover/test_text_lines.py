"""A bad byte costs its own line, and nothing more; marks tell the encoding; memory does not grow with a line."""

import io
import tracemalloc

import pytest

from clean_corpus.pipeline.core.config import ManifestConfig
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.discover.text_lines import MAX_LINE, decoded_lines


def lines(content: bytes, encoding: str | None = None) -> list[tuple[int, str, str | None]]:
    return list(decoded_lines(io.BufferedReader(io.BytesIO(content)), encoding))


def test_a_byte_that_is_no_utf8_costs_its_line(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.wav").write_bytes(b"x")
    (tmp_path / "metadata.csv").write_bytes("a|né\n".encode() + b"b|caf\xe9\nc|three\n")
    found = {row.path: row for row in find_all(tmp_path, exclude=None)}
    assert [found[f"{name}.wav"].metadata.text for name in "abc"] == ["né", None, "three"]
    assert found["metadata.csv:2"].error == (
        "malformed manifest: metadata.csv line 2: expected UTF-8, but byte 0xe9 at position 6 is not (Windows-1252 "
        "reads 'b|café'); save the file as UTF-8 or set manifest.encoding"
    )
    config = ManifestConfig(encoding="windows-1252")
    found = {row.path: row for row in find_all(tmp_path, exclude=None, manifest=config)}
    assert [found[f"{name}.wav"].metadata.text for name in "abc"] == ["nÃ©", "café", "three"] and len(found) == 3


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_ends_of_lines(encoding, end):
    content = f"a|é{end}{end}b|two{end}".encode(encoding)
    assert lines(content) == [(1, "a|é", None), (3, "b|two", None)]
    assert lines(content, "latin-1") == [(1, "a|é", None), (3, "b|two", None)], "the mark counts more"


def test_utf16_without_a_mark_is_named():
    [(number, _, problem), *_] = lines("a|one\n".encode("utf-16-le"))
    assert number == 1 and "manifest.encoding=utf-16-le" in problem
    assert lines("a|one\n".encode("utf-16-le"), "utf-16-le") == [(1, "a|one", None)]


def test_a_line_that_is_too_long_is_passed_over():
    content = b"a|one\n" + b"b" * (3 * MAX_LINE) + b"\nc|three"
    tracemalloc.start()
    found = lines(content)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [(1, "a|one", None), (2, "", f"longer than {MAX_LINE} characters"), (3, "c|three", None)]
    assert most < 6 * MAX_LINE
