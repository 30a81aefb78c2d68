"""What listeners answered in a blind test: exports read and checked, listeners screened, systems compared."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from clean_corpus.pipeline.core.errors import ConfigError, DataError

FORMAT = 1  # of the key that listening.py writes
NEEDED_COLUMNS = ("study", "listener", "trial", "slot", "clip", "rating")
SCALES = {"acr": (1, 2, 3, 4, 5), "ab": (0, 0.5, 1), "mushra": tuple(range(101))}
TONES = (1, 2, 3)

RESAMPLES = 2000  # of the bootstrap
CONFIDENCE = 0.95
SIGNIFICANT_P = 0.05

SLIDER_TOLERANCE = 5  # points off that a trap of mushra allows
SAME_FROM = 5  # ratings from which on "all the same" is no accident
REFERENCE_MIN, REFERENCE_MISSES = 90, 0.15  # BS.1534-3, section 4.1.2: the hidden reference, and how often below

_KEY = ("format", "study", "mode", "systems", "utterances", "reference", "clips", "trials", "traps", "headphones")


class Row(NamedTuple):
    """One answer: what a listener gave a clip in a trial, and the place it was read from."""

    listener: str
    trial: str
    slot: int
    clip: str
    rating: float
    file: Path


class Key(NamedTuple):
    """Who is who: clip -> (system, utterance), and the answers that traps and the headphone check expect."""

    study: str
    mode: str
    systems: list[str]
    utterances: list[str]
    reference: str | None
    clips: dict[str, tuple[str, str]]
    trials: dict[str, list[str]]
    traps: dict[str, tuple[list[str], int]]
    headphones: dict[str, int]


class Score(NamedTuple):
    """Mean of a system over listeners and utterances with its interval, None where nothing is known of the spread."""

    system: str
    ratings: int
    mean: float
    low: float | None
    high: float | None


class Comparison(NamedTuple):
    """Wilcoxon's signed ranks over the utterances' means of two systems; p_holm is corrected for all the pairs."""

    system: str
    against: str
    utterances: int
    difference: float
    statistic: float | None
    p: float | None
    p_holm: float | None


class Preference(NamedTuple):
    """Choices between two systems; share, interval and the binomial test leave out "no difference"."""

    system: str
    against: str
    preferred: int
    no_difference: int
    against_preferred: int
    share: float | None
    low: float | None
    high: float | None
    p: float | None


@dataclass(frozen=True)
class Results:
    """Everything that the tables, the plot and results.json show."""

    key: Key
    listeners: list[str]
    excluded: dict[str, list[str]]
    scores: list[Score] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)


Answers = Mapping[str, Mapping[str, list[Row]]]
"""Listener -> trial -> the rows of its clips, by slot."""


def load_key(path: Path) -> Key:
    """The key that was written beside a test.

    Raises: ConfigError if there is none, or it is something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--key {path}: {error.strerror}; it lies beside the test's folder, NAME.key.json") from None
    except ValueError:
        raise ConfigError(f"--key {path} is not JSON; it lies beside the test's folder, NAME.key.json") from None
    missing = [name for name in _KEY if name not in data] if isinstance(data, dict) else _KEY
    if missing:
        raise ConfigError(f"--key {path} lacks {', '.join(missing)}; is it the key of a listening test?")
    if data["format"] != FORMAT:
        raise ConfigError(
            f"--key {path} has format {data['format']}, this version reads {FORMAT}; use the one it is from"
        )
    return Key(
        *(data[name] for name in ("study", "mode", "systems", "utterances", "reference")),
        clips={name: (clip["system"], clip["utterance"]) for name, clip in data["clips"].items()},
        trials=data["trials"],
        traps={name: (trap["clips"], trap["answer"]) for name, trap in data["traps"].items()},
        headphones=data["headphones"],
    )


def analyse(files: Sequence[Path], key: Key) -> Results:
    """Exports of one or many listeners each, CSV or JSON, to screened and compared systems.

    Raises: DataError if a file cannot be used or no listener is left.
    """
    answers = collect([row for file in files for row in read_export(file, key)])
    reasons = {listener: screen(trials, key) for listener, trials in sorted(answers.items())}
    excluded = {listener: why for listener, why in reasons.items() if why}
    kept = [listener for listener in reasons if listener not in excluded]
    if not kept:
        why = "; ".join(f"{listener}: {', '.join(reasons)}" for listener, reasons in excluded.items())
        raise DataError(
            f"none of {len(excluded)} listeners is left after screening: {why or 'no answers in the files'}"
        )
    if key.mode == "ab":
        return Results(key, kept, excluded, preferences=preferences([answers[listener] for listener in kept], key))
    table = ratings([answers[listener] for listener in kept], key)
    scores = [_score(system, table[system]) for system in key.systems]
    return Results(key, kept, excluded, scores=scores, comparisons=compare(table, key.reference))


# ---- reading -----------------------------------------------------------------------------------------------------


