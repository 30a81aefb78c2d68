"""Cost of the proof before it is run: trainings, updates, speech and scores, by what some of each take here.

usage: python benchmarks/proof_cost.py      writes the section `proof_gpu` of the documents: operations and bytes of the
                                            proof with the sizes of paper [004], counted, and hours by what a GPU does
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from documents import table, write_section
from environment import machine
from proof_mixes import RATE, SEED
from torch.utils.flop_counter import FlopCounterMode

from clean_corpus.flows.cli.settings import read_yaml
from clean_corpus.flows.compare_config import CompareConfig
from clean_corpus.pipeline.audio.synthetic import coloured_noise
from clean_corpus.pipeline.core.config_input import override, validate
from clean_corpus.vocoder.checkpoint import build
from clean_corpus.vocoder.comparison import measures
from clean_corpus.vocoder.generation.generate import generate
from clean_corpus.vocoder.training import base
from clean_corpus.vocoder.training.config import VocoderConfig
from clean_corpus.vocoder.training.module import Batch, VocoderModule
from clean_corpus.vocoder.training.segments import CONTEXT
from clean_corpus.vocoder.wavenet import WaveNet

GPU, GPU_BASE = Path(__file__).parent / "proof_gpu.yaml", Path(__file__).parent / "wavenet_base_gpu.yaml"
GPU_SETS = 7  # clean, raw, enhanced, gated, and three other enhancers: with these paper [004]'s Table 3
SUSTAINED_TFLOPS = (5, 20, 60)  # narrow convolutions: a few hundredths to a fifth of what GPUs of today can multiply
CORE_MS = 0.0304  # of a sample, many utterances at once: the section `generation`

MEAN_S = 3.0  # of an utterance of the voice
FRAMES_S = 0.3  # of speech that is made to find out how long that takes


class Counts(NamedTuple):
    """How often each part of a comparison is done; sets with their second training of one, if there is any."""

    trainings: int
    updates: int
    spoken_s: float
    scored: int


class Size(NamedTuple):
    """What one update of a training needs on any machine: operations forward and back, and bytes at its widest."""

    parameters: int
    flop: float
    activations: int


def counts(config: CompareConfig, n_sets: int) -> Counts:
    """Return how often each part is done: each training speaks from common frames and from those of its own set."""
    systems = n_sets + config.aa
    trainings = systems * config.seeds
    return Counts(
        trainings, config.vocoder.steps, 2 * trainings * config.spoken * MEAN_S, 2 * trainings * config.spoken
    )


def network_of(config: VocoderConfig) -> WaveNet:
    """Return an untrained network of the sizes of a configuration."""
    return build(config.sizes | {"emphasis": config.emphasis or 0.0}, [])


def batch_of(config: VocoderConfig, network: WaveNet, segments: int) -> Batch:
    """Return segments of silence as long as those of a training, with what is heard before and after them."""
    frames = network.history + config.frames + network.ahead
    log_mel = torch.zeros(segments, network.n_mels, frames + 2 * CONTEXT)
    x, first = torch.zeros(segments, frames * network.hop_length), torch.full((segments,), network.history)
    return x, log_mel, first, torch.zeros(segments, dtype=torch.long)


def size(config: VocoderConfig) -> Size:
    """Count the operations of one update, and the bytes that its forward pass keeps for the backward pass.

    Multiplications and additions count one each, of convolutions and products, as torch.utils.flop_counter does. Bytes
    are in 32 bits; autocast to 16 halves most of them. One segment is counted, and taken times the batch.
    """
    network = network_of(config)
    module, batch = VocoderModule(network, config, torch.zeros(0, 0), None), batch_of(config, network, 1)
    parameters = sum(p.numel() for p in network.parameters())
    own, kept = {p.untyped_storage()._cdata for p in network.parameters()}, {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        module.loss(batch).backward()
    return Size(parameters, config.batch_size * counter.get_total_flops(), config.batch_size * sum(kept.values()))


def plan(path: Path, settings: Sequence[str], sets: Sequence[str], utterances: int) -> str:
    """Return what a proof costs: how often each part is done, and hours by what one of each takes on this machine."""
    config = validate(CompareConfig, override(read_yaml(str(path)), list(settings)))
    vocoder = base.resolve(config.vocoder)[0]
    many, network = counts(config, len(sets)), network_of(vocoder)
    seconds = {
        "an update": (many.trainings * many.updates, _update_s(vocoder, network)),
        "a second of speech": (many.spoken_s, _speech_s(network, config.spoken)),
        "a score": (many.scored + len(sets) * config.spoken, _score_s()),
    }
    rows = [
        [what, f"{count:.0f}", f"{each:.3g}", f"{count * each / 3600:.2f}"] for what, (count, each) in seconds.items()
    ]
    total = sum(count * each for count, each in seconds.values()) / 3600
    heard_h = many.updates * vocoder.batch_size * vocoder.frames * network.hop_length / RATE / 3600
    of = size(vocoder)
    return (
        f"{utterances} utterances, {utterances * MEAN_S / 60:.0f} min. {len(sets)} sets ({', '.join(sets)})"
        f"{' and one of them once more' if config.aa else ''}, {config.seeds} trainings of each: {many.trainings} of "
        f"{many.updates} updates, which hear {heard_h:.2f} h each. {of.parameters:,} parameters, {of.flop / 1e9:.0f} "
        f"GFLOP an update, {of.activations / 2**30:.2f} GiB kept for the backward pass in 32 bits.\n\n"
        + table(["part", "how often", "seconds each", "hours"], rows)
        + f"\n\n{total:.1f} hours on one core, with cleaning some minutes more. {machine()}."
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    proof = validate(CompareConfig, read_yaml(str(GPU)))
    base_config = validate(VocoderConfig, read_yaml(str(GPU_BASE)))
    many = counts(proof, GPU_SETS)
    rows = []
    for what, config, trainings in (("base", base_config, 1), ("one of the proof", proof.vocoder, many.trainings)):
        of = size(config.model_copy(update={"sizes": base_config.sizes}))
        heard_h = config.steps * config.batch_size * config.frames * 0.005 / 3600
        hours = [trainings * config.steps * of.flop / (rate * 1e12) / 3600 for rate in SUSTAINED_TFLOPS]
        rows.append(
            [what, trainings, f"{config.steps:,}", f"{config.batch_size} x {config.frames}", f"{heard_h:.0f}",
             f"{of.flop / 1e12:.2f}", f"{of.activations / 2**30:.1f}", *(f"{h:.1f}" for h in hours)]
        )  # fmt: skip
    head = ["training", "how many", "updates", "segments x frames", "heard, h", "TFLOP an update", "GiB kept, 32 bits"]
    text = table([*head, *(f"hours of all at {rate:g} TFLOP/s" for rate in SUSTAINED_TFLOPS)], rows)
    core_h = many.spoken_s * RATE * CORE_MS / 1e3 / 3600
    write_section(
        "proof_gpu",
        f"{text}\n\n{of.parameters:,} parameters. {GPU_SETS} sets and one of them once more, {proof.seeds} trainings "
        f"of each, which speak {many.spoken_s / 3600:.1f} h: {core_h:.1f} core-hours at {CORE_MS} core-ms a sample.",
    )


def _timed(work: Callable[[], object], times: int = 2) -> float:
    """Return the seconds that one of some calls takes, the quickest, after one that warms up."""
    work()
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


def _update_s(config: VocoderConfig, network: WaveNet) -> float:
    module, batch = (
        VocoderModule(network, config, torch.zeros(0, 0), None),
        batch_of(config, network, config.batch_size),
    )
    optimizer = torch.optim.Adam(network.parameters())

    def update() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16-mixed"):
            loss = module.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return _timed(update)


def _speech_s(network: WaveNet, together: int) -> float:
    """Return the seconds that a second of speech takes with so many utterances side by side."""
    frames = round(FRAMES_S * RATE / network.hop_length)
    mels = [torch.zeros(network.n_mels, frames)] * together
    made_s = together * frames * network.hop_length / RATE
    return _timed(lambda: generate(network.eval(), mels, range(together)), 1) / made_s


def _score_s() -> float:
    x = coloured_noise(np.random.default_rng(SEED), round(MEAN_S * RATE), slope=1) * np.float32(0.05)
    return _timed(lambda: measures.measure(x, x, RATE), 1)


if __name__ == "__main__":
    main()
