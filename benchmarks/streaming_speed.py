"""Measure the time per frame of every system that runs hop by hop, exported to ONNX at full size, on one core.

usage: python benchmarks/streaming_speed.py [NAME ...]    without NAME, writes the section `streaming` of the documents

Weights are random, because time does not depend on them. Each file is run beside its network before it is timed.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from documents import table, write_section
from environment import machine

from clean_corpus.enhancers.catalogue import describe
from clean_corpus.enhancers.domains.spectral import Spectral
from clean_corpus.enhancers.serving.enhancer import Enhancer
from clean_corpus.enhancers.serving.onnx_export import OnnxStream, export_streaming
from clean_corpus.enhancers.table import ENHANCERS

PEER_MS, PEER_FRAME_MS = 3.12, 6.25  # DCCRN-E in its paper: ONNX, one core of a laptop's i5-8250U
FRAMES = 300


def streamable(name: str) -> bool:
    """Return whether a system works hop by hop: on spectra, and without attention over the past."""
    row = ENHANCERS[name]
    with torch.device("meta"):
        return isinstance(row.domain, Spectral) and not getattr(row.build(), "attends", False)


def milliseconds(path: Path) -> float:
    """Return the milliseconds per frame, the median of three passes."""
    stream = OnnxStream(path)
    hop = (0.1 * np.random.default_rng(0).standard_normal(stream.hop_length)).astype(np.float32)
    state, passes = stream.initial_state(np.zeros(stream.head, np.float32)), []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(FRAMES):
            _, state = stream.step(hop, state)
        passes.append(1000 * (time.perf_counter() - start) / FRAMES)
    return float(np.median(passes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of systems; default: all that can stream")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    names = asked.names or [name for name in ENHANCERS if streamable(name)]
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
    if not asked.names:
        write_section("streaming", text)


if __name__ == "__main__":
    main()
