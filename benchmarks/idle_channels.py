"""Find the channels of P.835's convolutions that no sound activates.

usage: python benchmarks/idle_channels.py [--files N]     prints each layer's idle channels, and how far they are from 0

A channel is idle if before its rectifier it is at most 0 in every frame and band of recordings from each folder of
speech and noise, the crowd's among them, and of silence, noise from faint to full scale, clicks, tones, sweeps, steps.
"""

import argparse
import random
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
import soundfile
from environment import DATA

from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.dnsmos import CUTS, NETWORKS, RATE, heard, network_path
from clean_corpus.pipeline.quality.onnx_parts import extract, loaded

FOLDERS = ("crowd/**/*.wav", "speech/train/*.flac", "speech/many_16k/**/*.ogg", "noise_44k/**/*.*")
LASTING_S = 6
RULER = "dnsmos_p835"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=25, help="of each folder; default 25")
    asked = parser.parse_args()
    begin, between, _ = CUTS[RULER]
    network = loaded(extract(network_path(NETWORKS[RULER]), begin, between))
    before = {node.input[0]: node.output[0] for node in network.graph.node if node.op_type == "Relu"}
    for name in before:
        network.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    highest: dict[str, np.ndarray] = {}
    for x in (*recordings(asked.files), *extremes()):
        for stretch, _ in heard(x, "whole").stretches:
            for name, y in zip(before, session.run([*before], {begin[0]: stretch.frames[None]}), strict=True):
                highest[name] = np.maximum(highest.get(name, -np.inf), y.max((0, 2, 3)))
    for name, output in before.items():
        idle = np.flatnonzero(highest[name] <= 0)
        found = ", ".join(f"{channel} ({highest[name][channel]:.3f})" for channel in idle)
        print(f"{output}: {len(idle)} of {len(highest[name])} idle; {found or 'none'}")


def recordings(count: int) -> Iterator[Audio]:
    """Yield the first seconds of some files of each folder, (N_i,) each, taken as if their rate were RATE."""
    for pattern in FOLDERS:
        paths = sorted(path for path in DATA.glob(pattern) if path.suffix in (".wav", ".flac", ".ogg"))
        random.Random(1).shuffle(paths)
        for path in paths[:count]:
            yield soundfile.read(path, frames=LASTING_S * RATE, dtype="float32", always_2d=True)[0][:, 0]


def extremes() -> Iterator[Audio]:
    """Yield sounds that no recording is as extreme as, (N,) each."""
    rng, n = np.random.default_rng(0), np.arange(2 * RATE)
    noise = rng.standard_normal(len(n))
    steps = np.repeat(10.0 ** rng.uniform(-6, 0, len(n) // 160), 160)
    for x in (
        0 * n, 1 + 0 * n, 1e-5 * noise, 0.3 * noise, noise * (n > len(n) // 2), noise * steps, n % 800 == 0, n == 9,
        np.sin(0.3 * n), np.sign(np.sin(0.05 * n)), (-1.0) ** n, np.sin(n * n * np.pi / 2 / len(n)),
    ):  # fmt: skip
        yield np.clip(x, -1, 1).astype(np.float32)


if __name__ == "__main__":
    main()
