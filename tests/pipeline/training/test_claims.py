"""A folder belongs to one training, whose settings may have been written by an older program or elsewhere."""

import json

import pytest

from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.files import write_json
from clean_corpus.pipeline.training.claims import MOVED, claim


class MixSettings(Section):
    seconds: float = 3.0
    references: str | None = None


class Settings(Section):
    steps: int = 10
    workers: int = 1
    mix: MixSettings = MixSettings()


def test_a_folder_belongs_to_one_training(tmp_path):
    claim(tmp_path / "out", {"row": "crn"}, Settings(), {"workers", "mix"})
    claim(tmp_path / "out", {"row": "crn"}, Settings(workers=2), {"workers", "mix"})
    assert json.loads((tmp_path / "out/run.json").read_text()) == {"row": "crn", "steps": 10}
    with pytest.raises(ConfigError, match=r"steps: 10 there, 20 now"):
        claim(tmp_path / "out", {"row": "crn"}, Settings(steps=20), {"workers", "mix"})
    with pytest.raises(ConfigError, match=r"row: 'crn' there, 'nsnet' now"):
        claim(tmp_path / "out", {"row": "nsnet"}, Settings(), {"workers", "mix"})


def test_a_setting_that_an_older_program_did_not_know_had_its_default(tmp_path):
    write_json(tmp_path / "run.json", {"row": "crn", "steps": 20, "mix": {"seconds": 3.0}})
    with pytest.raises(ConfigError, match=r"mix: .*'references': None.* there, .*'references': 'b'.* now"):
        claim(tmp_path, {"row": "crn"}, Settings(steps=20, mix=MixSettings(references="b")))
    with pytest.raises(ConfigError, match=r"workers: 1 there, 2 now"):
        claim(tmp_path, {"row": "crn"}, Settings(steps=20, workers=2))
    claim(tmp_path, {"row": "crn"}, Settings(steps=20))
    assert json.loads((tmp_path / "run.json").read_text()) == {"row": "crn", **Settings(steps=20).model_dump()}


def test_a_moved_training_takes_the_paths_that_are_asked_for_and_no_other_setting(tmp_path):
    write_json(tmp_path / "run.json", {"row": "crn", "mix": {"seconds": 3.0}, MOVED: True})
    with pytest.raises(ConfigError, match=r"mix: .*3\.0.* there, .*4\.0.* now"):
        claim(tmp_path, {"row": "crn", "speech": ["a"]}, Settings(mix=MixSettings(seconds=4.0, references="b")))
    asked = {"row": "crn", "speech": ["a"]}, Settings(mix=MixSettings(references="b"))
    claim(tmp_path, *asked)
    assert json.loads((tmp_path / "run.json").read_text()) == asked[0] | asked[1].model_dump()
    with pytest.raises(ConfigError, match="speech"):
        claim(tmp_path, {"row": "crn", "speech": ["c"]}, asked[1])
