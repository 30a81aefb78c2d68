"""Every system that can run hop by hop, exported to ONNX at full size: time per frame on one core.

usage: python benchmarks/streaming.py [NAME...]    writes the section `streaming` of docs/RESULTS.md without NAME

Weights are random: time does not depend on them. Each file is run beside its network before it is timed.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from readme import machine, put, table

from clean_corpus.enhancers.catalogue import describe
from clean_corpus.enhancers.domains.spectral import Spectral
from clean_corpus.enhancers.serving.onnx_export import OnnxStream, export_streaming
from clean_corpus.enhancers.table import ENHANCERS, Enhancer

PEER_MS, PEER_FRAME_MS = 3.12, 6.25  # DCCRN-E in its paper: ONNX, one core of a laptop's i5-8250U
FRAMES = 300


def streamable(name: str) -> bool:
    row = ENHANCERS[name]
    with torch.device("meta"):
        return isinstance(row.domain, Spectral) and not getattr(row.build(), "attends", False)


def milliseconds(path: Path) -> float:
    """Median of three passes, per frame."""
    stream = OnnxStream(path)
    hop = (0.1 * np.random.default_rng(0).standard_normal(stream.hop_length)).astype(np.float32)
    state, passes = stream.initial_state(np.zeros(stream.head, np.float32)), []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(FRAMES):
            _, state = stream.step(hop, 1.0, state)
        passes.append(1000 * (time.perf_counter() - start) / FRAMES)
    return float(np.median(passes))


def main() -> None:
    torch.set_num_threads(1)
    names = sys.argv[1:] or [name for name in ENHANCERS if streamable(name)]
    rows = []
    for name in names:
        torch.manual_seed(0)
        row, about = ENHANCERS[name], describe(name)
        network = row.build()
        row.domain.forward(network, *0.1 * torch.randn(2, 2, 16000)).output  # noqa: B018 - BatchNorm's statistics
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "live.onnx")
            export_streaming(Enhancer(row, network, name=name, sha256=""), path)
            took = milliseconds(path)
        frame_ms = 1000 * row.domain.stft.hop_length / row.sample_rate
        rows.append([name, f"{about['parameters']:,}", f"{frame_ms:g}", f"{took:.2f}", f"{took / frame_ms:.3f}"])
        print(rows[-1], flush=True)
    text = table(["system", "parameters", "frame ms", "ms per frame", "real-time factor"], rows)
    text += (
        f"\n\nOne thread of onnxruntime, network and STFT in the file; {machine()}. DCCRN-E in its paper: {PEER_MS} ms "
    )
    text += f"per frame of {PEER_FRAME_MS} ms, a real-time factor of {PEER_MS / PEER_FRAME_MS:.3f}, on a laptop's core."
    if len(sys.argv) == 1:
        put("streaming", text, "docs/RESULTS.md")


if __name__ == "__main__":
    main()
