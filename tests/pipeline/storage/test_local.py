"""A folder's objects are whole or absent; a full or forbidden disk is explained, and one run at a time writes."""

import errno

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
