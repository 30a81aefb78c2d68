"""Log lines: credentials are masked wherever they stand, and each line can be read back."""

import json
import logging
import time
from pathlib import Path

import pytest

from clean_corpus.flows.observe import logs
from clean_corpus.pipeline.core.errors import ConfigError

# the examples of AWS's own documentation
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
SESSION_TOKEN = "AQoDYXdzEJr" * 12 + "Zz0+/w=="


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


@pytest.mark.parametrize(
    "text",
    [
        f"key {ACCESS_KEY} was refused",
        "ASIAIOSFODNN7EXAMPLE",
        f"secret {SECRET_KEY}.",
        f"aws_secret_access_key = {SECRET_KEY}",
        f'{{"aws_session_token": "{SESSION_TOKEN}"}}',
        f"with {SESSION_TOKEN} it failed",
        "postgresql+asyncpg://prefect:hunter2-hunter2@db:5432/prefect",
        "https://bucket.s3.amazonaws.com/a.wav?X-Amz-Credential=hunter2-hunter2&X-Amz-Signature=hunter2-hunter2&part=1",
        "https://host/a?AWSAccessKeyId=x&Signature=hunter2-hunter2",
        "https://account.blob/x?sv=1&sig=hunter2-hunter2",
        "Authorization: Bearer hunter2-hunter2",
        "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261121/eu/s3/aws4_request, "
        "SignedHeaders=host, Signature=hunter2-hunter2",
        "{'password': 'hunter2-hunter2 with spaces'}",
        "MY_API_KEY=hunter2-hunter2",
    ],
)
def test_no_secret_of_a_text_is_left(text):
    result = logs.mask(text)
    for secret in (ACCESS_KEY, "ASIAIOSFODNN7EXAMPLE", SECRET_KEY, SESSION_TOKEN, "hunter2-hunter2", "with spaces"):
        assert secret not in result
    assert logs.MASK in result and logs.mask(result) == result


@pytest.mark.parametrize(
    "text",
    [
        "work/raw/0123456789abcdef01234567-000.tar",
        "s3://bucket/folder/2026-11-21/Interview_Part2.wav",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "git da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "enhancement lowered dnsmos_sig: 3.1 -> 2.5, allowed 0.5",
        "snr_db 3 < 12",
        "http://127.0.0.1:9000/metrics",
        "speaker anna@example.org",
    ],
)
def test_what_is_no_credential_stays(text):
    assert logs.mask(text) == text


@pytest.mark.parametrize("piece", ["A", "a_", "a-b", "aA1/", "://", "secret ", "secret=", "'\"", "x@"])
def test_masking_takes_time_in_proportion_to_the_text(piece):
    """Names of files and texts of exceptions are anyone's; a quadratic pattern needs minutes here."""
    start = time.perf_counter()
    logs.mask(piece * (200_000 // len(piece)))
    assert time.perf_counter() - start < 5


def test_values_of_the_environment_are_masked_whatever_they_look_like(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "lower case phrase")
    assert logs.mask("it was <lower case phrase>") == "it was <****>"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert logs.mask("a test server") == "a test server"


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


def test_a_text_line_stays_one_line(record):
    record.fields = {"error": 'it said "no"\nand more', "shard": "s0"}
    line = logs.TextFormatter("run-1").format(record)
    assert line.split(" ", 1)[1] == r'WARNING shard error="it said \"no\"\nand more" run=run-1 shard=s0'


def test_a_line_of_another_logger_is_the_event_message():
    record = logging.LogRecord("clean_corpus.x", logging.INFO, "x.py", 1, "read %d of %s", (3, "in"), None)
    facts = json.loads(logs.JsonFormatter("r").format(record))
    assert (facts["event"], facts["message"], facts["logger"]) == ("message", "read 3 of in", "clean_corpus.x")


def test_a_file_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"observe\.log_file .*cannot be written"):
        logs.handler("json", tmp_path / "file" / "log", "r", lambda _: True)


@pytest.mark.parametrize(("style", "begins"), [("text", "1970-01-01T"), ("json", '{"event": "shard"')])
def test_a_file_gets_wanted_lines_of_every_level_after_those_that_are_there(record, tmp_path, style, begins):
    path = tmp_path / "deep" / "run.log"
    unwanted = logging.makeLogRecord({"msg": "another run's"})
    record.levelno, record.levelname = logging.INFO, "INFO"
    for _ in range(2):
        handler = logs.handler(style, path, "run-1", lambda line: line is not unwanted)
        for line in (record, unwanted):
            handler.handle(line)
        handler.close()
    lines = path.read_text().splitlines()
    assert len(lines) == 2 and lines[0] == lines[1] and lines[0].startswith(begins)


def test_text_on_standard_error_is_warnings_alone():
    handler = logs.handler("text", None, "r", lambda _: True)
    assert handler.level == logging.WARNING
    assert logs.handler("json", None, "r", lambda _: True).level == logging.INFO


def test_lines_that_are_held_back_are_said_when_asked_for_and_once(monkeypatch, capsys):
    monkeypatch.setattr(logs.LOGGER, "handlers", [])  # as before a run begins: Python itself prints warnings
    seen = []
    listener = logging.Handler()
    listener.emit = lambda record: seen.append(record.getMessage())
    with logs.held_back() as say:
        logs.LOGGER.warning("one")
        logs.LOGGER.info("two")
        logs.LOGGER.addHandler(listener)
        say()
        logs.LOGGER.info("three")
    assert seen == ["one", "two", "three"] and capsys.readouterr().err == ""


def test_lines_that_nobody_asks_for_are_not_said(monkeypatch, capsys):
    monkeypatch.setattr(logs.LOGGER, "handlers", [])
    with logs.held_back():
        logs.LOGGER.warning("one")
    assert capsys.readouterr().err == ""
    logs.LOGGER.warning("two")
    assert capsys.readouterr().err == "two\n", "Python's own handler prints here, so the line above could fail"
