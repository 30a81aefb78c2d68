"""Two recordings of one key, which with 64 bits nobody sees: both have a row, and one of them says why."""

import pytest

from clean_corpus.pipeline.core import types
from clean_corpus.pipeline.discover import find_all


@pytest.fixture
def same_stem(tmp_path, monkeypatch):
    """Twenty recordings of one stem, whose keys have one digit."""
    monkeypatch.setattr(types, "KEY_DIGITS", 1)
    for i in range(20):
        (tmp_path / f"{i:02d}").mkdir()
        (tmp_path / f"{i:02d}" / "x.wav").write_bytes(b"x")
    return tmp_path


def test_of_recordings_with_one_key_the_first_goes_on_and_the_others_say_why(same_stem):
    found = find_all(same_stem, exclude=None)
    refused = [recording for recording in found if recording.error]
    assert len({recording.key for recording in found}) == 20
    assert 4 <= len(refused) < 20, "of 20 keys of 16 digits at least 4 are taken"
    good = {recording.key[-1]: recording.source for recording in found if not recording.error}
    for recording in refused:
        digit = types.path_digest(recording.path)[0]
        assert recording.error == f"key taken: {digit} ends the key of {good[digit]} too; rename one of the two"
        assert recording.source > good[digit]


def test_keys_of_other_scripts_differ(tmp_path):
    for name in ("录音一", "录音二", "録音一"):
        (tmp_path / f"{name}.wav").write_bytes(b"x")
    found = find_all(tmp_path, exclude=None)
    assert len({recording.key for recording in found}) == 3 and not any(recording.error for recording in found)
