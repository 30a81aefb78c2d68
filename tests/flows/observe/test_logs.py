"""Log lines: credentials are masked wherever they stand, and each line can be read back."""

import json
import logging
from pathlib import Path

import pytest

from clean_corpus.flows.observe import logs
from clean_corpus.pipeline.core.errors import ConfigError

SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://me:pw@host/x", "https://****@host/x"),
        ("key AKIAIOSFODNN7EXAMPLE.", "key ****."),
        (f"the key {SECRET_KEY} as it is", "the key **** as it is"),
        ("x?sig=abc%2F&y=1", "x?sig=****&y=1"),
        ("Authorization: Bearer abcdefgh12345", "Authorization: ****"),
        ('{"password": "a b c", "user": "me"}', '{"password": ****, "user": "me"}'),
        ("token=abc;next", "token=****;next"),
        ("s3://bucket/folder/clip-0001.flac, 3 of 40", "s3://bucket/folder/clip-0001.flac, 3 of 40"),
        ("sha256 " + "0123456789abcdef" * 4, "sha256 " + "0123456789abcdef" * 4),  # a hash is no secret
    ],
)
def test_credentials_are_masked_and_nothing_else(text, masked):
    assert logs.mask(text) == masked


def test_values_of_known_variables_are_masked_unless_they_are_short(monkeypatch):
    monkeypatch.setenv("PREFECT_API_KEY", "pnu_1234567890")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    assert logs.mask("pnu_1234567890 in a test") == "**** in a test"


def test_nested_values_and_secret_keys_are_masked():
    value = {"api_key": 3, "s3_secret": ["x"], "list": ["https://a:b@c/"], "n": 1.5}
    assert logs.masked(value) == {"api_key": "****", "s3_secret": "****", "list": ["https://****@c/"], "n": 1.5}


@pytest.fixture
def record():
    made = logging.LogRecord("clean_corpus", logging.WARNING, "x.py", 1, "shard", (), None)
    made.created = 0.25
    made.fields = {"name": "a b", "seconds": 1.5, "path": Path("x"), "url": "https://a:b@c"}
    return made


def test_a_json_line_has_sorted_keys_and_the_event(record):
    line = logs.JsonFormatter("run-1").format(record)
    assert json.loads(line) == {
        "event": "shard", "level": "warning", "name": "a b", "path": "x", "run": "run-1", "seconds": 1.5,
        "time": "1970-01-01T00:00:00.250+00:00", "url": "https://****@c",
    }  # fmt: skip
    assert list(json.loads(line)) == sorted(json.loads(line))


def test_a_text_line_quotes_values_with_spaces(record):
    line = logs.TextFormatter("run-1").format(record)
    assert line == (
        '1970-01-01T00:00:00.250+00:00 WARNING shard name="a b" path="\\"x\\"" run=run-1 seconds=1.5 url=https://****@c'
    )


def test_a_line_of_another_logger_is_the_event_message():
    record = logging.LogRecord("clean_corpus.x", logging.INFO, "x.py", 1, "read %d of %s", (3, "in"), None)
    facts = json.loads(logs.JsonFormatter("r").format(record))
    assert (facts["event"], facts["message"], facts["logger"]) == ("message", "read 3 of in", "clean_corpus.x")


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"observe\.log_file .*cannot be written"):
        logs.handler("json", tmp_path / "file" / "log", "r", lambda _: True)


def test_text_on_standard_error_is_warnings_alone():
    handler = logs.handler("text", None, "r", lambda _: True)
    assert handler.level == logging.WARNING
    assert logs.handler("json", None, "r", lambda _: True).level == logging.INFO
