"""Log lines: credentials in them are masked, and each line can be read back."""

import json
import logging
from pathlib import Path

import pytest

from clean_corpus.flows.observe import logs
from clean_corpus.pipeline.core.errors import ConfigError


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
