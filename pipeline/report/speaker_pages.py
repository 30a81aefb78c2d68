"""The pages of speakers beside a report: a table of all with a map of their voices, and a page for each."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clean_corpus.pipeline.audio.encode import write_wav
from clean_corpus.pipeline.corpus.embeddings import Embedding
from clean_corpus.pipeline.report import speaker_figures, speaker_map
from clean_corpus.pipeline.report.cards import AudioOf
from clean_corpus.pipeline.report.render import TEMPLATES

FOLDER = "speakers"


def write_speakers(
    ledger: Path, embeddings: Iterable[Embedding], run: Mapping[str, Any], report: Path, audio: AudioOf
) -> int:
    """Write speakers/ below a report's folder; return the number of speakers, 0 if there are none and no pages.

    The version of a clip that is played is the one that was chosen. `audio` is called for `speaker_figures.picked`.
    Raises: duckdb.Error if the ledger lacks a column.
    """
    found = speaker_figures.speakers(ledger)
    if not found:
        return 0
    folder = report / FOLDER
    (folder / "audio").mkdir(parents=True)
    heard, total = speaker_figures.heard(ledger), speaker_figures.count(ledger)
    points = speaker_map.points(embeddings)
    shown = {
        "run": run,
        "name": Path(str(run["input"])).name or run["input"],
        "measured": speaker_figures.measured(found),
        "width": speaker_map.WIDTH,
    }
    files = {speaker.name: f"{_file(speaker.name)}.html" for speaker in found[: speaker_figures.PAGES]}
    colours = {speaker.name: i for i, speaker in enumerate(found[: speaker_map.COLOURED])}
    legend = [(colours[name], name) for name in colours]
    index = TEMPLATES.get_template("speakers.html").render(
        **shown,
        speakers=found,
        files=files,
        total=total,
        legend=legend,
        map=speaker_map.svg(points, colours) if points else None,
        n_points=len(points),
    )
    (folder / "index.html").write_text(index, encoding="utf-8", errors="backslashreplace")
    for speaker in found[: speaker_figures.PAGES]:
        clips = [_clip(row, folder, audio) for row in heard.get(speaker.name, ())]
        page = TEMPLATES.get_template("speaker.html").render(
            **shown,
            speaker=speaker,
            clips=clips,
            map=speaker_map.svg(points, colours, speaker.name) if points else None,
            n_own=sum(point.name == speaker.name for point in points),
        )
        (folder / files[speaker.name]).write_text(page, encoding="utf-8", errors="backslashreplace")
    return total


def _file(name: str) -> str:
    """Return a name of a file that no two speakers share, whatever characters their names have.

    >>> _file("../Anna")
    '3ea758fbe582f56a'
    """
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _clip(row: dict[str, Any], folder: Path, audio: AudioOf) -> dict[str, Any]:
    """Return a clip's row with the file of its audio, None where it is not at hand."""
    sound = audio(row["clip_id"], row["chosen"] or "raw")
    if sound is None:
        return row | {"audio": None}
    file = f"audio/{_file(row['clip_id'])}.wav"
    write_wav(folder / file, np.clip(sound[0], -1, 1), sound[1])
    return row | {"audio": file}
