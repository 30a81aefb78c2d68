"""The report of a comparison: one HTML folder with tables, differences, curves, audio and spectrograms."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
import yaml
from markupsafe import Markup
from matplotlib.figure import Figure

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.report import page, plots
from clean_corpus.pipeline.report.replaced import replaced
from clean_corpus.vocoder.comparison.copy_synthesis import CLEAN, OWN, Spoken, speech_folder
from clean_corpus.vocoder.comparison.differences import Difference
from clean_corpus.vocoder.comparison.measures import LOWER_IS_BETTER, MEASURES, NAMES
from clean_corpus.vocoder.comparison.result import Curves, Tables, read_result, write_result

PLAYED = 6  # utterances that can be played on the page
SHARES = ("stoi", "voicing_error", "word_error_rate", "speaker_likeness")  # measures of which 0.01 is much

_OWN = re.compile(r"index\.html|listening\.png|audio/\d+-\d+\.wav|spectrograms/\d+-\d+\.png")

Heard = tuple[str, str | None]
"""A system, and the frames that its vocoder speaks from; None for the audio of the set itself."""


def write(
    spoken: Sequence[Spoken],
    keys: Sequence[str],
    curves: Curves,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    out: Path,
) -> Path:
    """Write the result and the report below `out`, whose speech/ holds the audio; return the page's path."""
    write_result(spoken, keys, curves, facts, config, out)
    return render(out)


def render(out: Path) -> Path:
    """Write report/ anew from the result in `out`, with the listening test in listening/, if there is one.

    Files in it that no such report has stay. Returns the page's path.
    Raises: ConfigError if no comparison lies in `out`.
    """
    result, found = read_result(out)
    with replaced(out / "report", lambda name: _OWN.fullmatch(name) is not None) as folder:
        _write_files(result, found, out, folder)
    return out / "report" / "index.html"


def _write_files(result: Mapping[str, Any], found: Tables, out: Path, folder: Path) -> None:
    listening = out / "listening" / "results.json"
    (folder / "audio").mkdir()
    (folder / "spectrograms").mkdir()
    keys = result["utterances"]
    rows = [Difference(**row) for row in result["differences"]]
    aa = result["aa"]["system"] if result["aa"] else None
    html = _TEMPLATES.get_template("comparison.html").render(
        facts=result,
        groups={(row["system"], row["frames"]): row for row in result["means"]},
        measures={m: about for m, about in MEASURES.items() if any(np.isfinite(t[m]).any() for t in found.values())},
        names=NAMES,
        lower=LOWER_IS_BETTER,
        family=[row for row in rows if row.p_holm is not None],
        floor=[row for row in rows if row.system == aa and row.mean is not None],
        others=[row for row in rows if row.p_holm is None and row.system != aa and row.mean is not None],
        has_clean=CLEAN in result["systems"],
        listening=json.loads(listening.read_text()) if listening.exists() else None,
        curves=_curves_svg(result["curves"]),
        utterances=[_players(key, i, _heard(result), out, folder) for i, key in enumerate(keys[:PLAYED])],
        range_db=plots.RANGE_DB,
        settings=yaml.safe_dump(result["settings"], sort_keys=False),
    )
    if listening.exists():
        shutil.copyfile(listening.with_suffix(".png"), folder / "listening.png")
    (folder / "index.html").write_text(html, encoding="utf-8")


def _heard(result: Mapping[str, Any]) -> list[Heard]:
    """Return what can be played of an utterance: no set whose audio another has, and no frames twice."""
    again = {result["aa"]["system"]: result["aa"]["of"]} if result["aa"] else {}
    heard: list[Heard] = []
    for row in result["means"]:
        system, frames = row["system"], row["frames"]
        source = again.get(system, system)
        if system not in result["twins"] and not (frames == OWN and source == result["frames_from"]):
            heard.append((system, frames))
    return heard


def _players(key: str, number: int, heard: Sequence[Heard], out: Path, folder: Path) -> dict[str, Any]:
    """Copy one utterance in every version, of the first training of each; return what the page shows of them.

    All spectrograms are on one scale.
    """
    waves = {}
    for system, frames in heard:
        path = speech_folder(out, system, frames, 0) / f"{key}.wav"
        waves[system, frames] = path, *decode.decode(path.read_bytes())
    powers = {version: plots.power_spectrogram(x) for version, (_, x, _) in waves.items()}
    loudest = max(float(power.max()) for power in powers.values())
    players = []
    for i, ((system, frames), (path, x, rate)) in enumerate(waves.items()):
        name = f"{number:03}-{i:02}"
        shutil.copyfile(path, folder / "audio" / f"{name}.wav")
        plots.write_spectrogram(folder / "spectrograms" / f"{name}.png", powers[system, frames], loudest)
        players.append(
            {
                "system": system,
                "frames": frames,
                "audio": f"audio/{name}.wav",
                "image": f"spectrograms/{name}.png",
                "times_s": plots.ticks(len(x) / rate, 4),
                "frequencies_khz": plots.ticks(rate / 2000, 4),
            }
        )
    return {"key": key, "players": players}


def _curves_svg(curves: Curves) -> Markup:
    """Draw the validation loss of every training against its updates; trainings of one set have one line style."""
    with matplotlib.rc_context(plots.style(plots.PAGE, salt="curves")):
        figure = Figure(figsize=(5.6, 2.8), layout="constrained")
        ax = figure.subplots()
        dashes = ((), (5, 2), (1, 2), (6, 2, 1, 2), (3, 1), (8, 3))
        for i, (system, trainings) in enumerate(curves.items()):
            colour = plots.PAGE.raw if i == 0 else plots.PAGE.enhanced
            style = {"color": colour, "dashes": dashes[i % len(dashes)], "linewidth": 1.4 if len(trainings) == 1 else 1}
            for number, points in enumerate(trainings):
                steps, values = zip(*points, strict=True) if points else ((), ())
                ax.plot(steps, values, label=None if number else system, **style)
        ax.set_xlabel("updates")
        ax.set_ylabel("validation, nats per sample")
        ax.grid(True)
        ax.legend(frameon=False, labelcolor=plots.PAGE.ink)
        return plots.svg(figure)


def _number(value: float | None, name: str = "") -> str:
    digits = (
        1
        if name.endswith("_hz")
        else 3
        if name in ("stoi", "voicing_error", "word_error_rate", "speaker_likeness")
        else 2
    )
    return "\N{EN DASH}" if value is None else f"{value:.{digits}f}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader([Path(__file__).parent / "templates", Path(page.__file__).parent / "templates"]),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"number": _number, "duration": _duration}
