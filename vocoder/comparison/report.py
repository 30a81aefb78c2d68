"""The report of a comparison: one HTML folder with tables, differences, curves, audio and spectrograms."""

import json
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
from clean_corpus.vocoder.comparison.copy_synthesis import CLEAN, Spoken
from clean_corpus.vocoder.comparison.measures import LOWER_IS_BETTER, MEASURES, OPINION, PREDICTED
from clean_corpus.vocoder.comparison.result import Columns, Curves, Difference, read_result, write_result

PLAYED = 8  # utterances that can be played on the page


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

    Returns the page's path.
    Raises: ConfigError if no comparison lies in `out`.
    """
    result, found = read_result(out)
    listening = out / "listening" / "results.json"
    folder = out / "report"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "audio").mkdir(parents=True)
    (folder / "spectrograms").mkdir()
    keys, systems = result["utterances"], list(result["curves"])
    html = _TEMPLATES.get_template("comparison.html").render(
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
        listening=json.loads(listening.read_text()) if listening.exists() else None,
        curves=_curves_svg(result["curves"]),
        utterances=[_players(key, i, found, out, folder) for i, key in enumerate(keys[:PLAYED])],
        n_utterances=len(keys),
        range_db=plots.RANGE_DB,
        settings=yaml.safe_dump(result["settings"], sort_keys=False),
    )
    if listening.exists():
        shutil.copyfile(listening.with_suffix(".png"), folder / "listening.png")
    (folder / "index.html").write_text(html, encoding="utf-8")
    return folder / "index.html"


def _players(key: str, number: int, found: Columns, out: Path, folder: Path) -> dict[str, Any]:
    """Copy one utterance in every version, and draw spectrograms on one scale; return what the page shows of them."""
    waves = {}
    for system, frames in found:
        path = out / "speech" / system / ("audio" if frames is None else frames) / f"{key}.wav"
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
    """Draw the validation loss of every training against its updates."""
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
