"""Results that must not change unnoticed: what a stage made of one fixed recording, kept beside its VERSION."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.demo.speakers import speak
from tests.support.paths import REPOSITORY

FILE = REPOSITORY / "tests" / "golden.json"
WRITE = "WRITE_GOLDEN"
STEP = 499  # of the samples that are kept: a prime, so that no period of the signal falls in with it

Numbers = Mapping[str, tuple[Sequence[float] | NDArray[np.generic], float]]
"""Name -> values, and how far another machine's may lie from them."""


@cache
def samples() -> tuple[NDArray[np.int16], int]:
    """Return two sentences in a noisy room as 16-bit samples, and their rate in Hz.

    Shapes: -> (N, 2).
    """
    parts, rate = [], 0
    for text in ("The road to the village bends twice.", "She planted two rows of beans."):
        spoken, rate = speak(text, voice="en-us+f3")
        parts += [spoken, np.zeros(rate, np.float32)]
    x = np.concatenate(parts)
    x = 0.5 * x + 0.004 * np.random.default_rng(0).standard_normal(len(x))
    return np.rint(np.stack([x, 0.5 * x], axis=1) * 32767).astype(np.int16), rate


def write_recording(path: Path) -> None:
    """Write `samples` as a WAV file."""
    x, rate = samples()
    soundfile.write(path, x, rate)


def sketch(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return every 499th sample: enough to see a change, few enough to be kept."""
    return x[::STEP]


def check(stage: str, version: int, module: str, exact: object, numbers: Numbers) -> None:
    """Fail if a stage gives another result than the one kept for its version.

    `exact` holds what is equal on every machine, and its hash is kept. Floating-point results are kept as numbers and
    compared within a tolerance: a hash of rounded values flips wherever one of them lies at the edge of a step.
    """
    everything = json.loads(FILE.read_text()) if FILE.exists() else {}
    heard = hashlib.sha256(samples()[0].tobytes()).hexdigest()[:16]
    found = {
        "version": version,
        "hash": hashlib.sha256(canonical_json(exact)).hexdigest()[:16],
        "numbers": {name: [float(f"{value:.7g}") for value in values] for name, (values, _) in numbers.items()},
    }
    kept = everything.get(stage, {"version": 0, "hash": "", "numbers": {}})
    if os.environ.get(WRITE) and version > kept["version"]:
        everything |= {stage: found, "input": heard}
        FILE.write_text(json.dumps(dict(sorted(everything.items()))).replace('}, "', '},\n"') + "\n")
        return
    assert everything["input"] == heard, f"espeak-ng no longer speaks as it did for {FILE.name}"
    problems = [] if kept["hash"] == found["hash"] else [f"what is exact is now {json.dumps(exact)[:2000]}"]
    for name, (values, tolerance) in numbers.items():
        if problem := _differs(kept["numbers"].get(name, []), values, tolerance):
            problems.append(f"{name}: {problem}")
    assert not problems and kept["version"] == version, (
        f"{stage}: {'; '.join(problems) or 'the result is unchanged'}, recorded for VERSION {kept['version']}, it is "
        f"{version}. If the change is meant, raise VERSION in {module} and write the new hash: {WRITE}=1 pytest ..."
    )


def _differs(kept: Sequence[float], values: Sequence[float] | NDArray[np.generic], tolerance: float) -> str | None:
    if len(kept) != len(values):
        return f"{len(values)} values, {len(kept)} are kept"
    off = float(np.abs(np.asarray(kept, np.float64) - np.asarray(values, np.float64)).max(initial=0.0))
    return None if off <= tolerance else f"differs by {off:.3g}, more than {tolerance:g}"
