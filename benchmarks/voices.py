"""Derive the thresholds on voices, and measure how well speakers are told apart: speakers.*, gate.guard_likeness_min.

usage: python benchmarks/voices.py FOLDER     keeps what it measures in FOLDER, and measures only what is not there;
  writes the sections `change`, `outlier`, `groups` and `likeness` of the documents

Speakers are those of speech/dev, speech/train (one utterance each), speech/many_16k and the four single voices.
"""

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from documents import table, write_section
from environment import DATA

from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality import gate, speakers, voice

RATE = 16000
CONFIG = PipelineConfig()
SINGLE = ("dutch_48k", "flemish_24k", "english_48k", "single_speaker")
FALSE_ALARMS = (0.005, 0.01, 0.02)
HIGH_HZ = 165  # a median pitch above it is taken for a woman's or a child's voice
PAIRS, OF_DEV, OF_SINGLE = 220, 60, 50
GROUP_LIMITS = (0.725, 0.75, 0.775, 0.8, 0.825)
ANOTHER = (("0 dB", 0.0), ("5 dB", 5.0), ("10 dB", 10.0), ("15 dB", 15.0), ("20 dB", 20.0), ("25 dB", 25.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what was measured before, and is measured now")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    clips = kept(folder / "clips.json", lambda: list(embedded()))
    for clip in clips:
        clip["voice"] = voice.from_text(clip["voice"])
    write_section("change", change(kept(folder / "changes.json", lambda: list(joined()))))
    write_section("outlier", outlier(clips))
    write_section("groups", groups(clips))
    write_section("likeness", likeness(kept(folder / "mixes.json", lambda: list(mixed())), clips))


def kept(path: Path, measured) -> list[dict]:
    """Return what a file holds, or measure and keep it there."""
    if not path.exists():
        path.write_text(json.dumps(measured()))
    return json.loads(path.read_text())


# ---- recordings --------------------------------------------------------------------------------------------------


@cache
def encoder() -> voice.VoiceEncoder:
    return voice.VoiceEncoder(speech_threshold=CONFIG.segment.speech_threshold)


def recordings() -> Iterator[tuple[str, str, Path]]:
    """Yield the set, speaker and file of each recording; of single voices every tenth."""
    speech = DATA / "speech"
    yield from (("dev", path.parent.name, path) for path in sorted((speech / "dev").glob("*/*")))
    yield from (("train", path.name.split("-")[0], path) for path in sorted((speech / "train").glob("*.flac")))
    yield from (("many_16k", path.parent.name, path) for path in sorted((speech / "many_16k").glob("*/*.ogg")))
    for name in SINGLE:
        files = sorted(p for p in (speech / name).rglob("*") if p.suffix in (".flac", ".ogg", ".wav"))
        yield from ((name, name, path) for path in files[::10])


def read(path: Path, seconds: float | None = None) -> Audio:
    """Return a recording at 16 kHz and one power, or its beginning."""
    x, rate = soundfile.read(path, dtype="float32")
    x = resample(x if x.ndim == 1 else x.mean(1), rate, RATE)[: seconds and int(seconds * RATE)]
    return 0.05 * x / (np.sqrt(np.mean(np.square(x))) + 1e-9)


def embedded() -> Iterator[dict]:
    """Yield the voice of every recording that has one."""
    for name, speaker, path in recordings():
        if (found := encoder()(read(path), sample_rate=RATE)) is not None:
            yield {"set": name, "speaker": speaker, "file": path.name, "voice": voice.to_text(found.embedding)}


def joined() -> Iterator[dict]:
    """Yield the constancy of recordings joined in pairs, of one speaker and of two, and whether two have like pitch."""
    rng = np.random.default_rng(0)
    files: dict[tuple[str, str], list[Path]] = {}
    for name, speaker, path in recordings():
        files.setdefault((name, speaker), []).append(path)
    of = {name: [key for key in files if key[0] == name] for name in ("train", "many_16k", "dev")}
    of["many_16k"] = [key for key in of["many_16k"] if len(files[key]) >= 4]

    def pick(key: tuple[str, str], count: int = 1) -> list[Path]:
        return [files[key][i] for i in rng.choice(len(files[key]), count, replace=False)]

    for _ in range(PAIRS):
        a, b = (of["train"][i] for i in rng.choice(len(of["train"]), 2, replace=False))
        parts = [read(pick(key)[0], s) for key, s in zip((a, b), rng.uniform(2, 7, 2), strict=True)]
        yield _joined("two of train", parts)
        yield _joined("one of train", [read(pick(a)[0], rng.uniform(4, 14))])
        a, b = (of["many_16k"][i] for i in rng.choice(len(of["many_16k"]), 2, replace=False))
        yield _joined("two of many_16k", [read(pick(key)[0]) for key in (a, b)])
        yield _joined("one of many_16k", [read(path) for path in pick(a, 2)])
    for _ in range(OF_DEV):
        a, b = (of["dev"][i] for i in rng.choice(len(of["dev"]), 2, replace=False))
        yield _joined("two of dev", [read(pick(key)[0], 8) for key in (a, b)])
        yield _joined("one of dev", [read(path, 8) for path in pick(a, 2)])
    for name in SINGLE:
        for _ in range(OF_SINGLE):
            yield _joined(f"one of {name}", [read(path) for path in pick((name, name), 2)])


def _joined(kind: str, parts: list[Audio]) -> dict:
    found = encoder()(np.concatenate(parts), sample_rate=RATE)
    constancy = None if found is None else speakers.constancy(found.windows)
    high = {pitch_hz(part) > HIGH_HZ for part in parts}
    return {"kind": kind, "constancy": constancy, "like_pitch": len(high) == 1}


def pitch_hz(x: Audio) -> float:
    """Return the median pitch of the voiced frames of 40 ms, by the peak of their autocorrelation; 0 without any."""
    frames = np.lib.stride_tricks.sliding_window_view(x, 640)[::320]
    spec = np.fft.rfft(frames * np.hanning(640), 2048)
    lags = np.fft.irfft(np.square(np.abs(spec)))[:, : RATE // 60]
    peak = lags[:, RATE // 400 :].argmax(1) + RATE // 400
    voiced = lags[np.arange(len(lags)), peak] > 0.5 * lags[:, 0]
    return float(RATE / np.median(peak[voiced])) if voiced.any() else 0.0


def mixed() -> Iterator[dict]:
    """Yield for every mix of raw_or_enhanced.py how alike the voices of clean, raw and enhanced speech are."""
    import raw_or_enhanced as mixes

    enhancer = mixes.load_enhancer(mixes.checkpoints.DEFAULT)
    ruler = mixes.scoring.Scorer(speech_threshold=CONFIG.segment.speech_threshold, dnsmos_windows="whole")
    for clean, raw, about in mixes.mixed():
        (enhanced,) = mixes.enhance_clips([raw], enhancer, CONFIG.enhance, sample_rate=RATE)
        found = [encoder()(x, sample_rate=RATE) for x in (clean, raw, enhanced)]
        if None not in found:
            own, before, after = (one.embedding for one in found)
            yield {
                "mixed_db": about["snr_db"],
                "snr_db": ruler.score(raw, sample_rate=RATE)["snr_db"],
                "between": voice.likeness(before, after),
                "raw": voice.likeness(own, before),
                "enhanced": voice.likeness(own, after),
            }


# ---- tables ------------------------------------------------------------------------------------------------------


def change(pairs: list[dict]) -> str:
    """Return how often a change is found, and how often where there is none, by the limit."""
    pairs = [pair for pair in pairs if pair["constancy"] is not None]
    kinds = sorted({pair["kind"] for pair in pairs})
    of = {kind: np.array([pair["constancy"] for pair in pairs if pair["kind"] == kind]) for kind in kinds}
    of["two, pitch alike"] = np.array(
        [pair["constancy"] for pair in pairs if pair["kind"].startswith("two") and pair["like_pitch"]]
    )
    one = np.concatenate([of[kind] for kind in kinds if kind.startswith("one")])
    limits = {f"{rate:.1%} false alarms: {np.quantile(one, rate):.3f}": np.quantile(one, rate) for rate in FALSE_ALARMS}
    limits[f"set: {CONFIG.speakers.constancy_min}"] = CONFIG.speakers.constancy_min
    rows = [
        [f"{kind}, {len(values)}", *(f"{(values < limit).mean():.1%}" for limit in limits.values())]
        for kind, values in [*of.items(), ("all of one", one)]
    ]
    return table(["clips joined of recordings of", *(f"below {name}" for name in limits)], rows)


def outlier(clips: list[dict]) -> str:
    """Return how often another's clip among a speaker's is found, and how often a speaker's own is lost."""
    rng = np.random.default_rng(0)
    of: dict[tuple[str, str], list] = {}
    for clip in clips:
        if clip["set"] != "train":
            of.setdefault((clip["set"], clip["speaker"]), []).append(clip["voice"])
    of = {key: np.stack(voices) for key, voices in of.items() if len(voices) >= CONFIG.speakers.min_clips}
    own, others = [], []
    for key, voices in of.items():
        like = [k for k in of if k != key and k[0] == key[0]] or [k for k in of if k != key]
        for _ in range(3):
            chosen = [of[like[rng.integers(len(like))]] for _ in range(max(1, len(voices) // 10))]
            wrong = np.stack([v[rng.integers(len(v))] for v in chosen])
            found = np.concatenate([voices, wrong])
            own.append((found, len(voices)))
    rows = []
    for limit in (0.65, 0.7, 0.75, 0.8):
        lost, caught = [], []
        for found, n_own in own:
            middle = speakers.centre(found, limit)
            below = found @ middle.voice < middle.limit
            lost.append(below[:n_own])
            caught.append(below[n_own:])
        others = np.concatenate(caught)
        set_ = " (set)" if limit == CONFIG.speakers.match_min else ""
        rows.append([f"{limit}{set_}", f"{others.mean():.1%} of {len(others)}", f"{np.concatenate(lost).mean():.2%}"])
    return table(["`speakers.match_min`", "another's clips found", "own clips lost"], rows)


def groups(clips: list[dict]) -> str:
    """Return how the names that clips get by their voice agree with their speakers."""
    rows = []
    sets = {"dev": ("dev",), "train": ("train",), "many_16k": ("many_16k",), "the four single voices": SINGLE}
    for title, names in sets.items():
        part = [clip for clip in clips if clip["set"] in names]
        part.sort(key=lambda clip: hashlib.sha256(clip["file"].encode()).hexdigest())
        speaker = [clip["speaker"] for clip in part]
        for limit in GROUP_LIMITS:
            found = _grouped(np.stack([clip["voice"] for clip in part]), limit)
            set_ = " (set)" if limit == CONFIG.speakers.group_min else ""
            pure, whole = _largest(found, speaker), _largest(speaker, found)
            cells = [
                title,
                len(part),
                len(set(speaker)),
                f"{limit}{set_}",
                len(set(found)),
                f"{pure:.1%}",
                f"{whole:.1%}",
            ]
            rows.append(cells)
    heads = ["recordings", "clips", "speakers", "`speakers.group_min`", "names", "purity", "completeness"]
    return table(heads, rows)


def _grouped(voices: np.ndarray, limit: float) -> list[str]:
    found, names = speakers.Groups(limit), list[str]()
    for begin in range(0, len(voices), speakers.BATCH):
        batch = voices[begin : begin + speakers.BATCH]
        names += found.take(batch, [str(begin + i) for i in range(len(batch))])
    return names


def _largest(by: list[str], of: list[str]) -> float:
    """Return the share of clips that belong to the most frequent of their part."""
    parts: dict[str, Counter] = {}
    for part, label in zip(by, of, strict=True):
        parts.setdefault(part, Counter())[label] += 1
    return sum(max(counts.values()) for counts in parts.values()) / len(by)


def likeness(mixes: list[dict], clips: list[dict]) -> str:
    """Return how alike enhancing leaves a voice, against the least that the guard allows."""
    limit = CONFIG.gate.guard_likeness_min
    one_each = np.stack([clip["voice"] for clip in clips if clip["set"] == "train"])
    another = (one_each @ one_each.T)[np.triu_indices(len(one_each), 1)]
    rows = []
    for level in sorted({mix["mixed_db"] for mix in mixes}):
        here = [mix for mix in mixes if mix["mixed_db"] == level]
        least = [gate.least_likeness(mix["snr_db"], limit) for mix in here]
        alarms = sum(least is not None and mix["between"] < least for mix, least in zip(here, least, strict=True))
        between = [mix["between"] for mix in here]
        means = (f"{np.mean([mix[name] for mix in here]):.3f}" for name in ("raw", "enhanced"))
        rows.append([f"{level} dB", *means, f"{np.median(between):.3f}", f"{min(between):.3f}", alarms])
    found = ", ".join(
        f"{(another < gate.least_likeness(snr_db, limit)).mean():.0%} at {name}" for name, snr_db in ANOTHER
    )
    heads = ["mixes of", "raw to clean", "enhanced to clean", "raw to enhanced", "least of these", "false alarms"]
    return f"{table(heads, rows)}\n\nOf other speakers' voices the guard would find {found}."


if __name__ == "__main__":
    main()
