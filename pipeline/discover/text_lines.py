"""Lines of a text file whose encoding is not certain: each is decoded alone, so that a bad byte costs one line."""

import codecs
import io
from collections.abc import Iterator
from typing import IO, Any

from clean_corpus.pipeline.core.errors import ConfigError

MAX_LINE = 4 * 2**20  # characters
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNREADABLE = "\ufffd"


class Limited(io.RawIOBase):
    """A binary file that fails with a ConfigError instead of giving more than so many bytes, packed ones unpacked."""

    def __init__(self, file: IO[bytes], max_bytes: int) -> None:
        super().__init__()
        self._file, self._max_bytes, self._n_read = file, max_bytes, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        self._n_read += len(data)
        if self._n_read > self._max_bytes:
            limit = f"manifest.max_mb, {self._max_bytes >> 20} MiB unpacked"
            raise ConfigError(f"larger than {limit}; the rest is not read: split it, or raise the setting")
        buffer[: len(data)] = data
        return len(data)


def encoding_by_mark(start: bytes) -> str | None:
    """Return the encoding that a file's byte order mark tells, None if it begins with none.

    >>> encoding_by_mark(b"\\xff\\xfea\\x00"), encoding_by_mark(b"abc")
    ('utf-16', None)
    """
    return next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)


def decoded_lines(
    file: Any, encoding: str | None, max_lines: int | None = None
) -> Iterator[tuple[int, str, str | None]]:
    """Yield number, from 1, text, and None or what is wrong, of each line of a binary file that is not blank.

    A byte order mark overrules `encoding`; without either it is UTF-8. Lines end as in Python's universal newlines,
    and one longer than MAX_LINE characters is passed over without its text, so memory stays bounded.

    Raises: ConfigError at the line after the last of `max_lines`.
    """
    encoding = encoding_by_mark(file.peek(4)[:4]) or encoding or "utf-8"
    wide = encoding.startswith(("utf-16", "utf-32", "utf_16", "utf_32"))
    # Latin-1 maps each byte to a character, so that lines are split before they are decoded
    text = io.TextIOWrapper(file, encoding if wide else "latin-1", errors="replace" if wide else "strict")
    for number, (line, whole) in enumerate(_read_lines(text), 1):
        if max_lines is not None and number > max_lines:
            limit = f"manifest.max_lines, {max_lines}"
            raise ConfigError(f"more lines than {limit}; the rest is not read: split it, or raise the setting")
        if not whole:
            yield number, "", f"longer than {MAX_LINE} characters"
            continue
        if not line.strip():
            continue
        if wide:
            problem = f"expected {encoding.upper()}" if _UNREADABLE in line else None
        else:
            single = encoding if number == 1 else encoding.removesuffix("-sig")
            line, problem = _decode(line.encode("latin-1"), single)
        if problem is None and "\0" in line:
            problem = "it holds zero bytes; if the file is UTF-16 without a mark, set manifest.encoding=utf-16-le"
        if problem is not None or line.strip():
            yield number, line, problem


def decode_text(content: bytes, encoding: str | None) -> tuple[str, str | None]:
    """Return the whole text of a small file, and None or what is wrong with its encoding."""
    return _decode(content, encoding_by_mark(content) or encoding or "utf-8")


def _read_lines(file: IO[str]) -> Iterator[tuple[str, bool]]:
    """Yield each line without its end, and whether it was short enough."""
    while line := file.readline(MAX_LINE):
        whole = len(line) < MAX_LINE or line.endswith("\n")
        rest = "" if whole else line
        while rest and not rest.endswith("\n"):
            rest = file.readline(MAX_LINE)
        yield line.removesuffix("\n"), whole


def _decode(content: bytes, encoding: str) -> tuple[str, str | None]:
    try:
        return content.decode(encoding), None
    except UnicodeDecodeError as error:
        name = error.encoding.upper().replace("_", "-")
        read = content[max(0, error.start - 30) : error.start + 30].decode("cp1252", "replace")
        remedy = "" if encoding == "cp1252" else f" (Windows-1252 reads {read!r})"
        problem = (
            f"expected {name}, but byte 0x{content[error.start]:02x} at position {error.start + 1} is not{remedy}; "
            "save the file as UTF-8 or set manifest.encoding"
        )
        return "", problem
