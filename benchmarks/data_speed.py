"""Time what is done to audio besides networks, on one core: decoding to tars, and mixing pairs for training.

usage: python benchmarks/data_speed.py     writes the section `data_speed` of the documents

Times are the processor's, of this one process, and of the fastest of several passes: what else the machine does can
only add to them. Beside the way to the tar stands libsndfile's part in it, which reads the same files to memory.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import soundfile
from documents import table, write_section
from environment import DATA, machine

from clean_corpus.enhancers.training.mixing import MixConfig, Mixtures
from clean_corpus.enhancers.training.recordings import Recording
from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.storage import open_store

RATE, BITS = 24000, 16
FILES, PAIRS, PASSES = 60, 100, 5
WANTED = {"decode": 500.0, "mix": 200.0}


def fastest_s(work: Callable[[], object]) -> float:
    """Return the seconds of the processor that the fastest of several passes takes."""
    times = []
    for _ in range(PASSES):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def to_tar(paths: list[Path], folder: Path) -> float:
    """Decode, resample and encode files into one tar; return their seconds of audio."""
    audio_s = 0.0

    def samples() -> Iterator[dict[str, object]]:
        nonlocal audio_s
        for path in paths:
            x, rate = decode.decode(path.read_bytes())
            audio_s += len(x) / rate
            flac = shards.encode_clip(resample(x, rate, RATE), RATE, bits=BITS)
            yield {"__key__": path.stem, "flac": flac, "json": b"{}"}

    shards.write_shard(open_store(folder, DEFAULT_S3), f"{len(paths)}.tar", samples())
    return audio_s


def read(paths: list[Path]) -> None:
    """Decode files with libsndfile alone."""
    for path in paths:
        soundfile.read(io.BytesIO(path.read_bytes()), dtype="float32")


def mixing() -> tuple[float, float]:
    """Draw pairs as a training does; return seconds of pairs, and of the processor."""
    spoken = islice(sorted((DATA / "speech" / "train").glob("*.flac")), FILES)
    noises = islice(sorted((DATA / "noise" / "train").glob("*/*.ogg")), FILES)
    speech = [Recording(path.name, soundfile.read(path, dtype="int16")[0]) for path in spoken]
    tracks = [soundfile.read(path, dtype="float32")[0] for path in noises]
    config = MixConfig()
    pairs = Mixtures({"speech": speech}, tracks, config, seed=1, length=PAIRS + 1)
    pairs[PAIRS]  # loads what the first one loads
    return PAIRS * config.seconds, fastest_s(lambda: [pairs[i] for i in range(PAIRS)])


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    kinds = {
        "FLAC of 16 kHz": sorted((DATA / "speech" / "train").glob("*.flac")),
        "WAV of 16 kHz": sorted((DATA / "crowd").glob("**/*.wav")),
        "Ogg Vorbis of 48 kHz": sorted((DATA / "speech" / "english_48k").glob("**/*.ogg")),
    }
    lines: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        to_tar(kinds["WAV of 16 kHz"][:2], Path(folder))  # loads what the first one loads
        for kind, paths in kinds.items():
            paths = paths[:FILES]
            audio_s = to_tar(paths, Path(folder))
            took_s, read_s = fastest_s(partial(to_tar, paths, Path(folder))), fastest_s(partial(read, paths))
            name = f"{kind} to a tar of FLAC of {RATE // 1000} kHz"
            speeds = [f"{audio_s / took_s:.0f}", f"{audio_s / read_s:.0f}"]
            lines.append([name, f"{audio_s:.0f}", *speeds, WANTED["decode"]])
    audio_s, took_s = mixing()
    lines.append(["pairs of speech and noise mixed", f"{audio_s:.0f}", f"{audio_s / took_s:.0f}", "", WANTED["mix"]])
    head = ["work", "seconds of audio", "times real time, of one core", "libsndfile's reading alone", "wanted"]
    write_section("data_speed", f"{table(head, lines)}\n\n{machine()}.")


if __name__ == "__main__":
    main()
