"""A folder's objects are whole or absent; a full or forbidden disk is explained, and one run at a time writes."""

import errno
import fcntl
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.storage.base import StorageError
from clean_corpus.pipeline.storage.local import LocalStore


def test_an_object_appears_whole_or_not_at_all(tmp_path):
    store = LocalStore(tmp_path)
    with pytest.raises(KeyboardInterrupt), store.writer("shards/a.tar") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert store.size("shards/a.tar") is None
    assert list((tmp_path / "work" / "tmp").iterdir()) == []
    store.write("shards/a.tar", b"whole")
    assert store.read("shards/a.tar") == b"whole"


def test_replacing_keeps_the_old_object_until_the_new_one_is_whole(tmp_path):
    store = LocalStore(tmp_path)
    store.write("a", b"old")
    with pytest.raises(ValueError), store.writer("a") as file:
        file.write(b"new")
        raise ValueError
    assert store.read("a") == b"old"


def test_keys_are_sorted_and_of_one_folder(tmp_path):
    store = LocalStore(tmp_path)
    for key in ("s/b", "s/a", "s/deeper/c", "t/d"):
        store.write(key, b"")
    assert list(store.keys("s")) == ["s/a", "s/b"]
    assert list(store.keys("absent")) == []


def test_a_full_disk_is_a_storage_error_that_says_how_to_go_on(tmp_path):
    store = LocalStore(tmp_path)
    with pytest.raises(StorageError, match=r"No space left.*run the same command again"), store.writer("a"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_in_place_of_the_output_folder_is_a_config_error(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        LocalStore(tmp_path / "out").prepare()


def test_a_run_removes_what_a_killed_one_left_and_keeps_others_out(tmp_path):
    store = LocalStore(tmp_path)
    store.prepare()
    (tmp_path / "work" / "tmp" / "left").write_bytes(b"x")
    with store.only_run():
        assert list((tmp_path / "work" / "tmp").iterdir()) == []
        with pytest.raises(ConfigError, match="another run"), LocalStore(tmp_path).only_run():
            pass


def without_links(monkeypatch, code: int) -> None:
    def refuse(*_, **__) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EMLINK])
def test_a_version_is_committed_where_there_are_no_hard_links(tmp_path, monkeypatch, code):
    """As on exFAT, gcsfuse, some SMB and container mounts: of many that create one object, one wins, whole."""
    without_links(monkeypatch, code)
    store = LocalStore(tmp_path)
    store.prepare()
    with store.only_run(), ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda i: LocalStore(tmp_path).create("versions/1", b"%d" % i), range(8)))
    assert won.count(True) == 1 and store.read("versions/1") == b"%d" % won.index(True)
    assert list((tmp_path / "work" / "tmp").iterdir()) == []


def test_a_folder_that_cannot_commit_is_refused_at_the_start(tmp_path, monkeypatch):
    without_links(monkeypatch, errno.EPERM)
    store = LocalStore(tmp_path)
    store.prepare()
    monkeypatch.setattr(os, "replace", os.link)
    with pytest.raises(ConfigError, match=r"neither hard links nor locks.*choose a folder elsewhere"), store.only_run():
        pass


def test_a_folder_that_cannot_lock_is_refused_at_the_start(tmp_path, monkeypatch):
    def refuse(*_, **__) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    store = LocalStore(tmp_path)
    store.prepare()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ConfigError, match=r"cannot lock files \(No locks available\)"), store.only_run():
        pass


def test_no_permissions_are_set_which_not_every_file_system_allows(tmp_path, monkeypatch):
    """A FAT mount refuses any mode but its own."""

    def refuse(*_, **__) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for name in ("chmod", "fchmod"):
        monkeypatch.setattr(os, name, refuse)
    store = LocalStore(tmp_path)
    store.write("a", b"1")
    assert store.create("b", b"2")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_permissions_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        store = LocalStore(tmp_path)
        store.write("a", b"1")
        store.create("b", b"2")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"] == [mode, mode]
