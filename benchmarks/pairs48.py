"""Score what enhancers make of the whole band up to 24 kHz, on pairs that none of them has learnt from, beside peers.

usage: python benchmarks/pairs48.py [--work FOLDER] [--upper WEIGHTS]     writes the section `pairs48` of the documents,
  and the scores in the card of the shipped weights
  --work keeps pairs and results there, and makes only what is missing; --upper scores other weights of `full-band`

Utterances of the English and the Dutch voice at 48 kHz that `full-band` never learns, with noise of fold 4 at its
native rate, 0 to 20 dB. Peers: DeepFilterNet3, noisereduce; ViSQOL in its audio mode. `make peers` installs them.
"""

import argparse
import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from documents import table, write_section
from environment import machine, own_children
from measures48 import MOS_EVERY, Scores, clean_in, measure, require_aligned, yardstick
from mixes48 import RATE, SNRS_DB, make_pairs
from peers48 import DeepFilterNet3, noisereduce, require_peers

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.serving.any_rate import AnyRate
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.serving.upper_band import UpperBand
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.types import Audio

NOISY, DEFAULT, PEER = "noisy", "`default`", "DeepFilterNet3"
EXTRAPOLATED, FULL, DROPPED = (f"{DEFAULT}, {above}" for above in ("extrapolated", "`full-band`", "dropped"))
LIVE, LIVE_BELOW, LIVE_ABOVE = "`default-causal`, `full-band-causal`", "default-causal", "full-band-causal"
GATING = ("stationary", "non-stationary")
MEASURES = ("sisdr", "sisdr_8_20k", "lsd_8_20k", "lsd_speech", "lsd_pauses", "visqol", "ovrl", "distillmos")
COST_FILES, COST_ROUNDS = 12, 5

System = Callable[[Audio], Audio]


def systems(upper: str) -> dict[str, System]:
    """Return what is compared, each a function of a signal at 48 kHz; of `default` by what happens above its band."""
    network, band = load_enhancer("default"), UpperBand.load(upper)
    narrow = _system(network)
    return {
        NOISY: lambda x: x,
        DROPPED: lambda x: _fitted(resample(narrow(resample(x, RATE, 16000)), 16000, RATE), len(x)),
        EXTRAPOLATED: _system(AnyRate(network, RATE)),
        FULL: _system(AnyRate(network, RATE, high_band=band)),
        LIVE: _system(AnyRate(load_enhancer(LIVE_BELOW), RATE, high_band=UpperBand.load(LIVE_ABOVE))),
        PEER: DeepFilterNet3(),
        **{f"noisereduce, {noise}": noisereduce(noise) for noise in GATING},
    }


def _system(enhancer: Callable) -> System:
    return lambda x: enhancer(torch.from_numpy(x)[None], torch.tensor([len(x)]))[0].numpy()


def _fitted(x: Audio, n_samples: int) -> Audio:
    """Return a signal cut or continued with silence to so many samples."""
    return np.pad(x[:n_samples], (0, max(0, n_samples - len(x))))


def enhance(system: System, noisy: Path, out: Path) -> None:
    """Write what a system makes of each file that OUT lacks."""
    out.mkdir(exist_ok=True)
    for path in sorted(noisy.iterdir()):
        if not (out / path.name).exists():
            x, _ = soundfile.read(path, dtype="float32")
            soundfile.write(out / path.name, np.clip(system(x), -1, 1), RATE, subtype="PCM_16")


def folder_of(work: Path, name: str, upper: str) -> Path:
    """Return where a system's results lie; those of other weights lie elsewhere."""
    plain = name.replace("`", "")
    if above := {FULL: upper, LIVE: LIVE_ABOVE}.get(name):
        plain += f" {hashlib.sha256(checkpoints.checkpoint_path(above).read_bytes()).hexdigest()[:8]}"
    return work / plain


# ---- cost --------------------------------------------------------------------------------------------------------


def cost(compared: dict[str, System], noisy: Path) -> dict[str, float]:
    """Return the seconds of one core that a second of audio takes: the least of a few rounds, one system in turn.

    Files are read and networks loaded before.
    """
    wide = [soundfile.read(path, dtype="float32")[0] for path in sorted(noisy.glob("*10dB.wav"))[:COST_FILES]]
    narrow = [resample(x, RATE, 16000) for x in wide]
    peer = compared[PEER]
    stream = peer.open()
    timed = {
        f"{DEFAULT} at 16 kHz": (_system(load_enhancer("default")), narrow),
        **{f"{name}, at 48 kHz": (compared[name], wide) for name in (DROPPED, EXTRAPOLATED, FULL)},
        f"{PEER}, at 48 kHz": (lambda x: peer.run(stream, x), wide),
    }
    took = dict.fromkeys(timed, float("inf"))
    for _ in range(COST_ROUNDS):
        for name, (system, signals) in timed.items():
            start = time.process_time()
            for x in signals:
                system(x)
            took[name] = min(took[name], time.process_time() - start)
    return {name: seconds * RATE / sum(map(len, wide)) for name, seconds in took.items()}


# ---- report ------------------------------------------------------------------------------------------------------


