"""The command as a user runs it: exit codes and messages. A process of its own each time."""

import pytest


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
