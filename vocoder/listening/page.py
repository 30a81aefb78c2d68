"""A blind listening test as one folder that works offline; the key that tells systems apart lies beside it."""

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import jinja2

from clean_corpus.pipeline.core.errors import ConfigError, nearest
from clean_corpus.vocoder.listening.clips import write_clips
from clean_corpus.vocoder.listening.recordings import common_utterances, draw_utterances, find_systems
from clean_corpus.vocoder.listening.study import Mode, Study, StudySettings

_WRITTEN = 946_684_800  # 1 January 2000: a file's date must not tell in which order the clips were made
_MARK = "clean-corpus listening test"


class Written(NamedTuple):
    """A test that was written: its files, and the utterances that not every system has."""

    page: Path
    key: Path
    study: str
    systems: list[str]
    utterances: int
    left_out: list[str]
    trials: int
    loudness_lufs: float


def write_test(
    source: Path,
    out: Path,
    *,
    mode: Mode = "acr",
    seed: int = 0,
    per_system: int | None = None,
    reference: str | None = None,
    key: Path | None = None,
    traps: int = 2,
    headphones: bool = True,
    title: str = "Listening test",
) -> Written:
    """Write a page with the utterances that all of SOURCE/SYSTEM/UTTERANCE.* have, and the key to its opaque names.

    `per_system` utterances are drawn, the same of every system; None takes all. The key is written to `key`, by default
    beside OUT as NAME.key.json. The same recordings and settings give the same bytes.

    Source: ITU-T P.800 (acr), P.808 (traps, environment), BS.1534-3 (mushra); Woods et al. 2017 (headphones).
    Departs: a trap asks for a number by beeps after the clip, because no voice is shipped; mushra has no anchors.
    Raises: ConfigError for folders, a reference or a key that cannot be used; DataError for an unusable recording.
    """
    key = key or out.resolve().with_name(f"{out.resolve().name}.key.json")
    _check_locations(source, out, key)
    out = out.resolve()
    systems = find_systems(source)
    if reference is not None and reference not in systems:
        known = ", ".join(systems)
        raise ConfigError(f"--reference {reference}: no such system, found {known}{nearest(reference, systems)}")
    common = common_utterances(systems)
    left_out = sorted({name for clips in systems.values() for name in clips} - set(common))
    utterances = draw_utterances(common, per_system, seed)
    recordings = {system: {name: systems[system][name] for name in utterances} for system in systems}
    study = Study(recordings, StudySettings(mode, seed, reference, traps, headphones, title))
    _check_key(key, study.name)
    loudness_lufs = _write_folder(study, out, key)
    counts = len(utterances), left_out, len(study.trials)
    return Written(out / "index.html", key, study.name, [*systems], *counts, loudness_lufs)


def _write_folder(study: Study, out: Path, key: Path) -> float:
    """Write the test beside `out`, then the key, then move the test to `out`; return the loudness in LUFS."""
    fresh, stale = (out.with_name(f".{out.name}.{state}") for state in ("new", "old"))
    for leftover in filter(Path.exists, (fresh, stale)):
        shutil.rmtree(leftover)
    (fresh / "audio").mkdir(parents=True)
    loudness_lufs = write_clips(study, fresh / "audio")
    settings = study.settings
    page = _TEMPLATES.get_template("listening.html").render(
        title=settings.title, mark=_MARK, data=study.page_data(), mode=settings.mode
    )
    (fresh / "index.html").write_text(page, encoding="utf-8")
    for path in (*fresh.rglob("*"), fresh):
        os.utime(path, (_WRITTEN, _WRITTEN))
    key.parent.mkdir(parents=True, exist_ok=True)
    key.write_text(json.dumps(study.key_data() | {"loudness_lufs": loudness_lufs}, indent=1) + "\n", encoding="utf-8")
    if out.exists():
        out.rename(stale)
    fresh.rename(out)
    if stale.exists():
        shutil.rmtree(stale)
    return loudness_lufs


def _check_locations(source: Path, out: Path, key: Path) -> None:
    """Refuse an output within the recordings, a key within the output, and to overwrite another folder."""
    root, page, secret = source.resolve(), out.resolve(), key.resolve()
    if page == root or root in page.parents or page in root.parents:
        raise ConfigError(f"--out {out} and DIR {source} lie in each other; choose a folder beside it")
    if page == secret or page in secret.parents:
        raise ConfigError(f"--key {key} lies in --out {out}, which listeners get; choose a place outside it")
    page = out / "index.html"
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        is_test = page.is_file() and _MARK in page.read_text(encoding="utf-8", errors="replace")[:2000]
        if not is_test:
            raise ConfigError(f"--out {out} exists and is no listening test; choose another folder, or remove it")


def _check_key(key: Path, study: str) -> None:
    """Refuse to overwrite the key of another study, whose answers could not be read any more."""
    if not key.exists():
        return
    try:
        other = json.loads(key.read_text(encoding="utf-8"))["study"]
    except (ValueError, KeyError, TypeError, OSError):
        raise ConfigError(f"--key {key} exists and is no key of a listening test; choose another place") from None
    if other != study:
        raise ConfigError(
            f"--key {key} belongs to study {other}, this one is {study}; choose another --out or --key, or remove it"
        )


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
