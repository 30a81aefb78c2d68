"""Verdicts: a sentence for each case, and what the sentence does not claim."""

import numpy as np
import pytest

from clean_corpus.vocoder.comparison import differences, result, verdict
from tests.support.compared import KEYS, facts, spoken

UNEVEN = np.linspace(-0.1, 0.1, 6)


def said(values, about, *, own=0.0, distillmos=False, again=None):
    """The sentences on the set `gated` whose trainings gain `values` on those of `raw`."""
    base = np.full((about["seeds"], 6), 2.5) + UNEVEN
    rows = spoken("raw", base, distillmos=distillmos) + spoken("gated", base + values, own=own, distillmos=distillmos)
    if again is not None:
        rows += spoken("raw-again", base + again, audio=False, distillmos=distillmos)
    found = result.tables(rows, KEYS)
    opinions = differences.headlines(found)
    compared = differences.between(found, [("gated", "raw")], opinions)
    if about["aa"]:
        compared += differences.in_pairs(found, [("raw-again", "raw")])
    return verdict.sentences(compared, opinions, len(KEYS), about)


@pytest.mark.parametrize(
    ("gain", "words"),
    [
        (0.5 + UNEVEN, "is predicted to sound better than that of “raw”: +0.50 (95 % interval +0.4"),
        (-0.5 + UNEVEN, "is predicted to sound worse than that of “raw”: -0.50 (95 % interval -0.5"),
        (5 * UNEVEN + 0.01, "is not shown to differ from that of “raw”: +0.01 (95 % interval -0."),
    ],
)
def test_the_verdict_is_about_common_frames_and_names_own_ones(gain, words):
    first, cover = said(gain, facts("raw", "gated"), own=0.75)
    assert first.startswith("Trained alike and heard from the same frames, those of “gated”, the vocoder of “gated” ")
    assert words in first and "after Holm's correction for 1) DNSMOS P.808" in first
    assert f"From frames of its own set: {np.mean(gain) + 0.75:+.2f} (95 % interval" in first
    assert "trained once" in cover and "not another training; --seeds 3" in cover


def test_distillmos_decides_and_the_other_stands_beside_it():
    first, cover = said(0.5 + UNEVEN, facts("raw", "gated", seeds=3), distillmos=True)
    assert "after Holm's correction for 2) DistillMOS, +0.50 (95 % interval" in first and "DNSMOS P.808." in first
    assert cover == "Means and intervals are over 6 utterances and 3 trainings of each set."


def test_seeds_that_disagree_show_nothing():
    """One training in three gained much: over utterances alone that would be a sure win."""
    gains = np.array([[0.9], [0.1], [0.05]]) + UNEVEN
    first, _ = said(gains, facts("raw", "gated", seeds=3))
    assert "is not shown to differ from" in first


def test_a_difference_within_the_noise_floor_is_said_to_be():
    about = facts("raw", "gated", aa="raw", seeds=3)
    above, floor, _ = said(0.5 + UNEVEN, about, again=0.1 * UNEVEN)
    assert "differ as much" not in above
    assert floor.startswith("“raw” trained once more with other seeds differs from itself by +0.00 (95 % interval")
    assert "differences smaller than 0.01 are those between two trainings on the same audio" in floor
    within, floor, _ = said(0.2 + 0.1 * UNEVEN, about, again=0.3 + UNEVEN)
    assert "is predicted to sound better" in within
    assert "Two trainings on the same audio differ as much (up to 0.3" in within and "smaller than 0.3" in floor


def test_sets_with_equal_audio_and_comparisons_without_scores_say_so():
    about = facts("raw", "gated", twins={"again": "raw"})
    assert said(UNEVEN, about)[-1] == "“again” holds the very audio of “raw”: the trainings of one stand for both."
    silent = said(np.full(6, np.nan), about)
    assert silent[0].startswith("No vocoder said anything that could be scored") and len(silent) == 2
