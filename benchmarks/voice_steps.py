"""Score what each step brought that takes a small WaveNet from hoarse to voiced: one more of them at a time.

usage: python benchmarks/voice_steps.py WORK PLAIN      continues an earlier call; writes the section `voice_steps`

WORK is that of `benchmarks/shipped_voice.py english-voice`: with its shards, its held-out utterances and its copies of
them. PLAIN is the base without a source, as benchmarks/wavenet_base.yaml trains it. Every training has the same
updates, so that rows differ by what they name; only the shipped voice has more. History before each segment and the
bias of the output have no switch, and are in all rows.
"""

import argparse
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import wavenet_base
import yaml
from documents import table, write_section
from environment import COMMAND, machine, own_children
from ship_vocoder import speak
from voice_shards import RATE

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.vocoder.comparison import measures
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.generation.equaliser import equalised

SHIPPED_BASE = "base"
UPDATES = 400
SHARPER = 0.3  # temperature of draws in voiced frames: that of the proof
COLUMNS = {
    "distillmos": "DistillMOS", "dnsmos_ovrl": "OVRL", "dnsmos_p808": "P.808", "voicing_error": "voicing error",
    "f0_rmse_hz": "F0 RMSE, Hz", "stoi": "STOI", "pesq_wb": "PESQ",
}  # fmt: skip
SHORT = {
    "steps": UPDATES, "batch_size": 4, "frames": 100, "learning_rate": 0.0007, "warmup_steps": 40,
    "steps_per_epoch": 200, "patience": 1000, "ema_decay": 0.98, "heard_s": 0, "workers": 0, "precision": "bf16-mixed",
}  # fmt: skip


class Step(NamedTuple):
    """One more step: what it is called, the training that it needs, and the temperature where voiced."""

    what: str
    name: str
    training: dict[str, Any]
    temperature: float = 1.0


def steps(plain_base: str) -> list[Step]:
    """Return the steps, each with all that came before it."""
    sizes = yaml.safe_load(wavenet_base.CONFIG.read_text())["sizes"]
    by_sample = {k: v for k, v in sizes.items() if k != "conditioning_hop"} | {"upsampling": [5, 16]}
    plain = SHORT | {"lr_schedule": "halve_on_plateau", "emphasis": 0, "sizes": by_sample}
    falling = plain | {"lr_schedule": "cosine"}
    emphasised = falling | {"emphasis": 0.85}
    fine_tuned = SHORT | {"start_from": plain_base}
    return [
        Step("random weights, a rate that is halved on a plateau", "plain", plain),
        Step("a rate that falls to zero", "cosine", falling),
        Step("pre-emphasis before mu-law", "emphasis", emphasised),
        Step("conditioning projected once a millisecond", "by-frame", emphasised | {"sizes": sizes}),
        Step("fine-tuned from a base of many speakers", "fine-tuned", fine_tuned),
        Step("sharper draws in voiced frames", "fine-tuned", fine_tuned, SHARPER),
        Step("a source of harmonics, fresh", "fresh-source", fine_tuned | {"sizes": {"harmonics": 16}}, SHARPER),
        Step("a base that was trained with it", "source", SHORT | {"start_from": SHIPPED_BASE}, SHARPER),
    ]


def trained(work: Path, step: Step) -> Path:
    """Return the vocoder of a step, trained as far as it is not."""
    out, config = work / "steps" / step.name, work / "steps" / f"{step.name}.yaml"
    if not (out / "best.json").exists():
        config.parent.mkdir(exist_ok=True)
        config.write_text(yaml.safe_dump(step.training))
        command = [COMMAND, "train-vocoder", work / "shards", "--out", out, "--config", config]
        subprocess.run([str(part) for part in command], check=True)
    return out


def noise(work: Path, window_ms: float) -> list[Mapping[str, Any]]:
    """Return the scores of white noise that the equaliser gives the spectra of the recordings: what it says alone."""
    mel, rows = LogMel(), []
    for at, path in enumerate(sorted((work / "test").glob("*.wav"))):
        x = read(path)
        frames = mel(torch.from_numpy(x)[None])[0]
        generator = torch.Generator().manual_seed(at)
        hiss = 0.1 * torch.randn(frames.shape[1] * mel.hop_length, generator=generator)
        rows.append(measured(equalised(hiss, frames, mel, window_ms)[: len(x)].numpy(), x))
    return rows


def read(path: Path) -> Audio:
    return decode.decode(path.read_bytes(), mix=True)[0]


def measured(copy: Audio, recording: Audio) -> Mapping[str, Any]:
    return measures.measure(copy, recording, RATE)


def means(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the mean of each column over the copies that have it."""
    found = ([float(row[name]) for row in rows if row[name] not in ("", None)] for name in COLUMNS)
    return [f"{np.mean(values):.3g}" if values else "-" for values in found]


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("plain", help="a base without a source: --out of train-vocoder, or its weights")
    asked = parser.parse_args()
    work = asked.work
    if not (work / "copies" / "scores.csv").exists():
        raise SystemExit(f"{work}: no copies/scores.csv; run benchmarks/shipped_voice.py english-voice {work} first")
    lines = []
    for step in steps(asked.plain):
        copies = work / "steps" / f"{step.name}-{step.temperature:g}"
        rows = speak(work / "test", trained(work, step), copies, "--voiced-temperature", step.temperature)
        lines.append([step.what, UPDATES, f"{step.temperature:g}", *means(rows)])
    card = json.loads((work / "voice" / "best.json").read_text())
    updates, temperature, window = card["steps"], f"{card['voiced_temperature']:g}", f"{card['equaliser_ms']:g} ms"
    plain = speak(work / "test", work / "voice", work / "steps" / "more", "--equaliser-ms", 0)
    lines.append(["more updates", updates, temperature, *means(plain)])
    rows = speak(work / "test", work / "voice", work / "copies")
    lines.append([f"an equaliser of {window}: `english-voice`", updates, temperature, *means(rows)])
    lines.append(["no step: white noise through that equaliser", "", "", *means(noise(work, card["equaliser_ms"]))])
    recordings = [measured(read(path), read(path)) for path in sorted((work / "test").glob("*.wav"))]
    lines.append(["the recordings themselves", "", "", *means(recordings)])
    text = table(["each with all above it", "updates", "temperature where voiced", *COLUMNS.values()], lines)
    write_section("voice_steps", f"{text}\n\nMeans over copies of {len(rows)} held-out utterances. {machine()}.")


if __name__ == "__main__":
    main()
