"""The GPU's sample loop on Triton's interpreter, against the compiled loop of the CPU."""

import os
import subprocess
import sys

import pytest

CODE = """
import numpy as np, torch
from clean_corpus.vocoder.generation.cpu_loop import CpuLoop
from clean_corpus.vocoder.generation.weights import SourceInputs, Weights
from clean_corpus.vocoder.generation.gpu_loop import GpuLoop
from clean_corpus.vocoder.wavenet import WaveNet

batch, n = 18, 16  # more utterances than a block of the kernel, more samples than the field of kernel_size 3
for output, kernel_size, hop in (("mu-law", 2, 1), ("gaussian", 3, 4), ("logistics", 2, 1)):
    torch.manual_seed(0)
    net = WaveNet(layers=4, stacks=2, kernel_size=kernel_size, residual_channels=16, gate_channels=48,
                  skip_channels=20, conditioning_channels=12, upsampling=(4 // hop,), conditioning_hop=hop,
                  output=output, harmonics=2 if hop == 4 else 0).eval()
    generator = torch.Generator().manual_seed(1)
    c = torch.randn(n // hop, 12, batch, generator=generator)
    noise = torch.stack([net.distribution.noise(n, generator) for _ in range(batch)], 1)
    temperature = torch.rand(n // hop, batch, generator=generator) + 0.5
    if net.source:
        torch.nn.init.normal_(net.source.output.weight, std=0.1)
        source = SourceInputs(torch.randn(n, 64, batch, generator=generator), torch.rand(n, batch, generator=generator),
                              torch.randint(5, 14, (n, batch), generator=generator))
    cpu, gpu = CpuLoop(Weights.of(net), batch), GpuLoop(Weights.of(net), batch, torch.device("cpu"))
    for part in (slice(0, 11), slice(11, n)):  # goes on where it stopped
        held = slice(part.start // hop, -(-part.stop // hop))  # the second stretch begins within a hop
        expected, found = (
            loop.run(c[held], noise[part], temperature[held],
                     net.source and SourceInputs(*(x[part] for x in source)), keep_logits=True)
            for loop in (cpu, gpu)
        )
        error = np.abs(expected[1] - found[1]).max()
        assert error < 1e-4, (output, error)
        assert np.allclose(expected[0], found[0], atol=1e-4), (output, np.abs(expected[0] - found[0]).max())
    assert expected[0].std() > 0.01, output
print("same")
"""


def test_it_draws_the_samples_of_the_cpu_for_every_output():
    pytest.importorskip("triton")
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env=os.environ | {"TRITON_INTERPRET": "1"}
    )
    assert done.returncode == 0 and done.stdout == "same\n", done.stderr
