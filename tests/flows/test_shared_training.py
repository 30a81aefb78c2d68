"""Processes that share a training: each knows its part, one speaks, and what goes wrong in one of them ends all."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from clean_corpus.flows import shared_training
from clean_corpus.flows.shared_training import share
from clean_corpus.pipeline.core.errors import CleanCorpusError, DataError

LONG_S = 600.0  # until then nobody waits for a process that will not come


def tell(folder, say):
    names = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    about = [os.environ[name] for name in names] + [str(torch.get_num_threads()), str(os.getpid()), repr(say)]
    path = folder / about[0]
    path.write_text(" ".join(about))
    return path


def test_each_process_knows_its_part_and_the_first_speaks(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert share(2, tell, tmp_path) == tmp_path / "0"
    first, second = ((tmp_path / name).read_text().split() for name in "01")
    assert first[:3] + second[:3] == ["0", "0", "2", "1", "0", "2"]
    assert first[3:6] == second[3:6] == ["127.0.0.1", first[4], str(torch.get_num_threads())]
    assert len({first[6], second[6], str(os.getpid())}) == 3
    assert (first[7:9], second[7:]) == (["<function", "show"], ["None"])


def test_one_process_is_this_one(tmp_path, capsys):
    assert share(1, lambda folder, say: say("a [line]") or folder / str(os.getpid()), tmp_path).name == str(os.getpid())
    assert capsys.readouterr().err == "a [line]\n"


def fail_in_the_second(folder, say):
    if say is None:
        raise DataError("shard x.tar: cut")
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(LONG_S)  # as one that waits for the other's gradients


def test_what_one_alone_cannot_read_ends_all(tmp_path):
    began = time.monotonic()
    with pytest.raises(DataError, match=r"^shard x\.tar: cut$"):
        share(2, fail_in_the_second, tmp_path)
    assert time.monotonic() - began < LONG_S / 2
    if (tmp_path / "pid").exists():
        wait_until_gone(int((tmp_path / "pid").read_text()))


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
        assert time.monotonic() < deadline, f"process {pid} outlived its training"
        time.sleep(0.05)


def lose_the_second(how, folder, say):
    if say is None:
        (folder / "began").touch()
        time.sleep(0.5)
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise FloatingPointError("loss nan at step 3")
    while not (folder / "began").exists():
        time.sleep(0.01)
    raise RuntimeError("Connection closed by peer")  # which the first sees sooner than we hear of the other's end


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ("killed", CleanCorpusError, "died in train_part: out of memory"),
        ("raised", FloatingPointError, "^loss nan at step 3$"),
    ],
)
def test_what_happened_to_one_is_named_rather_than_that_others_lost_it(how, error, says, tmp_path):
    with pytest.raises(error, match=says):
        share(2, partial(lose_the_second, how), tmp_path)


def fail_in_the_first(say):
    if say is None:
        time.sleep(LONG_S)
    raise ZeroDivisionError("our own mistake")


def test_a_mistake_of_ours_ends_all_too(monkeypatch):
    monkeypatch.setattr(shared_training, "GRACE_S", 0.1)
    with pytest.raises(ZeroDivisionError, match="our own mistake"):
        share(2, fail_in_the_first)
