"""A training of an enhancer that takes seconds: its settings, its recordings, and the arguments of its command."""

import json
from pathlib import Path

import numpy as np

from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.audio.synthetic import coloured_noise

SETTINGS = {
    "epochs": 4, "steps_per_epoch": 1, "batch_size": 2, "validation_pairs": 2, "pesq_pairs": 0, "workers": 0,
    "sizes": {"channels": [4, 4, 4, 4, 8]}, "mix": {"seconds": 0.5, "room_share": 0},
}  # fmt: skip


def write_training_corpus(root: Path) -> Path:
    """Write tones as speech, pink noise as noise, and a configuration of four steps of a tiny network."""
    rng, time_s = np.random.default_rng(0), np.arange(16000) / 16000
    for kind in ("speech", "noise", "empty"):
        (root / kind).mkdir()
    for i in range(3):
        tone = 0.3 * np.sin(2 * np.pi * 200 * (i + 1) * time_s)
        encode.write_wav(root / "speech" / f"{i}.wav", tone.astype(np.float32), 16000)
        encode.write_wav(root / "noise" / f"{i}.wav", 0.1 * coloured_noise(rng, 16000, slope=1), 16000)
    (root / "tiny.yaml").write_text(json.dumps(SETTINGS))  # JSON is YAML
    return root


def training_arguments(corpus: Path, out: Path, name: str = "cgcrn", config: str | Path = "tiny.yaml") -> list[str]:
    """Return the command that trains on such a corpus."""
    folders = ["--speech", corpus / "speech", "--noise", corpus / "noise", "--out", out]
    return list(map(str, ["train-enhancer", name, *folders, "--config", corpus / config]))
