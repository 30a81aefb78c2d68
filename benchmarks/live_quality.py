"""Score shipped weights that need no future live, hop by hop from their ONNX file, beside whole files.

usage: python benchmarks/live_quality.py      writes the section `live` of the documents

On the fixed pairs of unseen speakers and noise. A file is heard at the level and without the mean of the whole
recording, live audio with those of the seconds before (see `LiveStream`), also where a sound card adds an offset.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from documents import table, write_section
from environment import machine, make_pairs

from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.serving.onnx_export import OnnxStream, export_streaming
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.quality.scorer import pesq_lqo, stoi
from clean_corpus.pipeline.quality.signal_measures import si_sdr_db

NAME = "default-causal"
OFFSET = 0.05  # of full scale
MEASURES: dict[str, Callable[[Audio, Audio], float]] = {
    "SI-SDR dB": si_sdr_db,
    "PESQ wb": lambda estimate, clean: pesq_lqo(estimate, clean, "wb"),
    "STOI": lambda estimate, clean: stoi(estimate, clean, extended=False),
}


def score(process: Callable[[Audio], Audio], pairs: Path) -> dict[str, dict[str, float]]:
    """Return the mean of each measure over all pairs, and over those of each SNR, with which their names end."""
    found: dict[str, list[list[float]]] = {"all": []}
    for path in sorted((pairs / "noisy").iterdir()):
        noisy, clean = (soundfile.read(pairs / kind / path.name, dtype="float32")[0] for kind in ("noisy", "clean"))
        enhanced = process(noisy)
        values = [measure(enhanced, clean) for measure in MEASURES.values()]
        for group in ("all", f"{int(path.stem[-4:-2])} dB"):
            found.setdefault(group, []).append(values)
    return {group: dict(zip(MEASURES, np.mean(values, 0), strict=True)) for group, values in found.items()}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    enhancer = load_enhancer(NAME)

    def whole(noisy: Audio) -> Audio:
        noisy = noisy - noisy.mean()
        with torch.no_grad():
            return enhancer(torch.from_numpy(noisy)[None], torch.tensor([noisy.size]))[0].numpy()

    with tempfile.TemporaryDirectory() as folder:
        make_pairs(pairs := Path(folder, "pairs"))
        export_streaming(enhancer, path := Path(folder, "live.onnx"))
        live = OnnxStream(path)
        found = {
            "files": score(whole, pairs),
            "live": score(live.run, pairs),
            f"live, {OFFSET:g} added": score(lambda noisy: live.run(noisy + np.float32(OFFSET)), pairs),
        }
    rows = [
        [measure, how, *(f"{means[measure]:.3f}" for means in found[how].values())]
        for measure in MEASURES
        for how in found
    ]
    text = table(["", f"`{NAME}`", *found["live"]], rows)
    about = f"Means of 125 pairs; {OFFSET:g} of full scale is an offset as of a bad sound card; {machine()}."
    write_section("live", f"{text}\n\n{about}")


if __name__ == "__main__":
    main()
