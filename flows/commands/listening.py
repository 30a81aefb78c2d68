"""`clean-corpus listening-test` and `listening-results`: a blind test as a folder, its answers as tables and a plot."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from clean_corpus.flows.commands import listening_report
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.discover.recordings import printable
from clean_corpus.vocoder.listening.key import load_key
from clean_corpus.vocoder.listening.page import Written, write_test
from clean_corpus.vocoder.listening.recordings import NATURAL
from clean_corpus.vocoder.listening.results import analyse
from clean_corpus.vocoder.listening.study import Mode


def listening_test(
    source: Path,
    out: Path,
    console: Console,
    *,
    mode: Mode,
    seed: int,
    per_system: int | None,
    reference: str | None,
    key: Path | None,
    traps: int,
    headphones: bool,
    title: str,
) -> Written:
    """Write a listening test and print what is in it.

    Raises: ConfigError for folders, a reference or a key that cannot be used; DataError for an unusable recording.
    """
    with console.status("levelling clips"):
        written = write_test(
            source,
            out,
            mode=mode,
            seed=seed,
            per_system=per_system,
            reference=reference,
            key=key,
            traps=traps,
            headphones=headphones,
            title=title,
        )
    if written.left_out:
        shown = ", ".join(written.left_out[:5]) + (", ..." if len(written.left_out) > 5 else "")
        console.print(f"left out, not in every system: {len(written.left_out)} ({shown})", markup=False)
    console.print(
        f"study {written.study}: {len(written.systems)} systems, {written.utterances} utterances, "
        f"{written.trials} trials for each listener, all at {written.loudness_lufs:g} LUFS",
        highlight=False,
        soft_wrap=True,
    )
    return written


def listening_results(exports: Sequence[Path], key: Path, out: Path, console: Console) -> Path:
    """Screen and compare what listeners saved; return the path of results.md, beside results.json and results.png.

    Raises: ConfigError if the key cannot be used; DataError if an export cannot, or no listener is left.
    """
    results = analyse(exports, load_key(key))
    for listener, reasons in results.excluded.items():
        console.print(f"not counted: {listener}: {'; '.join(reasons)}", markup=False, soft_wrap=True)
    console.print(f"listeners {len(results.listeners)}, not counted {len(results.excluded)}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(listening_report.as_json(results), indent=2) + "\n", encoding="utf-8")
    listening_report.plot(results, out / "results.png")
    path = out / "results.md"
    path.write_text(listening_report.report(results), encoding="utf-8")
    return path


def merge(results: Path, comparison: Path) -> Path:
    """Put the results of a folder into the report of a comparison, in which they may lie; return its page.

    Raises: ConfigError if no comparison lies there, or people heard nothing of it.
    """
    from clean_corpus.vocoder.comparison import report as comparison_report
    from clean_corpus.vocoder.comparison.result import read_result

    kept = comparison / "listening"
    if not (comparison / "result.json").exists():
        raise ConfigError(f"--comparison {comparison}: no result.json there; give the --out of compare")
    heard, compared = json.loads((results / "results.json").read_text()), read_result(comparison)[0]
    for what, there, here in (
        ("system", heard["systems"], [*compared["systems"], NATURAL]),
        ("utterance", heard["utterances"], compared["utterances"]),
    ):
        if not set(there) & set(map(printable, here)):
            raise ConfigError(
                f"--comparison {comparison}: no {what} of listening test {heard['study']} is in it: {_some(there)} "
                f"were heard, {_some(here)} compared; give the comparison that the test was made from"
            )
    kept.mkdir(exist_ok=True)
    if not kept.samefile(results):
        for name in ("results.json", "results.png"):
            shutil.copyfile(results / name, kept / name)
    return comparison_report.render(comparison)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
