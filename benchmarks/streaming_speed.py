"""Measure the time per frame of every system that runs hop by hop, exported to ONNX at full size, on one core.

usage: python benchmarks/streaming_speed.py [NAME ...]    without NAME, writes the section `streaming` of the documents

Weights are random, because time does not depend on them. Each file is run beside its network before it is timed. At
48 kHz, the shipped `default-causal` with `full-band-causal` above it stands beside DeepFilterNet3 (`make peers`).
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from documents import table, write_section
from environment import machine
from peers48 import DeepFilterNet3, require_peers

from clean_corpus.enhancers.catalogue import describe
from clean_corpus.enhancers.domains.spectral import Spectral
from clean_corpus.enhancers.serving.enhancer import Enhancer, load_enhancer
from clean_corpus.enhancers.serving.onnx_export import OnnxStream, export_streaming
from clean_corpus.enhancers.serving.upper_band import UpperBand
from clean_corpus.enhancers.table import ENHANCERS

PEER_MS, PEER_FRAME_MS = 3.12, 6.25  # DCCRN-E in its paper: ONNX, one core of a laptop's i5-8250U
FRAMES = 300


def streamable(name: str) -> bool:
    """Return whether a system works hop by hop: on spectra, and without attention over the past."""
    row = ENHANCERS[name]
    with torch.device("meta"):
        return isinstance(row.domain, Spectral) and not getattr(row.build(), "attends", False)


def milliseconds(path: Path) -> tuple[float, float]:
    """Return the length of a hop and the time that it takes, the median of three passes."""
    stream = OnnxStream(path)
    hop = (0.1 * np.random.default_rng(0).standard_normal(stream.hop_length)).astype(np.float32)
    state, passes = stream.initial_state(np.zeros(stream.head, np.float32)), []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(FRAMES):
            _, state = stream.step(hop, state)
        passes.append(1000 * (time.perf_counter() - start) / FRAMES)
    return 1000 * stream.hop_length / stream.sample_rate, float(np.median(passes))


def random_row(name: str) -> list[str]:
    """Return a row of the table: a system with random weights."""
    torch.manual_seed(0)
    row = ENHANCERS[name]
    network = row.build()
    row.domain.forward(network, *0.1 * torch.randn(2, 2, 16000)).output  # noqa: B018 - BatchNorm's statistics
    return exported_row(name, describe(name)["parameters"], Enhancer(row, network, name=name, sha256=""))


def exported_row(name: str, parameters: int, enhancer: Enhancer, upper: UpperBand | None = None) -> list[str]:
    """Return a row of the table: an enhancer, with or without the network of the band above, in one file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "live.onnx")
        export_streaming(enhancer, path, upper=upper)
        return cells(name, f"{parameters:,}", *milliseconds(path))


def cells(name: str, parameters: str, frame_ms: float, took_ms: float) -> list[str]:
    """Return the cells of a row."""
    return [name, parameters, f"{frame_ms:g}", f"{took_ms:.2f}", f"{took_ms / frame_ms:.3f}"]


def full_band_rows() -> list[list[str]]:
    """Return the rows of live audio at 48 kHz: the shipped pair, its lower part alone, and DeepFilterNet3."""
    below, above = load_enhancer("default-causal"), UpperBand.load("full-band-causal")
    small, more = (sum(p.numel() for p in part.network.parameters()) for part in (below, above))
    peer = DeepFilterNet3()
    stream, noise = peer.open(), (0.1 * np.random.default_rng(0).standard_normal(480 * FRAMES)).astype(np.float32)
    passes = []
    for _ in range(3):
        start = time.perf_counter()
        peer.run(stream, noise)
        passes.append(1000 * (time.perf_counter() - start) / FRAMES)
    return [
        exported_row("`default-causal` at 16 kHz", small, below),
        exported_row("`default-causal`, `full-band-causal` at 48 kHz", small + more, below, above),
        cells("DeepFilterNet3 at 48 kHz, its C library", "", 10, float(np.median(passes))),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of systems; default: all that can stream")
    asked = parser.parse_args()
    require_peers()
    torch.set_num_threads(1)
    rows = []
    for name in asked.names or [name for name in ENHANCERS if streamable(name)]:
        rows.append(random_row(name))
        print(rows[-1], flush=True)
    if not asked.names:
        rows += full_band_rows()
    text = table(["system", "parameters", "frame ms", "ms per frame", "real-time factor"], rows)
    text += (
        f"\n\nOne thread of onnxruntime, network and STFT in the file; {machine()}. DCCRN-E in its paper: {PEER_MS} ms "
    )
    text += f"per frame of {PEER_FRAME_MS} ms, a real-time factor of {PEER_MS / PEER_FRAME_MS:.3f}, on a laptop's core."
    if not asked.names:
        write_section("streaming", text)


if __name__ == "__main__":
    main()
