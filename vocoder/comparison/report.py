"""What vocoders of several versions of a corpus came to, as one HTML folder: tables, differences, curves, audio."""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import matplotlib
import numpy as np
import yaml
from markupsafe import Markup
from matplotlib.figure import Figure

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.statistics import Column, anova, mean, wilcoxon
from clean_corpus.pipeline.report import page, plots
from clean_corpus.pipeline.training.loop import write_json
from clean_corpus.vocoder.comparison.copy_synthesis import CLEAN, LOWER_IS_BETTER, MEASURES, OPINION, PREDICTED, Spoken

HEARD = 8  # utterances to listen to on the page

Curves = Mapping[str, Sequence[tuple[int, float]]]


class Cell(NamedTuple):
    """A mean over utterances and its interval; None where nothing was measured."""

    mean: float | None
    low: float | None
    high: float | None


class Difference(NamedTuple):
    """How much a set's vocoder is above the first set's, utterance by utterance."""

    system: str
    against: str
    measure: str
    mean: float | None
    low: float | None
    high: float | None
    p: float | None

    @property
    def better(self) -> bool | None:
        """Whether it is the better one beyond doubt; None where the interval holds zero."""
        if self.mean is None or self.low is None or self.low <= 0 <= self.high:
            return None
        return (self.mean > 0) != (self.measure in LOWER_IS_BETTER)


Columns = dict[tuple[str, str | None], dict[str, Column]]
"""(system, frames) -> measure -> value of each utterance."""


def columns(spoken: Sequence[Spoken], keys: Sequence[str]) -> Columns:
    """Scores by system and frames, utterances in the order of `keys`."""
    at = {key: i for i, key in enumerate(keys)}
    found: Columns = {}
    for row in spoken:
        table = found.setdefault((row.system, row.frames), {name: np.full(len(keys), np.nan) for name in MEASURES})
        for name, value in row.scores.items():
            table[name][at[row.utterance]] = np.nan if value is None else value
    return found


def differences(found: Columns, systems: Sequence[str]) -> list[Difference]:
    """Every system's vocoder, frames of its own, against the first system's."""
    first = systems[0]
    rows = []
    for system in systems[1:]:
        for measure in MEASURES:
            a, b = found[system, "own"][measure], found[first, "own"][measure]
            _, _, value, low, high = mean(a - b)
            rows.append(Difference(system, first, measure, value, low, high, wilcoxon(a, b)[2]))
    return rows


def verdict(rows: Sequence[Difference], n_utterances: int) -> list[str]:
    """A sentence for each system: what its predicted opinion says, and what it does not."""
    said = []
    for row in rows:
        if row.measure != OPINION or row.mean is None:
            continue
        size = f"{row.mean:+.2f}" + ("" if row.low is None else f" (95 % interval {row.low:+.2f} to {row.high:+.2f})")
        shows = {
            True: "is predicted to sound better than",
            False: "is predicted to sound worse than",
            None: "is not shown to differ from",
        }[row.better]
        said.append(
            f"Trained alike on the same utterances, the vocoder of “{row.system}” {shows} that of “{row.against}”: "
            f"{size} predicted MOS over {n_utterances} utterances."
        )
    return said


def write(
    spoken: Sequence[Spoken],
    keys: Sequence[str],
    curves: Curves,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    out: Path,
) -> Path:
    """Write scores.csv, result.json, verdict.txt and what `render` writes below `out`, whose speech/ holds the audio.

    Returns the page's path.
    """
    _write_scores(spoken, out / "scores.csv")
    systems = list(curves)
    found = columns(spoken, keys)
    rows = differences(found, systems)
    said = verdict(rows, len(keys)) + [
        f"“{name}” holds the very audio of “{first}”: one training stands for both."
        for name, first in facts["twins"].items()
    ]
    groups = {(s, f): {m: Cell(*mean(c)[2:]) for m, c in table.items()} for (s, f), table in found.items()}
    tests = {m: anova([found[s, "own"][m] for s in systems]) for m in MEASURES}
    write_json(
        out / "result.json",
        {
            **facts,
            "verdict": said,
            "means": [
                {"system": s, "frames": f, **{m: c._asdict() for m, c in t.items()}} for (s, f), t in groups.items()
            ],
            "differences": [row._asdict() for row in rows],
            "anova": {m: {"f": f, "p": p, "critical": c} for m, (_, f, p, c) in tests.items()},
            "utterances": list(keys),
            "curves": curves,
            "settings": config,
        },
    )
    (out / "verdict.txt").write_text("".join(f"{sentence}\n" for sentence in said))
    return render(out)