def read_export(path: Path, key: Key) -> list[Row]:
    """The rows of one file, every one checked against the key.

    Raises: DataError that names the file, the row, the two values that disagree and the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} is no UTF-8 text; use the file as the test's page saved it") from None
    rows = list(_json_rows(path, text) if text.lstrip().startswith(("{", "[")) else _csv_rows(path, text))
    if not rows:
        raise DataError(f"{path} holds no answers; remove it, or save it again from the test's page")
    return [_row(path, where, values, key) for where, values in rows]


def _csv_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        found = reader.fieldnames or []
        if missing := [name for name in NEEDED_COLUMNS if name not in found]:
            raise DataError(
                f"{path}: no column {', '.join(missing)}, found {', '.join(found) or 'nothing'}; "
                "use the file as the test's page saved it, with commas"
            )
        for values in reader:
            yield f"line {reader.line_num}", values
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; save it again from the test's page") from None


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: broken JSON, {error}; save it again from the test's page") from None
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: no list of rows; use the file as the test's page saved it")
    for number, values in enumerate(rows, 1):
        if missing := [name for name in NEEDED_COLUMNS if name not in values]:
            raise DataError(f"{path}, row {number}: no {', '.join(missing)}; use the file as the test's page saved it")
        yield f"row {number}", values


def _row(path: Path, where: str, values: Mapping[str, Any], key: Key) -> Row:
    study, listener, trial, slot, clip, rating = (_text(values[name]) for name in NEEDED_COLUMNS)
    at = f"{path}, {where}"
    if study != key.study:
        raise DataError(
            f"{at}: answers of study {study or 'without a name'}, the key is of {key.study}; use its own key"
        )
    if not listener:
        raise DataError(f"{at}: no listener; write a name into every row of one listener")
    clips = key.trials.get(trial) or key.traps.get(trial, ([],))[0] or ([trial] if trial in key.headphones else [])
    if clip not in clips:
        raise DataError(
            f"{at}: trial {trial!r} with clip {clip!r} is not in the key of this study; save the file again"
        )
    scale = TONES if trial in key.headphones else SCALES[key.mode]
    value = _number(rating)
    if value not in scale:
        raise DataError(
            f"{at}: rating {rating!r} of listener {listener!r} is out of range, {_range(scale)} expected; "
            "correct it or save the file again"
        )
    place = _number(slot)
    if place not in range(1, len(clips) + 1):
        raise DataError(f"{at}: slot {slot!r}, 1 to {len(clips)} expected; save the file again")
    return Row(listener, trial, int(place), clip, float(value), path)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _range(scale: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in scale) if len(scale) <= 5 else f"{scale[0]} to {scale[-1]}"


def collect(rows: Sequence[Row]) -> Answers:
    """Rows by listener and trial.

    Raises: DataError if a listener appears in two files, or rated a clip of a trial twice.
    """
    homes: dict[str, Path] = {}
    answers: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        home = homes.setdefault(row.listener, row.file)
        if home != row.file:
            raise DataError(
                f"listener {row.listener!r} is in {home} and in {row.file}; remove one, or rename the person"
            )
        of_trial = answers.setdefault(row.listener, {}).setdefault(row.trial, [])
        if any(row.clip == other.clip or row.slot == other.slot for other in of_trial):
            raise DataError(
                f"{row.file}: listener {row.listener!r} answered trial {row.trial} twice; "
                "remove one, or rename the other person"
            )
        of_trial.append(row)
    for trials in answers.values():
        for of_trial in trials.values():
            of_trial.sort(key=lambda row: row.slot)
    return answers


# ---- screening ---------------------------------------------------------------------------------------------------


def screen(trials: Mapping[str, Sequence[Row]], key: Key) -> list[str]:
    """Why the answers of a listener are not counted; empty if they are.

    Source: ITU-T P.808 for traps; Woods et al. 2017 for 5 right answers of 6; BS.1534-3 for the hidden reference.
    """
    reasons = []
    done = [name for name, clips in key.trials.items() if len(trials.get(name, ())) == len(clips)]
    if len(done) < len(key.trials):
        reasons.append(f"incomplete: {len(done)} of {len(key.trials)} trials answered")
    if key.headphones:
        right = sum(name in trials and trials[name][0].rating == answer for name, answer in key.headphones.items())
        needed = len(key.headphones) - 1
        if right < needed:
            reasons.append(f"headphone check: {right} of {len(key.headphones)} right, {needed} needed")
    passed = sum(_is_passed(trials.get(name, ()), answer, key.mode) for name, (_, answer) in key.traps.items())
    if passed < len(key.traps):
        reasons.append(f"traps: {passed} of {len(key.traps)} answered as asked")
    given = [trials[name][0].rating if key.mode == "ab" else row.rating for name in done for row in trials[name]]
    if len(done) >= SAME_FROM and len(set(given)) == 1:
        what = {0: "B", 0.5: "no difference", 1: "A"}[given[0]] if key.mode == "ab" else f"{given[0]:g}"
        reasons.append(f"all {len(done)} answers are the same: {what}")
    if key.mode == "mushra" and key.reference is not None and done:
        hidden = [row.rating for name in done for row in trials[name] if key.clips[row.clip][0] == key.reference]
        low = sum(rating < REFERENCE_MIN for rating in hidden)
        if low > REFERENCE_MISSES * len(hidden):
            reasons.append(f"hidden reference below {REFERENCE_MIN} in {low} of {len(hidden)} trials")
    return reasons


def _is_passed(rows: Sequence[Row], answer: int, mode: str) -> bool:
    if mode == "ab":
        return len(rows) == 2 and rows[answer - 1].rating == 1
    tolerance = SLIDER_TOLERANCE if mode == "mushra" else 0
    return len(rows) == 1 and abs(rows[0].rating - answer) <= tolerance


# ---- statistics --------------------------------------------------------------------------------------------------


def ratings(listeners: Sequence[Mapping[str, Sequence[Row]]], key: Key) -> dict[str, NDArray[np.float64]]:
    """System -> ratings (L, U) of complete listeners, utterances in the order of the key."""
    columns = {name: at for at, name in enumerate(key.utterances)}
    table = {system: np.full((len(listeners), len(columns)), np.nan) for system in key.systems}
    for number, trials in enumerate(listeners):
        for name in key.trials:
            for row in trials[name]:
                system, utterance = key.clips[row.clip]
                table[system][number, columns[utterance]] = row.rating
    return table


def interval(table: NDArray[np.float64]) -> tuple[float, float] | tuple[None, None]:
    """Bounds that hold the mean with 95 % confidence, for other listeners and other utterances.

    Source: percentile bootstrap that draws rows and columns at once (Owen 2007, "The pigeonhole bootstrap").
    Shapes: (L, U) -> low, high; None of a single rating.

    >>> interval(np.array([[3.0, 3.0], [3.0, 3.0]]))
    (3.0, 3.0)
    """
    if table.size == 1:
        return None, None
    rng = np.random.default_rng(0)
    # how often each row and column is drawn, as shares: (R, L) and (R, U)
    rows, columns = (rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n for n in table.shape)
    means = np.einsum("rl,lu,ru->r", rows, table, columns, optimize=True)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(round(low, 12)), float(round(high, 12))


def _score(system: str, table: NDArray[np.float64]) -> Score:
    return Score(system, table.size, float(table.mean()), *interval(table))


def compare(table: Mapping[str, NDArray[np.float64]], reference: str | None) -> list[Comparison]:
    """Every two systems over the utterances' means; the reference comes second in its pairs."""
    systems = sorted(table, key=lambda system: system == reference)
    rows = []
    for system, against in combinations(systems, 2):
        difference = table[system].mean(axis=0) - table[against].mean(axis=0)
        # means of the same ratings in another order differ by rounding, which is no rank
        difference = np.round(difference, 9)
        result = stats.wilcoxon(difference) if np.any(difference) else None
        tested = (float(result.statistic), float(result.pvalue)) if result else (None, None)
        rows.append((system, against, difference.size, float(difference.mean()), *tested))
    return [Comparison(*row, p) for row, p in zip(rows, holm([row[-1] for row in rows]), strict=True)]


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number; None, where nothing differed, counts as a test too.

    Source: Holm 1979.

    >>> holm([0.01, 0.04, None])
    [0.03, 0.08, None]
    """
    corrected: list[float | None] = [None] * len(ps)
    largest = 0.0
    for rank, at in enumerate(sorted((at for at, p in enumerate(ps) if p is not None), key=lambda at: ps[at])):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[at]))
        corrected[at] = largest
    return corrected


def preferences(listeners: Sequence[Mapping[str, Sequence[Row]]], key: Key) -> list[Preference]:
    """Every two systems: choices, share of the first among those who heard a difference, two-sided binomial test.

    The test takes choices for independent, which those of one listener are not quite. Interval: Clopper-Pearson.
    """
    systems = sorted(key.systems, key=lambda system: system == key.reference)
    counts = {pair: {1.0: 0, 0.5: 0, 0.0: 0} for pair in combinations(systems, 2)}
    for trials in listeners:
        for name in key.trials:
            given = {key.clips[row.clip][0]: row.rating for row in trials[name]}
            pair = next(pair for pair in counts if set(pair) == set(given))
            counts[pair][given[pair[0]]] += 1
    rows = []
    for (system, against), count in counts.items():
        wins, ties, losses = count[1.0], count[0.5], count[0.0]
        tested: tuple[float | None, ...] = (None, None, None, None)
        if wins + losses:
            result = stats.binomtest(wins, wins + losses)
            bounds = result.proportion_ci(CONFIDENCE, method="exact")
            tested = (wins / (wins + losses), float(bounds.low), float(bounds.high), float(result.pvalue))
        rows.append(Preference(system, against, wins, ties, losses, *tested))
    return rows
