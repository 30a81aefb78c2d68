"""Draw spectrograms of pairs at 48 kHz, one a class of noise, and of what enhancers make of them, for a person to see.

usage: python benchmarks/spectrograms48.py OUT [--work FOLDER] [--upper WEIGHTS]     writes OUT/PAIR.png
  --work and --upper as of benchmarks/pairs48.py, whose peers it needs
"""

import argparse
import io
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import soundfile
import torch
from mixes48 import RATE, SNRS_DB, make_pairs
from pairs48 import EXTRAPOLATED, FULL, LIVE, NOISY, PEER, systems
from peers48 import require_peers
from PIL import Image
from scipy.signal import stft

from clean_corpus.pipeline.core.types import Audio

matplotlib.use("agg")
from matplotlib import pyplot

RANGE_DB = (-110, -30)  # of bins, re full scale
COLOURS = 24  # of a picture, which keep it small


def chosen(noisy: Path) -> list[Path]:
    """Return one pair for each class of noise: each SNR, and the Dutch and the English voice, in turn."""
    classes = sorted({path.stem.split("__")[1] for path in noisy.iterdir()})
    found = []
    for i, name in enumerate(classes):
        paths = sorted(noisy.glob(f"*__{name}__{SNRS_DB[i % len(SNRS_DB)]:02d}dB.wav"))
        found.append(paths[-(i % 2)])
    return found


def level_db(x: Audio) -> Audio:
    """Return the level of frames and bins, (N,) -> (F, T) dB."""
    return 20 * np.log10(np.abs(stft(x, RATE, nperseg=1024, noverlap=512)[2]) + 1e-8)


def draw(signals: dict[str, Audio], title: str, to: Path) -> None:
    """Write a picture with one spectrogram a signal, side by side."""
    figure, axes = pyplot.subplots(1, len(signals), sharey=True, figsize=(15, 4), dpi=100, layout="constrained")
    for axis, (name, x) in zip(axes, signals.items(), strict=True):
        extent = (0, len(x) / RATE, 0, RATE / 2000)
        axis.imshow(level_db(x), origin="lower", aspect="auto", extent=extent, cmap="magma", clim=RANGE_DB)
        axis.set_title(name.replace("`", ""), fontsize=9)
        axis.set_yticks([0, 4, 7, 8, 12, 16, 20, 24])
        axis.set_xlabel("s")
    axes[0].set_ylabel("kHz")
    figure.suptitle(title, fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    pyplot.close(figure)
    Image.open(buffer).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(to, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--upper", default="full-band")
    asked = parser.parse_args()
    require_peers()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    compared = systems(asked.upper)
    with tempfile.TemporaryDirectory() as folder:
        work = asked.work or Path(folder)
        if not (work / "recordings").exists():
            make_pairs(work)
        for path in chosen(work / "noisy"):
            clean, noisy = (soundfile.read(work / part / path.name, dtype="float32")[0] for part in ("clean", "noisy"))
            made = {name: compared[name](noisy) for name in (NOISY, EXTRAPOLATED, FULL, LIVE, PEER)}
            draw({"clean": clean, **made}, path.stem, asked.out / f"{path.stem}.png")


if __name__ == "__main__":
    main()
