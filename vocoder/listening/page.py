"""A blind listening test as one folder that works offline: page, levelled clips under opaque names; its key apart."""

import hashlib
import json
import os
import shutil
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jinja2
import numpy as np

from clean_corpus.pipeline.audio import decode, loudness
from clean_corpus.pipeline.core.config import AudioConfig
from clean_corpus.pipeline.core.errors import ConfigError, DataError, nearest
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.discover.recordings import printable

Mode = Literal["acr", "ab", "mushra"]

LOUDNESS_LUFS, TRUE_PEAK_DB = -23.0, -1.0
QUIETEST_LUFS = -35.0  # a test may be lowered to this for the sake of its peakiest clip
RATES_HZ = (8000, 48000)  # the least and the most that AudioConfig takes

TONE_HZ, TONE_S, TONE_GAP_S, QUIETER_DB = 200.0, 1.0, 0.5, 6.0  # of the headphone check
BEEP_HZ, BEEP_S, BEEP_GAP_S = 1000.0, 0.15, 0.25  # of the traps
TRAP_ANSWERS: dict[Mode, tuple[int, ...]] = {"acr": (1, 2, 3, 4), "ab": (1, 2), "mushra": (10, 20, 30, 40)}
BEEPS_PER_ANSWER = {"acr": 1, "ab": 1, "mushra": 1 / 10}
EXAMPLE_BEEPS = 2
NATURAL = "natural"  # what recordings themselves are called beside vocoders

_WRITTEN = 946_684_800  # 1 January 2000: a file's date must not tell in which order the clips were made
_MARK = "clean-corpus listening test"


class Written(NamedTuple):
    """What was written, and how much of what was found went into it."""

    page: Path
    key: Path
    study: str
    systems: list[str]
    utterances: int
    left_out: list[str]
    trials: int
    loudness_lufs: float


@dataclass(frozen=True)
class _Settings:
    mode: Mode
    seed: int
    reference: str | None
    traps: int
    headphones: bool
    title: str


Clips = Mapping[str, Mapping[str, Path]]
"""System -> utterance -> recording, the same utterances in every system."""


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
    """A page with the utterances that all of SOURCE/SYSTEM/UTTERANCE.* have, and the key that tells who is who.

    `per_system` utterances are drawn, the same of every system; None takes all. The key goes to OUT's sibling
    NAME.key.json unless told otherwise. Same recordings and settings, same bytes.

    Source: ITU-T P.800 (acr), P.808 (traps, environment), BS.1534-3 (mushra); Woods et al. 2017 (headphones).
    Departs: a trap asks for a number by beeps after the clip, for no voice is shipped; no anchors in mushra.
    Raises: ConfigError for folders, a reference or a key that cannot be used; DataError for an unusable recording.
    """
    key = key or out.resolve().with_name(f"{out.resolve().name}.key.json")
    _check_places(source, out, key)
    out = out.resolve()
    systems = find_systems(source)
    if reference is not None and reference not in systems:
        known = ", ".join(systems)
        raise ConfigError(f"--reference {reference}: no such system, found {known}{nearest(reference, systems)}")
    utterances = common_utterances(systems)
    left_out = sorted({name for clips in systems.values() for name in clips} - set(utterances))
    utterances = _draw(utterances, per_system, seed)
    clips = {system: {name: systems[system][name] for name in utterances} for system in systems}
    settings = _Settings(mode, seed, reference, traps, headphones, title)
    study = _Study(clips, settings)
    _check_key(key, study.name)
    fresh, stale = (out.with_name(f".{out.name}.{state}") for state in ("new", "old"))
    for leftover in filter(Path.exists, (fresh, stale)):
        shutil.rmtree(leftover)
    (fresh / "audio").mkdir(parents=True)
    loudness_lufs = study.write_audio(fresh / "audio")
    page = _TEMPLATES.get_template("listening.html").render(title=title, mark=_MARK, data=study.data, mode=mode)
    (fresh / "index.html").write_text(page, encoding="utf-8")
    for path in (*fresh.rglob("*"), fresh):
        os.utime(path, (_WRITTEN, _WRITTEN))
    key.parent.mkdir(parents=True, exist_ok=True)
    key.write_text(json.dumps(study.key | {"loudness_lufs": loudness_lufs}, indent=1) + "\n", encoding="utf-8")
    if out.exists():
        out.rename(stale)
    fresh.rename(out)
    if stale.exists():
        shutil.rmtree(stale)
    n_trials = len(study.data["trials"])
    return Written(out / "index.html", key, study.name, [*systems], len(utterances), left_out, n_trials, loudness_lufs)


