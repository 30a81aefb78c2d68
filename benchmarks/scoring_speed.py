"""Time DNSMOS and all scores of a clip beside package speechmos, which gives the same scores, on one core.

usage: python benchmarks/scoring_speed.py [--clips N]     writes the section `scoring_speed` of the documents

Both take the windows of speechmos, in turn clip by clip, on one thread; what is compared is the processor's time, which
other programs hardly change.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile
from documents import table, write_section
from environment import DATA, machine

from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.types import Audio, Recording
from clean_corpus.pipeline.corpus.clips import cut_recording
from clean_corpus.pipeline.quality import dnsmos
from clean_corpus.pipeline.quality.scorer import Scorer

RATE = 16000
LONG_S = (12.0, 20.0)
WANTED = {"utterances of 12 to 20 s": 4.0, "crowd clips, as a run cuts them": 12.0}
NAMES = {"dnsmos_sig": "sig_mos", "dnsmos_bak": "bak_mos", "dnsmos_ovrl": "ovrl_mos", "dnsmos_p808": "p808_mos"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24, help="of each kind; default 24")
    n_clips = parser.parse_args().clips
    kinds = dict(zip(WANTED, (long_utterances(n_clips), crowd_clips(4 * n_clips)), strict=True))
    lines = [line(kind, clips) for kind, clips in kinds.items()]
    head = ["clips", "seconds", "mean s", "speechmos", "DNSMOS", "times", "wanted", "all scores", "largest difference"]
    remark = "Seconds of audio in a second of one core; DNSMOS is P.835 and P.808, all scores are those of a run."
    write_section("scoring_speed", f"{table(head, lines)}\n\n{remark} {machine()}.")


def long_utterances(count: int) -> list[Audio]:
    """Return the first read utterances of 12 to 20 s, (N_i,) each."""
    paths = sorted((DATA / "speech" / "train").glob("*.flac")) + sorted((DATA / "speech" / "dev").glob("*/*.flac"))
    lasting = (path for path in paths if LONG_S[0] <= soundfile.info(path).duration <= LONG_S[1])
    return [soundfile.read(path, dtype="float32")[0] for path, _ in zip(lasting, range(count), strict=False)]


def crowd_clips(count: int) -> list[Audio]:
    """Return clips that a run would score, of crowd-sourced recordings spread over all, (N_i,) each."""
    config = PipelineConfig(audio={"sample_rate": RATE})
    paths = sorted((DATA / "crowd").glob("**/*.wav"))
    found: list[Audio] = []
    for path in paths[:: max(1, len(paths) * 9 // (10 * count))]:
        name = str(path.relative_to(DATA / "crowd"))
        cut = cut_recording(DATA / "crowd", Recording(name, name, path.stat().st_size, None), config)
        found += [x for clip, x in cut if x is not None and not clip.reject]
    return found[:count]


def one_thread(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def line(kind: str, clips: list[Audio]) -> list[object]:
    """Return the line of the table for some clips."""
    from speechmos.dnsmos import DNSMOS

    paths = [dnsmos.network_path(file) for file in dnsmos.NETWORKS.values()]
    peer = DNSMOS(*map(str, paths))
    peer.onnx_sess, peer.p808_onnx_sess = map(one_thread, paths)
    ours, everything = dnsmos.Dnsmos("speechmos"), Scorer(speech_threshold=0.5, dnsmos_windows="speechmos")
    took, apart = np.zeros(3), 0.0

    def timed(which: int, function: Callable[[], object]) -> object:
        begun = time.process_time()
        result = function()
        took[which] += time.process_time() - begun
        return result

    for x in (clips[0], *clips):  # the first one warms up
        if x is clips[0]:
            took[:] = 0
        theirs = timed(0, lambda x=x: peer(x, RATE, False))
        found = timed(1, lambda x=x: ours(x))
        timed(2, lambda x=x: everything.score(x, sample_rate=RATE))
        apart = max(apart, *(abs(found[name] - theirs[NAMES[name]]) for name in NAMES))
    total = sum(map(len, clips)) / RATE
    speeds = [f"{total / seconds:.1f}" for seconds in took]
    ratio = f"{took[0] / took[1]:.1f}"
    return [
        kind,
        f"{total:.0f}",
        f"{total / len(clips):.1f}",
        *speeds[:2],
        ratio,
        WANTED[kind],
        speeds[2],
        f"{apart:.0e}",
    ]


if __name__ == "__main__":
    main()
