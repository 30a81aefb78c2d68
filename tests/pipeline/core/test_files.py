"""A file is there whole or not at all, and others may read it as the umask says."""

import json
import os
import stat

import pytest

from clean_corpus.pipeline.core.files import new_file, write_json, write_whole


def test_a_file_is_replaced_whole_or_left_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="killed here"):
            write_whole(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.wav"]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.wav"]


def test_a_link_is_replaced_and_what_it_led_to_stays(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    for name, link in (("hard", os.link), ("soft", os.symlink)):
        link(tmp_path / "mine", tmp_path / name)
        write_whole(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new" and not (tmp_path / name).is_symlink()
    assert (tmp_path / "mine").read_bytes() == b"mine"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_permissions_are_what_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def test_a_new_file_is_hidden_and_gone_unless_it_was_renamed(tmp_path):
    with new_file(tmp_path) as file:
        file.write(b"x")
        (name,) = os.listdir(tmp_path)
        assert name.startswith(".")
    assert os.listdir(tmp_path) == []


def test_json_is_replaced_whole(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    write_json(tmp_path / "a.json", {"a": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