def find_systems(root: Path) -> dict[str, dict[str, Path]]:
    """System -> utterance -> recording, of every folder directly below `root`; hidden ones are passed over.

    Of a comparison (--out of `compare`): what each vocoder made of its own set's frames, and as `natural` the
    recordings of the clean set, or of the first one.
    Raises: ConfigError if there are fewer than two systems, an empty one, or two files for one utterance.
    """
    if not root.is_dir():
        raise ConfigError(f"DIR {root}: no such folder")
    named = _of_comparison(root) or {
        printable(path.name): path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")
    }
    if len(named) < 2:
        raise ConfigError(f"DIR {root}: {len(named)} folders, at least 2 needed, one for each system")
    systems: dict[str, dict[str, Path]] = {}
    for name, folder in named.items():
        found = systems[name] = {}
        for path in sorted(folder.iterdir()):
            if not path.is_file() or path.name.startswith("."):
                continue
            if (other := found.setdefault(printable(path.stem), path)) != path:
                raise ConfigError(f"{path} and {other} are one utterance of one system; remove one")
        if not found:
            raise ConfigError(f"system {name!r}: no recordings in {folder}; add them or remove the folder")
    return systems


def _of_comparison(root: Path) -> dict[str, Path]:
    """Systems of a comparison and where their speech lies; a set with the very audio of another is heard once."""
    if not (root / "result.json").is_file() or not (root / "speech").is_dir():
        return {}
    result = json.loads((root / "result.json").read_text())
    sets = [name for name in result["hours"] if name not in result["twins"]]
    natural = "clean" if "clean" in sets else sets[0]
    return {name: root / "speech" / name / "own" for name in sets} | {NATURAL: root / "speech" / natural / "audio"}


