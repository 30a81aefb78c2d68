"""The plan of a listening test: its trials, traps and checks, and the opaque names under which listeners get them."""

import hashlib
import json
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any, Literal

import numpy as np

from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.vocoder.listening import signals
from clean_corpus.vocoder.listening.recordings import Recordings

Mode = Literal["acr", "ab", "mushra"]

TRAP_ANSWERS: dict[Mode, tuple[int, ...]] = {"acr": (1, 2, 3, 4), "ab": (1, 2), "mushra": (10, 20, 30, 40)}
BEEPS_PER_ANSWER = {"acr": 1, "ab": 1, "mushra": 1 / 10}
EXAMPLE_BEEPS = 2
KEY_FORMAT = 1


@dataclass(frozen=True)
class StudySettings:
    """Options of a test; opaque names depend on all of them, and on their names."""

    mode: Mode
    seed: int
    reference: str | None
    traps: int
    headphones: bool
    title: str


@dataclass(frozen=True)
class Trap:
    """A trial that shows whether a listener pays attention: beeps behind a clip ask for a certain answer."""

    clips: list[str]
    answer: int
    n_beeps: int
    base: tuple[str, str]  # system and utterance of the clip that the beeps follow
    beeping: str  # opaque name of the clip with beeps
    reference: str | None


class Study:
    """Trials, traps and checks of a test, and the recording behind each opaque name.

    The names are hashes of recordings and settings, so that nobody guesses them without the recordings.

    Source: ITU-T P.800 (acr), P.808 (traps), BS.1534-3 (mushra); Woods et al. 2017 (headphone check).
    """

    def __init__(self, recordings: Recordings, settings: StudySettings) -> None:
        self.recordings, self.settings = recordings, settings
        self._secret = _digest(recordings, settings)
        self.name = self._opaque("study")
        self._systems, self._utterances = [*recordings], [*next(iter(recordings.values()))]
        self._rng = np.random.default_rng(int(self._secret[:16], 16))
        self.clip_ids = {(s, u): self._opaque("clip", s, u) for s in self._systems for u in self._utterances}
        has_open_reference = settings.mode == "mushra" and settings.reference is not None
        self.open_ids = {u: self._opaque("open reference", u) for u in self._utterances} if has_open_reference else {}
        self.example_id = self._opaque("example")
        self.traps = self._plan_traps()
        checks = {self._opaque("check", *map(str, p)): p for p in permutations(range(3))}
        self.checks = dict(sorted(checks.items())) if settings.headphones else {}
        self.trials = self._plan_trials()

    def page_data(self) -> dict[str, Any]:
        """Return what the page knows, sorted by opaque names, so that no order tells anything."""
        traps = [
            {"id": name, "clips": trap.clips, "answer": trap.answer, "reference": trap.reference}
            for name, trap in self.traps.items()
        ]
        return {
            "study": self.name,
            "mode": self.settings.mode,
            "trials": self.trials,
            "traps": traps,
            "headphones": [{"id": name, "answer": p[0] + 1} for name, p in self.checks.items()],
            "example": self.example_id,
            "example_beeps": EXAMPLE_BEEPS,
        }

    def key_data(self) -> dict[str, Any]:
        """Return the key: which system and utterance each clip is, and the answers that traps and checks expect."""
        return {
            "format": KEY_FORMAT,
            "study": self.name,
            "title": self.settings.title,
            "mode": self.settings.mode,
            "seed": self.settings.seed,
            "reference": self.settings.reference,
            "systems": self._systems,
            "utterances": self._utterances,
            "clips": {name: {"system": s, "utterance": u} for (s, u), name in sorted(self.clip_ids.items())},
            "trials": {trial["id"]: trial["clips"] for trial in self.trials},
            "traps": {name: {"clips": trap.clips, "answer": trap.answer} for name, trap in self.traps.items()},
            "headphones": {name: p[0] + 1 for name, p in self.checks.items()},
        }

    def _plan_trials(self) -> list[dict[str, Any]]:
        groups = {u: n for n, u in enumerate(sorted(self._utterances, key=lambda u: self._opaque("group", u)))}
        sizes = {"acr": 1, "ab": 2, "mushra": len(self._systems)}
        trials = []
        for utterance in self._utterances:
            for systems in combinations(self._systems, sizes[self.settings.mode]):
                clips = sorted(self.clip_ids[system, utterance] for system in systems)
                name = self._opaque("trial", *clips)
                open_id = self.open_ids.get(utterance)
                trials.append({"id": name, "clips": clips, "group": groups[utterance], "reference": open_id})
        return sorted(trials, key=lambda trial: trial["id"])

    def _plan_traps(self) -> dict[str, Trap]:
        mode = self.settings.mode
        traps = {}
        answers = self._rng.permutation(np.resize(TRAP_ANSWERS[mode], max(self.settings.traps, 4)))
        for number, answer in enumerate(answers[: self.settings.traps].tolist()):
            base = [*self.clip_ids][self._rng.integers(len(self.clip_ids))]
            beeping = self._opaque("beeping", str(number))
            traps[self._opaque("trap", str(number))] = Trap(
                clips=sorted([beeping, self.clip_ids[base]] if mode == "ab" else [beeping]),
                answer=answer,
                n_beeps=round(answer * BEEPS_PER_ANSWER[mode]),
                base=base,
                beeping=beeping,
                reference=self.open_ids.get(base[1]),
            )
        return dict(sorted(traps.items()))

    def _opaque(self, *parts: str) -> str:
        """Return a name that tells nothing of its parts."""
        return hashlib.sha256("\0".join((self._secret, *parts)).encode()).hexdigest()[:12]


def _digest(recordings: Recordings, settings: StudySettings) -> str:
    files = [[s, u, sha256_file(path)] for s, of_system in recordings.items() for u, path in of_system.items()]
    constants = [signals.LOUDNESS_LUFS, signals.TONE_S, signals.BEEP_S]
    return hashlib.sha256(json.dumps([files, constants, sorted(vars(settings).items())]).encode()).hexdigest()