def report(work: Path, upper: str) -> str:
    """Make what is missing below WORK, and return the tables."""
    if not (work / "recordings").exists():
        make_pairs(work)
    compared, scores, back = systems(upper), {}, {}
    folders = {name: folder_of(work, name, upper) for name in compared}
    for name, system in compared.items():
        enhance(system, work / "noisy", folders[name])
    compared.pop(worse_gating(folders, work / "clean"))
    took = cost(compared, work / "noisy")
    for name, system in compared.items():
        scores[name], back[name] = scored(system, folders[name], work)
        print(name, scores[name], back[name], flush=True)
    for name, above in ((FULL, upper), (LIVE, LIVE_ABOVE)):
        if checkpoints.is_shipped(above):
            write_card(above, what(work), scores[NOISY], scores[name], back[name])
    return "\n\n".join((what(work), means_table(scores, back), snr_table(scores), cost_table(took)))


def scored(system: System, out: Path, work: Path) -> tuple[Scores, list[float]]:
    """Return the scores of a system's results, and by how much it changes clean recordings; kept beside the results."""
    kept = out.with_name(f"{out.name}.json")
    if not kept.exists():
        require_aligned(out, work / "clean")
        kept.write_text(json.dumps([measure(out, work / "clean"), clean_in(system, work / "recordings")]))
    return tuple(json.loads(kept.read_text()))


def write_card(above: str, pairs: str, noisy: Scores, after: Scores, clean_in: Sequence[float]) -> None:
    """Write the scores of the noisy pairs, and of those that shipped weights enhance, into their card."""
    path = checkpoints.checkpoint_path(above).with_suffix(".json")
    found = {
        "pairs": pairs,
        **{
            name: {key: _rounded(x) for key, x in means.items()} for name, means in (("noisy", noisy), ("after", after))
        },
        "clean_in_lsd_8_20k": round(clean_in[0], 3),
        "coded_in_lsd_8_20k": round(clean_in[3], 3),
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scores": found}, indent=2, ensure_ascii=False) + "\n")


def _rounded(means: dict[str, float]) -> dict[str, float]:
    return {name: round(mean, 3) for name, mean in means.items()}


def worse_gating(folders: dict[str, Path], clean: Path) -> str:
    """Return which of noisereduce's two ways has the lower SI-SDR."""
    names = [f"noisereduce, {noise}" for noise in GATING]
    return min(names, key=lambda name: yardstick(folders[name], clean)["all"]["sisdr"])


def what(work: Path) -> str:
    """Return what is scored, and where."""
    names = [path.stem.split("__") for path in sorted((work / "clean").iterdir())]
    voices = Counter(name.split("_48k-")[0].capitalize() for name in {name for name, *_ in names})
    classes = len({noise for _, noise, _ in names})
    seconds = sum(soundfile.info(path).duration for path in (work / "clean").iterdir())
    spoken = " and ".join(f"{count} of the {voice} voice" for voice, count in voices.most_common())
    return (
        f"{len(names)} pairs, {seconds / 60:.1f} minutes: {sum(voices.values())} utterances, {spoken}, each at "
        f"{len(SNRS_DB)} SNRs in one of {classes} classes of noise. Clean in: the utterances as they are, and coded as "
        f"Opus, Vorbis or MP3, against what that left. OVRL and DistillMOS are of one pair in "
        f"{MOS_EVERY}. {machine()}."
    )


def means_table(scores: dict[str, Scores], back: dict[str, Sequence[float]]) -> str:
    """Return the means over all pairs, and what becomes of clean input."""
    head = ["", "SI-SDR dB", "8 to 20 kHz", "LSD 8 to 20 kHz dB", "in speech", "in pauses", "ViSQOL", "OVRL"]
    rows = []
    for name, means in scores.items():
        values = [means["all"][measure] for measure in MEASURES]
        rows.append([name, *(f"{x:.2f}" for x in (*values, *back[name]))])
    return table([*head, "DistillMOS", "clean in: LSD dB", "in speech", "in pauses", "coded"], rows)


def snr_table(scores: dict[str, Scores]) -> str:
    """Return SI-SDR and log-spectral distance from 8 to 20 kHz by SNR."""
    rows = []
    for name, means in scores.items():
        of = [means[f"{snr_db:02d}"] for snr_db in SNRS_DB]
        rows.append([name, *(f"{x['sisdr_8_20k']:.1f} / {x['lsd_8_20k']:.2f}" for x in of)])
    return table(["8 to 20 kHz: SI-SDR / LSD dB", *(f"{snr_db} dB" for snr_db in SNRS_DB)], rows)


def cost_table(took: dict[str, float]) -> str:
    """Return the time on one core, and how much it is of that of the first system."""
    first = next(iter(took.values()))
    rows = [[name, f"{1000 * seconds:.1f}", f"{seconds / first:.2f}"] for name, seconds in took.items()]
    return table(["one core", "ms for a second of audio", "ratio"], rows)


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--upper", default="full-band")
    asked = parser.parse_args()
    require_peers()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = asked.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        write_section("pairs48", report(work, asked.upper))


if __name__ == "__main__":
    main()