def common_utterances(systems: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """The utterances that every system has, sorted.

    Raises: ConfigError if there are none; it names the systems that share nothing.

    >>> common_utterances({"a": {"u1": Path(), "u2": Path()}, "b": {"u2": Path()}})
    ['u2']
    """
    common = sorted(set.intersection(*(set(clips) for clips in systems.values())))
    if common:
        return common
    apart = [f"{a!r} and {b!r}" for a, b in combinations(systems, 2) if not set(systems[a]) & set(systems[b])]
    first = "; ".join(f"{system!r} has {next(iter(clips))!r}" for system, clips in systems.items())
    who = f"{', '.join(apart)} have none in common" if apart else "every two systems share some"
    raise ConfigError(f"no utterance is in all {len(systems)} systems: {who} ({first}, ...); use the same file names")


def headphone_tones(quiet: int, antiphase: int, sample_rate: int) -> Audio:
    """Three tones, one of them quieter and another one in antiphase between the ears.

    Over loudspeakers the antiphase tone cancels itself and is taken for the quietest; over headphones it is not.

    Source: Woods et al. 2017, "Headphone screening to facilitate web-based auditory experiments".
    Shapes: numbers of the tones from 0 -> (N, 2), full scale +-1.
    """
    n_tone, n_gap = round(TONE_S * sample_rate), round(TONE_GAP_S * sample_rate)
    tone = _tone(TONE_HZ, n_tone, sample_rate, ramp_s=TONE_S / 10)
    parts = []
    for number in range(3):
        gain = 10 ** (-QUIETER_DB / 20) if number == quiet else 1.0
        both = gain * np.stack([tone, -tone if number == antiphase else tone], axis=1)
        parts += [both, np.zeros((n_gap, 2))]
    return np.concatenate(parts[:-1]).astype(np.float32)


def with_beeps(x: Audio, sample_rate: int, beeps: int) -> Audio:
    """A clip and, after a pause, so many beeps.

    Shapes: (N,) -> (M,), M > N.
    """
    beep = _tone(BEEP_HZ, round(BEEP_S * sample_rate), sample_rate, ramp_s=0.01)
    gap = np.zeros(round(BEEP_GAP_S * sample_rate), np.float32)
    return np.concatenate([x, *(part for _ in range(beeps) for part in (gap, beep))]).astype(np.float32)


def _tone(frequency_hz: float, n_samples: int, sample_rate: int, *, ramp_s: float) -> Audio:
    """A sine at the level of the clips, with ramps against clicks."""
    time_s = np.arange(n_samples) / sample_rate
    ramp = np.clip(np.minimum(time_s, time_s[::-1]) / ramp_s, 0, 1)
    amplitude = np.sqrt(2) * 10 ** (LOUDNESS_LUFS / 20)
    return (amplitude * ramp * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


class _Study:
    """Trials, opaque names and what lies behind each."""

    def __init__(self, clips: Clips, settings: _Settings) -> None:
        self._settings = settings
        self._clips = clips
        self._secret = _digest(clips, settings)
        self.name = self._opaque("study")
        self._systems, self._utterances = [*clips], [*next(iter(clips.values()))]
        self._rng = np.random.default_rng(int(self._secret[:16], 16))
        self._clip_ids = {(s, u): self._opaque("clip", s, u) for s in self._systems for u in self._utterances}
        self._open_ids = {u: self._opaque("open reference", u) for u in self._utterances} if self._has_open else {}
        self._traps = self._plan_traps()
        self._checks = {self._opaque("check", *map(str, p)): p for p in permutations(range(3))}
        self._checks = dict(sorted(self._checks.items())) if settings.headphones else {}

    @property
    def _has_open(self) -> bool:
        return self._settings.mode == "mushra" and self._settings.reference is not None

    @property
    def data(self) -> dict[str, Any]:
        """What the page knows. Sorted by opaque names, so that no order tells anything."""
        traps = [
            {"id": name, "clips": trap["clips"], "answer": trap["answer"], "reference": trap["reference"]}
            for name, trap in self._traps.items()
        ]
        return {
            "study": self.name,
            "mode": self._settings.mode,
            "trials": self._trials(),
            "traps": traps,
            "headphones": [{"id": name, "answer": p[0] + 1} for name, p in self._checks.items()],
            "example": self._opaque("example"),
            "example_beeps": EXAMPLE_BEEPS,
        }

    @property
    def key(self) -> dict[str, Any]:
        """What only the results command knows."""
        return {
            "format": 1,
            "study": self.name,
            "title": self._settings.title,
            "mode": self._settings.mode,
            "seed": self._settings.seed,
            "reference": self._settings.reference,
            "systems": self._systems,
            "utterances": self._utterances,
            "clips": {name: {"system": s, "utterance": u} for (s, u), name in sorted(self._clip_ids.items())},
            "trials": {trial["id"]: trial["clips"] for trial in self._trials()},
            "traps": {n: {"clips": trap["clips"], "answer": trap["answer"]} for n, trap in self._traps.items()},
            "headphones": {name: p[0] + 1 for name, p in self._checks.items()},
        }

    def write_audio(self, folder: Path) -> float:
        """Every file that the page plays, at one rate and one loudness; returns that loudness in LUFS."""
        paths = [self._clips[s][u] for s, u in self._clip_ids]
        sample_rate = min(max(map(_sample_rate, paths), default=RATES_HZ[0]), RATES_HZ[1])
        sample_rate = max(sample_rate, RATES_HZ[0])  # one rate for all: a header must not tell systems apart
        loudness_lufs = _common_loudness(paths, sample_rate)

        def heard(system: str, utterance: str) -> Audio:
            x = _whole(self._clips[system][utterance], sample_rate)
            return loudness.level(x, sample_rate, loudness_lufs=loudness_lufs, true_peak_db=TRUE_PEAK_DB)[0]

        for (system, utterance), name in self._clip_ids.items():
            decode.write_wav(folder / f"{name}.wav", heard(system, utterance), sample_rate)
        for utterance, name in self._open_ids.items():
            decode.write_wav(folder / f"{name}.wav", heard(self._settings.reference, utterance), sample_rate)
        for trap in self._traps.values():
            x = heard(*trap["base"])
            decode.write_wav(folder / f"{trap['beeping']}.wav", with_beeps(x, sample_rate, trap["beeps"]), sample_rate)
        x = heard(*min(self._clip_ids, key=self._clip_ids.get))
        decode.write_wav(
            folder / f"{self._opaque('example')}.wav", with_beeps(x, sample_rate, EXAMPLE_BEEPS), sample_rate
        )
        for name, (quiet, antiphase, _) in self._checks.items():
            _write_stereo(folder / f"{name}.wav", headphone_tones(quiet, antiphase, sample_rate), sample_rate)
        return round(loudness_lufs, 2)

    def _trials(self) -> list[dict[str, Any]]:
        groups = {u: n for n, u in enumerate(sorted(self._utterances, key=lambda u: self._opaque("group", u)))}
        sizes = {"acr": 1, "ab": 2, "mushra": len(self._systems)}
        trials = []
        for utterance in self._utterances:
            for systems in combinations(self._systems, sizes[self._settings.mode]):
                clips = sorted(self._clip_ids[system, utterance] for system in systems)
                name = self._opaque("trial", *clips)
                open_id = self._open_ids.get(utterance)
                trials.append({"id": name, "clips": clips, "group": groups[utterance], "reference": open_id})
        return sorted(trials, key=lambda trial: trial["id"])

    def _plan_traps(self) -> dict[str, dict[str, Any]]:
        """Trap -> its clips, the answer it asks for, the beeps that ask for it and the clip they follow."""
        mode = self._settings.mode
        traps = {}
        answers = self._rng.permutation(np.resize(TRAP_ANSWERS[mode], max(self._settings.traps, 4)))
        for number, answer in enumerate(answers[: self._settings.traps].tolist()):
            base = [*self._clip_ids][self._rng.integers(len(self._clip_ids))]
            beeping = self._opaque("beeping", str(number))
            traps[self._opaque("trap", str(number))] = {
                "clips": sorted([beeping, self._clip_ids[base]] if mode == "ab" else [beeping]),
                "answer": answer,
                "beeps": round(answer * BEEPS_PER_ANSWER[mode]),
                "base": base,
                "beeping": beeping,
                "reference": self._open_ids.get(base[1]),
            }
        return dict(sorted(traps.items()))

    def _opaque(self, *parts: str) -> str:
        return hashlib.sha256("\0".join((self._secret, *parts)).encode()).hexdigest()[:12]


def _digest(clips: Clips, settings: _Settings) -> str:
    """Hash of recordings and settings: names made from it cannot be guessed by who has not the recordings."""
    files = [[s, u, sha256_file(path)] for s, of_system in clips.items() for u, path in of_system.items()]
    constants = [LOUDNESS_LUFS, TONE_S, BEEP_S]
    return hashlib.sha256(json.dumps([files, constants, sorted(vars(settings).items())]).encode()).hexdigest()


def _draw(utterances: Sequence[str], count: int | None, seed: int) -> list[str]:
    if count is None:
        return [*utterances]
    if count > len(utterances):
        raise ConfigError(f"--per-system {count}: only {len(utterances)} utterances are in all systems; ask for fewer")
    return sorted(np.random.default_rng(seed).permutation(np.array(utterances, dtype=object))[:count])


def _check_places(source: Path, out: Path, key: Path) -> None:
    root, page, secret = source.resolve(), out.resolve(), key.resolve()
    if page == root or root in page.parents or page in root.parents:
        raise ConfigError(f"--out {out} and DIR {source} lie in each other; choose a folder beside it")
    if page == secret or page in secret.parents:
        raise ConfigError(f"--key {key} lies in --out {out}, which listeners get; choose a place outside it")
    page = out / "index.html"
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        is_ours = page.is_file() and _MARK in page.read_text(encoding="utf-8", errors="replace")[:2000]
        if not is_ours:
            raise ConfigError(f"--out {out} exists and is no listening test; choose another folder, or remove it")


def _check_key(key: Path, study: str) -> None:
    """Refuse to overwrite the key of another study: without it what was heard there could not be read any more."""
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


def _sample_rate(path: Path) -> int:
    try:
        with decode.open_recording(path, AudioConfig()) as reader:
            return reader.sample_rate_in_hz
    except DataError as error:
        raise DataError(f"{path}: {error}; replace it, or remove it from every system") from None


def _whole(path: Path, sample_rate: int) -> Audio:
    try:
        with decode.open_recording(path, AudioConfig(sample_rate=sample_rate)) as reader:
            return np.concatenate(list(reader.blocks()))
    except DataError as error:
        raise DataError(f"{path}: {error}; replace it, or remove it from every system") from None


def _common_loudness(paths: Sequence[Path], sample_rate: int) -> float:
    """The loudness that all clips reach within the true peak, so that none is quieter than the rest."""
    loudest = LOUDNESS_LUFS
    for path in paths:
        x = _whole(path, sample_rate)
        lufs = loudness.loudness_lufs(x, sample_rate)
        if lufs is None:
            raise DataError(f"{path} is silent: there is nothing to rate; remove it from every system")
        reached = lufs + TRUE_PEAK_DB - loudness.true_peak_db(x, sample_rate)
        if reached < QUIETEST_LUFS:
            raise DataError(
                f"{path} reaches {reached:.1f} LUFS within {TRUE_PEAK_DB:g} dBTP, {QUIETEST_LUFS:g} needed to be as "
                "loud as the rest; remove the click in it, or the utterance from every system"
            )
        loudest = min(loudest, reached)
    return loudest


def _write_stereo(path: Path, x: Audio, sample_rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, sample_rate, 0, "NONE", ""))
        file.writeframes(np.rint(x * 32767).astype("<i2").tobytes())


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