def render(out: Path) -> Path:
    """Write report/ anew from what a comparison left in `out`, with what people heard if listening/ lies there.

    Returns the page's path.
    Raises: ConfigError if no comparison lies there.
    """
    try:
        result = json.loads((out / "result.json").read_text())
    except OSError:
        raise ConfigError(f"{out}: no comparison lies there (no result.json); give the --out of compare") from None
    keys, systems = result["utterances"], list(result["curves"])
    found = columns(_read_scores(out / "scores.csv"), keys)
    heard = out / "listening" / "results.json"
    folder = out / "report"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "audio").mkdir(parents=True)
    (folder / "spectrograms").mkdir()
    page = _TEMPLATES.get_template("comparison.html").render(
        systems=systems,
        facts=result,
        verdict=result["verdict"],
        groups={(row["system"], row["frames"]): row for row in result["means"]},
        measures={m: about for m, about in MEASURES.items() if any(np.isfinite(t[m]).any() for t in found.values())},
        predicted=PREDICTED,
        opinion=OPINION,
        lower=LOWER_IS_BETTER,
        differences=[Difference(**row) for row in result["differences"]],
        anova=result["anova"][OPINION],
        has_clean=CLEAN in systems,
        listening=json.loads(heard.read_text()) if heard.exists() else None,
        curves=_curves_svg(result["curves"]),
        utterances=[_heard(key, i, found, out, folder) for i, key in enumerate(keys[:HEARD])],
        n_utterances=len(keys),
        range_db=plots.RANGE_DB,
        settings=yaml.safe_dump(result["settings"], sort_keys=False),
    )
    if heard.exists():
        shutil.copyfile(heard.with_suffix(".png"), folder / "listening.png")
    (folder / "index.html").write_text(page, encoding="utf-8")
    return folder / "index.html"


def _write_scores(spoken: Sequence[Spoken], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("system", "frames", "utterance", *MEASURES))
        for row in spoken:
            values = (row.scores[m] for m in MEASURES)
            frames = "audio" if row.frames is None else row.frames
            writer.writerow((row.system, frames, row.utterance, *("" if v is None else f"{v:.6g}" for v in values)))


def _read_scores(path: Path) -> list[Spoken]:
    with path.open(newline="") as file:
        return [
            Spoken(
                row["system"],
                None if row["frames"] == "audio" else row["frames"],
                row["utterance"],
                {m: float(row[m]) if row[m] else None for m in MEASURES},
            )
            for row in csv.DictReader(file)
        ]


def _heard(key: str, number: int, found: Columns, out: Path, folder: Path) -> dict[str, Any]:
    """One utterance in every version, on one scale."""
    waves = {}
    for system, frames in found:
        path = out / "speech" / system / ("audio" if frames is None else frames) / f"{key}.wav"
        waves[system, frames] = path, *decode.decode(path.read_bytes())
    powers = {which: plots.power_spectrogram(x) for which, (_, x, _) in waves.items()}
    loudest = max(float(power.max()) for power in powers.values())
    players = []
    for i, ((system, frames), (path, x, rate)) in enumerate(waves.items()):
        file = f"{number:03}-{i:02}"
        shutil.copyfile(path, folder / "audio" / f"{file}.wav")
        plots.write_spectrogram(folder / "spectrograms" / f"{file}.png", powers[system, frames], loudest)
        players.append(
            {
                "system": system,
                "frames": frames,
                "audio": f"audio/{file}.wav",
                "image": f"spectrograms/{file}.png",
                "times_s": plots.ticks(len(x) / rate, 4),
                "frequencies_khz": plots.ticks(rate / 2000, 4),
            }
        )
    return {"key": key, "players": players}


def _curves_svg(curves: Curves) -> Markup:
    """Validation loss of every training against its updates."""
    with matplotlib.rc_context(plots.style(plots.PAGE, salt="curves")):
        figure = Figure(figsize=(5.6, 2.8), layout="constrained")
        ax = figure.subplots()
        dashes = ((), (5, 2), (1, 2), (6, 2, 1, 2))
        for i, (system, points) in enumerate(curves.items()):
            steps, values = zip(*points, strict=True) if points else ((), ())
            colour = plots.PAGE.raw if i == 0 else plots.PAGE.enhanced
            ax.plot(steps, values, color=colour, dashes=dashes[i % len(dashes)], linewidth=1.4, label=system)
        ax.set_xlabel("updates")
        ax.set_ylabel("validation, nats per sample")
        ax.grid(True)
        ax.legend(frameon=False, labelcolor=plots.PAGE.ink)
        return plots.svg(figure)


def _number(value: float | None, name: str = "") -> str:
    digits = 1 if name.endswith("_hz") else 3 if name in ("stoi", "voicing_error") else 2
    return "\N{EN DASH}" if value is None else f"{value:.{digits}f}"


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 60
        else f"{seconds / 60:.1f} min"
        if seconds < 3600
        else f"{seconds / 3600:.2f} h"
    )


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader([Path(__file__).parent / "templates", Path(page.__file__).parent / "templates"]),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"number": _number, "duration": _duration}
