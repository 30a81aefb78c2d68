"""Train the network that reads F0 from log-mel frames, on pYIN's tracks of many speakers.

usage: python benchmarks/pitch_network.py WORK [--ship]      continues an earlier call in WORK: tracks are kept

The recordings are those of the base of vocoders (benchmarks/wavenet_base.py); one speaker in twenty is held out, and
judges. With --ship, the weights and their card go to vocoder/weights/pitch. A quarter of an hour of one core.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import librosa
import numpy as np
import torch
import wavenet_base
from environment import DATA, machine
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional
from voice_shards import RATE, levelled

from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.recording_list import RecordingList
from clean_corpus.vocoder import pitch
from clean_corpus.vocoder.features import SILENCE

HOP_S = 0.01  # of the tracks: every second frame
STEPS, BATCH, FRAMES, RATE_MOST = 1400, 16, 300, 2e-3
GAIN_DB = (-20.0, 9.0)  # of each excerpt, so that no level is taken for silence
HELD_OUT = 20  # one speaker in so many
GROSS = 0.2  # relative error of F0 that is counted as gross
LOW_HZ = 130  # below, a frame of 25 ms hardly tells harmonics apart


class Clip(NamedTuple):
    """Frames (n_mels, 2 T) and the F0 of every second one in Hz, 0 where there is no voice, (T,)."""

    log_mel: Tensor
    f0_hz: Tensor


def track(x: np.ndarray) -> np.ndarray:
    """Return F0 every HOP_S by pYIN, 0 where there is no voice."""
    low, high = pitch.F0_RANGE_HZ
    f0_hz, voiced, _ = librosa.pyin(
        x, fmin=low, fmax=high, sr=RATE, frame_length=1024, hop_length=round(HOP_S * RATE), resolution=0.2,
        n_thresholds=50,
    )  # fmt: skip
    return np.where(voiced, np.nan_to_num(f0_hz), 0).astype(np.float32)


def tracks(work: Path) -> dict[str, np.ndarray]:
    """Return the tracks of all recordings by key, from WORK/tracks.npz if that is there."""
    path = work / "tracks.npz"
    if not path.exists():
        found = wavenet_base.recordings(DATA)
        work.mkdir(parents=True, exist_ok=True)
        np.savez(work / "partly.npz", **{key: track(levelled(wavenet_base.read(p))) for key, (p, _) in found.items()})
        (work / "partly.npz").replace(path)
    return dict(np.load(path))


def clips(work: Path) -> dict[str, list[Clip]]:
    """Return the clips of each speaker."""
    found: dict[str, list[Clip]] = {}
    followed = tracks(work)
    for key, (path, speaker) in wavenet_base.recordings(DATA).items():
        log_mel = pitch.FEATURES(torch.as_tensor(levelled(wavenet_base.read(path)))[None])[0]
        f0_hz = torch.as_tensor(followed[key])
        n = min(log_mel.shape[1] // 2, len(f0_hz))
        found.setdefault(speaker, []).append(Clip(log_mel[:, : 2 * n], f0_hz[:n]))
    return found


def excerpt(clip: Clip, rng: np.random.Generator) -> Clip:
    """Return FRAMES frames of a clip at a random gain; silence follows a shorter one."""
    missing = max(0, FRAMES - clip.log_mel.shape[1])
    log_mel = functional.pad(clip.log_mel, (0, missing), value=SILENCE)
    f0_hz = functional.pad(clip.f0_hz, (0, missing // 2))
    start = int(rng.integers((log_mel.shape[1] - FRAMES) // 2 + 1))
    gain = rng.uniform(*GAIN_DB) / 10 * math.log(10)
    return Clip(
        (log_mel[:, 2 * start : 2 * start + FRAMES] + gain).clamp_min(SILENCE), f0_hz[start : start + FRAMES // 2]
    )


def train(heard: Sequence[Clip]) -> pitch.PitchNetwork:
    """Train a network on excerpts of clips, each clip as likely as another."""
    torch.manual_seed(0)
    rng, network = np.random.default_rng(0), pitch.PitchNetwork()
    frames = torch.cat([clip.log_mel for clip in heard], 1)
    network.mel_mean.copy_(frames.mean(1))
    network.mel_std.copy_(frames.std(1))
    optimizer = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE_MOST, STEPS, pct_start=0.1)
    for _ in range(STEPS):
        batch = [excerpt(heard[int(rng.integers(len(heard)))], rng) for _ in range(BATCH)]
        log_mel, f0_hz = (torch.stack(parts) for parts in zip(*batch, strict=True))
        loss = functional.cross_entropy(network(log_mel)[:, :, ::2], pitch.bin_odds(f0_hz))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def scores(network: pitch.PitchNetwork, unheard: Sequence[Clip]) -> dict[str, float]:
    """Compare what a network reads with the tracks: F0 where both are voiced, and which frames are."""
    errors, gross, voicing, low = [], [], [], []
    for clip in unheard:
        f0_hz, voiced = (x[0, ::2] for x in network.read(clip.log_mel[None]))
        both = (clip.f0_hz > 0) & (voiced > 0.5)
        errors.append((f0_hz - clip.f0_hz)[both].abs())
        gross.append(errors[-1] > GROSS * clip.f0_hz[both])
        low.append(clip.f0_hz[both] < LOW_HZ)
        voicing.append((voiced > 0.5) != (clip.f0_hz > 0))
    error = torch.cat(errors)
    return {
        "f0_rmse_hz": round(error.square().mean().sqrt().item(), 2),
        "f0_median_error_hz": round(error.median().item(), 2),
        f"f0_median_error_below_{LOW_HZ}_hz": round(error[torch.cat(low)].median().item(), 2),
        "gross_errors": round(torch.cat(gross).float().mean().item(), 4),
        "voicing_error": round(torch.cat(voicing).float().mean().item(), 4),
    }


def ship(network: pitch.PitchNetwork, card: dict[str, Any]) -> None:
    """Write the weights, their card, and the list of the recordings that they heard."""
    pitch.WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: x.contiguous() for name, x in network.state_dict().items()}, pitch.WEIGHTS)
    pitch.WEIGHTS.chmod(0o644)
    pitch.WEIGHTS.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    paths = [path for path, _ in wavenet_base.recordings(DATA).values()]
    recording_list.write(pitch.WEIGHTS, RecordingList({"speech": frozenset(recording_list.of_files(paths))}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--ship", action="store_true")
    asked = parser.parse_args()
    by_speaker = clips(asked.work)
    held_out = set(sorted(by_speaker)[::HELD_OUT])
    heard = [clip for speaker, found in by_speaker.items() if speaker not in held_out for clip in found]
    network = train(heard)
    found = scores(network, [clip for speaker in held_out for clip in by_speaker[speaker]])
    print(f"{len(heard)} clips heard; {len(held_out)} of {len(by_speaker)} speakers held out: {found}")
    if asked.ship:
        ship(network, {
            "features": asdict(pitch.FEATURES),
            "parameters": sum(p.numel() for p in network.parameters()),
            "steps": STEPS,
            "held_out_speakers": len(held_out),
            "scores": found | {"against": "pYIN every 10 ms, of speakers held out"},
            "data": [{"name": f"speech/{folder}"} for folder in wavenet_base.FOLDERS],
            "licence": "Apache-2.0",
            "trained_on": machine(),
        })  # fmt: skip


if __name__ == "__main__":
    main()
