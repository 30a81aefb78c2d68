"""The command as a user runs it: exit codes and messages, mostly in a process of its own."""

import sys

import pytest

from clean_corpus.flows.cli import app
from clean_corpus.pipeline.storage import s3_client


@pytest.fixture
def main(monkeypatch, capsys):
    """Run the program in this process: exit code, and what it printed on standard error."""
    monkeypatch.setattr(app, "speak_utf8", lambda: None)  # it may start the process anew
    s3_client._client_of.cache_clear()

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["clean-corpus", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            app.main()
        return end.value.code, capsys.readouterr().err

    yield run
    s3_client._client_of.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "{tmp}/absent", "{tmp}/out"], 2, "INPUT {tmp}/absent: no such file or folder"),
        (["run", "{in}", "{in}"], 2, "choose another OUTPUT"),
        (["run", "{in}", "{tmp}/file"], 2, "cannot be written"),
        (["run", "{in}", "{tmp}/out", "--set", "gate.dnsmos_ovrl_mn=2"], 2, "did you mean 'dnsmos_ovrl_min'?"),
        (["run", "{in}", "{tmp}/out", "--config", "{tmp}/no.yaml"], 2, "no such file"),
        (["run", "{in}", "{tmp}/out", "--enhancer", "default-casual"], 2, "did you mean 'default-causal'?"),
        (["enhance", "{tmp}/absent", "{tmp}/out"], 2, "{tmp}/absent"),
        (["enhance", "{in}", "{tmp}/out", "--enhancer", "nothing"], 2, "has no weights"),
        (["demo", "{tmp}/file/below"], 1, ": Not a directory; make room"),
        (["score", "{in}", "--clean", "{tmp}/absent"], 2, "no such folder"),
        (["train-enhancer", "cgcnr", "--speech", "{in}", "--noise", "{in}", "--out", "{tmp}"], 2, "mean 'cgcrn'"),
    ],
)  # fmt: skip
def test_wrong_arguments_end_with_one_clear_line(command, demo_corpus, tmp_path, arguments, code, words):
    (tmp_path / "file").write_text("")

    def place(text: str) -> str:
        return text.replace("{tmp}", str(tmp_path)).replace("{in}", str(demo_corpus))

    returned, text = command(*map(place, arguments))
    assert returned == code and place(words) in text.replace("\n", "") and "Traceback" not in text, text


def test_nothing_to_read_is_exit_code_1(command, tmp_path):
    (tmp_path / "in").mkdir()
    code, text = command("score", tmp_path / "in")
    assert code == 1 and "nothing could be read" in text


def test_the_password_of_an_endpoint_is_not_printed(main, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://user:hunter2pw@127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr(s3_client, "RETRY_S", 0)
    code, text = main("versions", "s3://vout/corpus")
    assert code == 2 and "http://****@127.0.0.1:1/" in text and "hunter2pw" not in text


def test_no_secret_is_in_the_traceback_of_a_bug(main, monkeypatch):
    def broken(*_: object) -> None:
        raise ValueError("https://host/a?X-Amz-Signature=hunter2pw&part=1")

    monkeypatch.setattr(app, "app", broken)
    code, text = main("versions", "out")
    assert code == 1 and "hunter2pw" not in text
    assert "Traceback" in text and "ValueError: https://host/a?X-Amz-Signature=****&part=1" in text
