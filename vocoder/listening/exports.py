"""Answers of a listening test as its page exports them: CSV or JSON, every row checked against the key."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.vocoder.listening.key import Key

COLUMNS = ("study", "listener", "trial", "slot", "clip", "rating")  # those that are read; exports have more
SCALES = {"acr": (1, 2, 3, 4, 5), "ab": (0, 0.5, 1), "mushra": tuple(range(101))}
TONES = (1, 2, 3)


class Row(NamedTuple):
    """One answer: the rating of a clip in a trial by a listener, the clip's position, and the file it was read from."""

    listener: str
    trial: str
    slot: int
    clip: str
    rating: float
    file: Path


Answers = Mapping[str, Mapping[str, list[Row]]]
"""Listener -> trial -> the rows of its clips, by slot."""


def read_export(path: Path, key: Key) -> list[Row]:
    """Read the rows of one file.

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
    return [_row(path, position, values, key) for position, values in rows]


def _csv_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the position of each row in the file and its values by column."""
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        found = reader.fieldnames or []
        if missing := [name for name in COLUMNS if name not in found]:
            raise DataError(
                f"{path}: no column {', '.join(missing)}, found {', '.join(found) or 'nothing'}; "
                "use the file as the test's page saved it, with commas"
            )
        for values in reader:
            yield f"line {reader.line_num}", values
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; save it again from the test's page") from None


def _json_rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the position of each row in the file and its values by column."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: broken JSON, {error}; save it again from the test's page") from None
    rows = data.get("rows") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: no list of rows; use the file as the test's page saved it")
    for number, values in enumerate(rows, 1):
        if missing := [name for name in COLUMNS if name not in values]:
            raise DataError(f"{path}, row {number}: no {', '.join(missing)}; use the file as the test's page saved it")
        yield f"row {number}", values


def _row(path: Path, position: str, values: Mapping[str, Any], key: Key) -> Row:
    """Check one row against the key."""
    study, listener, trial, slot, clip, rating = (_text(values[name]) for name in COLUMNS)
    at = f"{path}, {position}"
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
    number = _number(slot)
    if number not in range(1, len(clips) + 1):
        raise DataError(f"{at}: slot {slot!r}, 1 to {len(clips)} expected; save the file again")
    return Row(listener, trial, int(number), clip, float(value), path)


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
    """Group rows by listener and trial.

    Raises: DataError if a listener appears in two files, or rated a clip of a trial twice.
    """
    files: dict[str, Path] = {}
    answers: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        file = files.setdefault(row.listener, row.file)
        if file != row.file:
            raise DataError(
                f"listener {row.listener!r} is in {file} and in {row.file}; remove one, or rename the person"
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
