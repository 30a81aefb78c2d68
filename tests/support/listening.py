"""Listening tests whose recordings and answers are known: systems of tones, keys, and exports of listeners."""

import csv
import json
from pathlib import Path

import numpy as np

from clean_corpus.pipeline.audio import encode

RATE = 16000
TONE_SYSTEMS = {"zebranet": 300.0, "yakcoder": 450.0, "xylovoc": 600.0}
COLUMNS = ("study", "mode", "listener", "kind", "position", "trial", "slot", "clip", "rating", "passed", "plays", "at")
UTTERANCES = [f"u{i}" for i in range(6)]
SYSTEMS = ["good", "middle", "bad"]


def tone(frequency_hz: float, seconds: float = 0.2, gain: float = 0.1) -> np.ndarray:
    return (gain * np.sin(2 * np.pi * frequency_hz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def tone_systems(root: Path, systems=TONE_SYSTEMS, utterances: int = 3) -> Path:
    """A tone of its own for each system and utterance, each system at another level and rate."""
    for number, (system, frequency_hz) in enumerate(systems.items()):
        (root / system).mkdir(parents=True)
        for i in range(utterances):
            x = tone(frequency_hz + 10 * i, gain=0.05 * (number + 1))
            encode.write_wav(root / system / f"sentence-{i}.wav", x, RATE * (1 + number % 2))
    return root


def key_of(mode: str = "acr", *, reference: str | None = None, systems=SYSTEMS) -> dict:
    """A study with two traps and six tones, as the page's writer leaves it."""
    clips = {f"{s}-{u}": {"system": s, "utterance": u} for s in systems for u in UTTERANCES}
    if mode == "acr":
        trials = {f"t-{clip}": [clip] for clip in clips}
    elif mode == "ab":
        pairs = [(a, b) for i, a in enumerate(systems) for b in systems[i + 1 :]]
        trials = {f"t-{a}-{b}-{u}": [f"{a}-{u}", f"{b}-{u}"] for a, b in pairs for u in UTTERANCES}
    else:
        trials = {f"t-{u}": [f"{s}-{u}" for s in systems] for u in UTTERANCES}
    answers = {"acr": (2, 4), "ab": (1, 2), "mushra": (20, 40)}[mode]
    traps = {f"trap{i}": {"clips": [f"beeps{i}"], "answer": answer} for i, answer in enumerate(answers)}
    if mode == "ab":
        for i, trap in enumerate(traps.values()):
            trap["clips"].append(f"plain{i}")
    return {
        "format": 1, "study": "s1", "mode": mode, "systems": [*systems], "utterances": UTTERANCES,
        "reference": reference, "clips": clips, "trials": trials, "traps": traps,
        "headphones": {f"check{i}": i % 3 + 1 for i in range(6)},
    }  # fmt: skip


def export(key: dict, listener: str, rate, *, wrong_tones: int = 0, wrong_traps: int = 0, **other) -> list[dict]:
    """Rows of a listener who does everything right but what is said; `rate`(system, utterance) -> rating."""
    rows = []

    def add(kind: str, trial: str, ratings: dict[str, float]) -> None:
        for slot, (clip, rating) in enumerate(ratings.items(), 1):
            row = {"study": key["study"], "mode": key["mode"], "listener": listener, "kind": kind, "trial": trial}
            row |= {"slot": slot, "clip": clip, "rating": rating}
            rows.append(dict.fromkeys(COLUMNS, "") | row | other)

    for i, (check, answer) in enumerate(key["headphones"].items()):
        add("headphones", check, {check: answer % 3 + 1 if i < wrong_tones else answer})
    for i, (name, trap) in enumerate(key["traps"].items()):
        answer = trap["answer"]
        if key["mode"] == "ab":
            chosen = (answer - 1) ^ (i < wrong_traps)
            add("trap", name, {clip: float(slot == chosen) for slot, clip in enumerate(trap["clips"])})
        else:
            add("trap", name, {trap["clips"][0]: answer + 1 if i < wrong_traps and key["mode"] == "acr" else answer})
    for trial, clips in key["trials"].items():
        add("rating", trial, {clip: rate(*key["clips"][clip].values()) for clip in clips})
    return rows


def write_export(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps({"format": 1, "rows": rows}))
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def by_system(**ratings):
    return lambda system, utterance: ratings[system]
