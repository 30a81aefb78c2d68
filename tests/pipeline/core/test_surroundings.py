"""A home that cannot be written, no semaphores, another encoding: it works, or one sentence says the remedy."""

import errno
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clean_corpus.pipeline.core import memory, surroundings
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.surroundings import require_semaphores, user_cache, writable_cache


@pytest.fixture
def environment(monkeypatch):
    """Give the test an environment of its own."""
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    mine = dict(os.environ)
    monkeypatch.setattr(os, "environ", mine)
    return mine


def test_a_home_that_can_be_written_is_used_and_not_touched(environment, tmp_path):
    environment["HOME"] = str(tmp_path)
    with writable_cache():
        assert user_cache() == tmp_path / ".cache" / "clean-corpus"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("why", ["read-only", "a file", "no home"])
def test_a_home_that_cannot_be_written_is_stood_in_for(environment, tmp_path, monkeypatch, why):
    environment["HOME"] = str(tmp_path / "home")
    if why == "read-only":
        monkeypatch.setattr(os, "access", lambda path, mode: not Path(path).is_relative_to(tmp_path))
    elif why == "a file":
        (tmp_path / "home").write_text("")
    else:
        monkeypatch.setattr(Path, "home", no_home)
    with writable_cache():
        folder = user_cache()
        folder.mkdir(parents=True)
        assert "clean-corpus-cache-" in str(folder)
        assert all(name in environment for name in ("MPLCONFIGDIR", "NUMBA_CACHE_DIR", "TRITON_CACHE_DIR"))
    assert not folder.exists()


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_no_home_is_said_in_one_sentence(environment, monkeypatch):
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(ConfigError, match="set HOME or XDG_CACHE_HOME"):
        user_cache()


def test_no_semaphores_are_said_in_one_sentence(monkeypatch):
    def refuse(_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(multiprocessing.context.BaseContext, "Lock", refuse)
    with pytest.raises(CleanCorpusError, match=r"/dev/shm: Read-only file system; .*--shm-size"):
        require_semaphores()


@pytest.mark.parametrize(
    ("limit", "addresses", "least", "words"),
    [
        (600e6, float("inf"), surroundings.WORKERS_BYTES, r"600 MB of memory, .* take 700 MB; .*--memory=2g"),
        (800e6, float("inf"), surroundings.RUN_BYTES, r"800 MB of memory, .* take 950 MB"),
        (64e9, 600e6, surroundings.WORKERS_BYTES, r"may have 0\.6 GB; raise the limit \(ulimit -v unlimited\)"),
    ],
)
def test_too_little_memory_is_said_in_one_sentence(monkeypatch, limit, addresses, least, words):
    monkeypatch.setattr(memory, "memory_limit", lambda: limit)
    monkeypatch.setattr(memory, "address_space_limit", lambda: addresses)
    with pytest.raises(CleanCorpusError, match=words):
        surroundings.require_memory(least)
    monkeypatch.setattr(memory, "memory_limit", lambda: least)
    monkeypatch.setattr(memory, "address_space_limit", lambda: float("inf"))
    surroundings.require_memory(least)


@pytest.mark.parametrize(
    ("error", "words"),
    [(MemoryError(), "no more memory"), (OSError(errno.ENOMEM, "x"), "no more memory"),
     (RuntimeError("can't start new thread"), "or threads"), (RuntimeError("x"), None), (OSError(errno.EIO, "x"), None),
     (OSError(errno.ENOSPC, "No space left on device", "out/a"), "out/a: No space left on device; make room"),
     (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; make room where this command writes"),
     (PermissionError(errno.EACCES, "Permission denied", "ro/demo"), "ro/demo: Permission denied; make room")],
)  # fmt: skip
def test_what_the_system_refuses_is_said_in_one_sentence(error, words):
    said = surroundings.explained(error)
    assert said is None if words is None else words in said


@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
                                    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}])  # fmt: skip
def test_names_beyond_ascii_work_whatever_the_locale(tmp_path, locale):
    code = "import sys; from clean_corpus.pipeline.core.surroundings import speak_utf8; speak_utf8(); "
    code += "open(sys.argv[1], 'w').write('gr\\u00fc\\u00df'); print(sys.argv[1], '\\u00fc \\udce9')"
    name = tmp_path / "größe.txt"
    ended = subprocess.run([sys.executable, "-c", code, name], env=os.environ | locale, capture_output=True, check=True)
    assert name.read_text("utf-8") == "grüß"
    printed = ended.stdout.decode("utf-8")
    assert printed.endswith("\\udce9\n") and printed.startswith(str(tmp_path))
