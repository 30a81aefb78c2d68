"""Measure WaveNet's samples per second: the compiled loop beside the same loop in plain PyTorch, on one core.

usage: python benchmarks/generation_speed.py      writes the section `generation` of the documents

The sizes are those of the peer's figures: 30 layers of 64 / 128 / 64 channels, kernel 3, mu-law 256, 45 mel bands.
"""

import argparse
import math
import time

import numpy as np
import torch
from documents import table, write_section
from environment import machine
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional

from clean_corpus.vocoder.distributions import mu_law_encode
from clean_corpus.vocoder.generation.cpu_loop import CpuLoop
from clean_corpus.vocoder.generation.generate import generate
from clean_corpus.vocoder.generation.weights import Weights
from clean_corpus.vocoder.wavenet import WaveNet

PEER_MS = {1: 1.84, 32: 0.252}  # incremental generation of a public PyTorch vocoder, one thread of the same kind of CPU
BAR_MS = {1: 0.15, 16: 0.045, 32: 0.045, 64: 0.045}
RATE = 16000
PASSES = 5


class PlainLoop:
    """The computation of the compiled loop in PyTorch, an operator at a time, with the past of each layer kept."""

    def __init__(self, network: WaveNet, batch: int) -> None:
        self.network = network
        self.rings = [
            torch.zeros(batch, b.residual.out_channels, (b.dilated.kernel_size[0] - 1) * b.dilated.dilation[0])
            for b in network.blocks
        ]
        self.at = 0

    @torch.inference_mode()
    def run(self, conditioning: Tensor, noise: Tensor) -> Tensor:
        """Draw the next samples: conditioning (B, C, N), noise (N, B, W) -> (B, N)."""
        net, drawn = self.network, [torch.zeros(len(conditioning))]
        columns = net.input.weight[:, :, 0].t()
        for n in range(conditioning.shape[-1]):
            x = functional.embedding(mu_law_encode(drawn[-1]), columns) + net.input.bias
            skips = torch.zeros(())
            for block, ring in zip(net.blocks, self.rings, strict=True):
                past, step = ring.shape[-1], block.dilated.dilation[0]
                place = self.at % past
                taps = [ring[:, :, (place + tap * step) % past] for tap in range(block.dilated.kernel_size[0] - 1)] + [
                    x
                ]
                gates = functional.linear(
                    torch.cat(taps, 1), block.dilated.weight.transpose(1, 2).flatten(1), block.dilated.bias
                )
                gates = gates + functional.linear(conditioning[:, :, n], block.conditioning.weight[:, :, 0])
                ring[:, :, place] = x
                signal, gate = gates.chunk(2, 1)
                y = signal.tanh() * gate.sigmoid()
                x = (x + functional.linear(y, block.residual.weight[:, :, 0], block.residual.bias)) * math.sqrt(0.5)
                skips = skips + functional.linear(y, block.skip.weight[:, :, 0], block.skip.bias)
            hidden = (skips * math.sqrt(1 / len(net.blocks))).relu()
            hidden = functional.linear(hidden, net.hidden.weight[:, :, 0], net.hidden.bias).relu()
            parameters = functional.linear(hidden, net.output.weight[:, :, 0], net.output.bias)
            drawn.append(net.distribution.draw(parameters, noise[n]))
            self.at += 1
        return torch.stack(drawn[1:], 1)


def inputs(network: WaveNet, batch: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random conditioning (N, C, B) and noise (N, B, W)."""
    rng = torch.Generator().manual_seed(0)
    c = torch.randn(n, network.conditioning.convs[0].out_channels, batch, generator=rng)
    noise = torch.stack([network.distribution.noise(n, rng) for _ in range(batch)], 1)
    return c.numpy(), noise.numpy()


def compiled_ms(network: WaveNet, weights: Weights, batch: int) -> float:
    """Return core milliseconds per sample of one utterance, the median of the passes."""
    loop, n = CpuLoop(weights, batch, single=batch == 1), 2000 if batch == 1 else 400
    c, noise = inputs(network, batch, n)
    loop.run(c[:50], noise[:50])
    took = []
    for _ in range(PASSES):
        start = time.process_time()
        loop.run(c, noise)
        took.append(1000 * (time.process_time() - start) / n / batch)
    return float(np.median(took))


def plain_ms(network: WaveNet, batch: int) -> float:
    """Return core milliseconds per sample of one utterance in plain PyTorch, the median of the passes."""
    c, noise = (torch.as_tensor(x) for x in inputs(network, batch, 60))
    loop = PlainLoop(network, batch)
    took = []
    for _ in range(PASSES):
        start = time.process_time()
        loop.run(c.permute(2, 1, 0), noise)
        took.append(1000 * (time.process_time() - start) / 60 / batch)
    return float(np.median(took))


def check_draws(network: WaveNet, weights: Weights) -> None:
    """Make sure that both loops draw the same samples.

    Raises: AssertionError if they do not.
    """
    c, noise = inputs(network, 16, 60)
    ours = CpuLoop(weights, 16).run(c, noise)[0]
    plain = PlainLoop(network, 16).run(torch.as_tensor(c).permute(2, 1, 0), torch.as_tensor(noise)).numpy()
    assert np.array_equal(ours.T, plain), "the compiled loop draws other samples than the plain one"


def times_real_time(network: WaveNet) -> float:
    """Return the seconds of speech per second: 64 utterances of 2 s on two threads, conditioning and draws included."""
    mels = [torch.randn(45, 400) for _ in range(64)]
    generate(network, mels[:2], [0, 1])
    start = time.perf_counter()
    generate(network, mels, list(range(64)), threads=2)
    return 64 * 2 / (time.perf_counter() - start)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = WaveNet(kernel_size=3, skip_channels=64).eval()
    weights = Weights.of(network)
    rows = []
    with threadpool_limits(1):
        check_draws(network, weights)
        for batch, bar in BAR_MS.items():
            ours = compiled_ms(network, weights, batch)
            plain = plain_ms(network, batch) if batch in PEER_MS else None
            against = [f"{plain:.3f}", f"{plain / ours:.1f}", f"{PEER_MS[batch] / ours:.1f}"] if plain else ["", "", ""]
            rows.append([batch, f"{ours:.4f}", bar, *against])
            print(rows[-1], flush=True)
    head = [
        "utterances at once", "core-ms per sample", "at most", "plain PyTorch loop, same run", "times faster",
        "times faster than the public one",
    ]  # fmt: skip
    text = table(head, rows)
    text += (
        f"\n\n30 layers of 64 / 128 / 64 channels, kernel 3, mu-law; {machine()}. The public PyTorch vocoder took "
        f"{PEER_MS[1]} core-ms per sample, {PEER_MS[32]} in a batch of 32, on a machine of this kind. 64 utterances on "
        f"both cores, conditioning included: {times_real_time(network):.2f} times real time."
    )
    write_section("generation", text)


if __name__ == "__main__":
    main()
