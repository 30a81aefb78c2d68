"""The plan of a listening test: trials of each mode, traps that ask for every answer, names that tell nothing."""

from itertools import permutations

import pytest

from clean_corpus.vocoder.listening.study import Study, StudySettings
from tests.support.listening import tone_systems


@pytest.fixture
def recordings(tmp_path):
    tone_systems(tmp_path, utterances=2)
    return {
        folder.name: {path.stem: path for path in sorted(folder.iterdir())} for folder in sorted(tmp_path.iterdir())
    }


def study(recordings, mode="acr", **settings):
    defaults = {"seed": 0, "reference": None, "traps": 4, "headphones": True, "title": "t"}
    return Study(recordings, StudySettings(mode=mode, **(defaults | settings)))


@pytest.mark.parametrize(("mode", "trials", "clips"), [("acr", 6, 1), ("ab", 6, 2), ("mushra", 2, 3)])
def test_every_system_is_heard_with_every_utterance(recordings, mode, trials, clips):
    """Three systems, two utterances: each alone, in three pairs, or all at once."""
    plan = study(recordings, mode)
    assert len(plan.trials) == trials and all(len(trial["clips"]) == clips for trial in plan.trials)
    heard = [clip for trial in plan.trials for clip in trial["clips"]]
    assert sorted(heard) == sorted([*plan.clip_ids.values()] * (trials * clips // 6))
    assert {trial["group"] for trial in plan.trials} == {0, 1}


def test_traps_ask_for_every_answer(recordings):
    traps = study(recordings).traps.values()
    assert sorted(trap.answer for trap in traps) == [1, 2, 3, 4]
    assert all(trap.n_beeps == trap.answer and trap.clips == [trap.beeping] for trap in traps)
    sliders = study(recordings, "mushra", reference="xylovoc").traps.values()
    assert sorted((trap.answer, trap.n_beeps) for trap in sliders) == [(10, 1), (20, 2), (30, 3), (40, 4)]
    assert all(trap.reference is not None for trap in sliders)


def test_checks_have_every_order_of_the_tones(recordings):
    assert sorted(study(recordings).checks.values()) == sorted(permutations(range(3)))
    assert study(recordings, headphones=False).checks == {}


def test_names_depend_on_recordings_and_settings(recordings):
    first = study(recordings)
    assert first.name == study(recordings).name and first.page_data() == study(recordings).page_data()
    assert first.name != study(recordings, seed=1).name
    recordings["xylovoc"]["sentence-0"].write_bytes(b"other")
    assert first.name != study(recordings).name
