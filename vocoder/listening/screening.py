"""Screening of listeners: headphones, traps, missing or uniform answers, the hidden reference."""

from collections.abc import Mapping, Sequence

from clean_corpus.vocoder.listening.exports import Row
from clean_corpus.vocoder.listening.key import Key

SLIDER_TOLERANCE = 5  # points by which an answer to a trap of mushra may be off
UNIFORM_FROM = 5  # ratings from which on equal answers are no accident
REFERENCE_MIN, REFERENCE_MISSES = 90, 0.15  # BS.1534-3, section 4.1.2: least rating, and largest share below it


def screen(trials: Mapping[str, Sequence[Row]], key: Key) -> list[str]:
    """Return the reasons for which a listener is not counted, none for one who is.

    Source: ITU-T P.808 for traps; Woods et al. 2017 for 5 right answers of 6; BS.1534-3 for the hidden reference.
    """
    complete = [name for name, clips in key.trials.items() if len(trials.get(name, ())) == len(clips)]
    reasons = []
    if len(complete) < len(key.trials):
        reasons.append(f"incomplete: {len(complete)} of {len(key.trials)} trials answered")
    if key.headphones:
        right = sum(name in trials and trials[name][0].rating == answer for name, answer in key.headphones.items())
        needed = len(key.headphones) - 1
        if right < needed:
            reasons.append(f"headphone check: {right} of {len(key.headphones)} right, {needed} needed")
    passed = sum(_is_passed(trials.get(name, ()), answer, key.mode) for name, (_, answer) in key.traps.items())
    if passed < len(key.traps):
        reasons.append(f"traps: {passed} of {len(key.traps)} answered as asked")
    return [*reasons, *_uniform_answers(trials, complete, key), *_missed_reference(trials, complete, key)]


def _is_passed(rows: Sequence[Row], answer: int, mode: str) -> bool:
    if mode == "ab":
        return len(rows) == 2 and rows[answer - 1].rating == 1
    tolerance = SLIDER_TOLERANCE if mode == "mushra" else 0
    return len(rows) == 1 and abs(rows[0].rating - answer) <= tolerance


def _uniform_answers(trials: Mapping[str, Sequence[Row]], complete: Sequence[str], key: Key) -> list[str]:
    """Return a reason if all answers are the same."""
    ratings = [trials[name][0].rating if key.mode == "ab" else row.rating for name in complete for row in trials[name]]
    if len(complete) < UNIFORM_FROM or len(set(ratings)) != 1:
        return []
    answer = {0: "B", 0.5: "no difference", 1: "A"}[ratings[0]] if key.mode == "ab" else f"{ratings[0]:g}"
    return [f"all {len(complete)} answers are the same: {answer}"]


def _missed_reference(trials: Mapping[str, Sequence[Row]], complete: Sequence[str], key: Key) -> list[str]:
    """Return a reason if the hidden reference of mushra was rated low too often."""
    if key.mode != "mushra" or key.reference is None or not complete:
        return []
    hidden = [row.rating for name in complete for row in trials[name] if key.clips[row.clip][0] == key.reference]
    low = sum(rating < REFERENCE_MIN for rating in hidden)
    if low <= REFERENCE_MISSES * len(hidden):
        return []
    return [f"hidden reference below {REFERENCE_MIN} in {low} of {len(hidden)} trials"]
