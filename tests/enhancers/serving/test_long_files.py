"""An enhancer takes signals of any length: in blocks, without a seam, in memory that does not follow the length."""

import subprocess
import sys

import pytest
import torch

from clean_corpus.enhancers import table
from clean_corpus.enhancers.serving import long_files
from clean_corpus.enhancers.serving.enhancer import Enhancer
from tests.support.paths import REPOSITORY

RATE = 16000
NARROW = {"channels": (4, 4, 4, 4, 8)}
SMALL = {
    "cgcrn-complex": NARROW, "cgcrn-refined": NARROW, "pl-crnn-iam": NARROW,
    "dccrn-e": {"channels": (4, 4, 4, 8, 8, 8), "units": 8},
    "nsnet": {"layers": 1}, "segan": {"channels": (2, 2, 4), "kernel_size": 5},
    "mhanet-irm": {"d_model": 16, "layers": 1, "feedforward": 16},
}  # fmt: skip


def enhancer(name):
    torch.manual_seed(0)
    row = table.method(name)
    network = row.build(**SMALL[name])
    run = row.domain.forward(network, *torch.randn(2, 2, 20000))
    assert run.output is not None  # and BatchNorm has statistics
    return Enhancer(row, network, name=name, sha256="")


@pytest.mark.parametrize("name", ["cgcrn-complex", "cgcrn-refined", "pl-crnn-iam", "dccrn-e", "nsnet", "segan"])
def test_blocks_give_what_the_whole_gives(name, monkeypatch):
    whole = enhancer(name)
    x, n = 0.1 * torch.randn(2, 50001), torch.tensor([50001, 33000])
    x[1, 33000:] = 0
    wanted = whole(x, n)
    monkeypatch.setattr(long_files, "BLOCK_S", 0.7)
    monkeypatch.setattr("clean_corpus.enhancers.domains.windows.WINDOWS_AT_ONCE", 2)
    assert torch.allclose(whole(x, n), wanted, atol=1e-5)  # float32, other order of sums


def test_signals_of_many_lengths_come_to_the_network_in_few(monkeypatch):
    """oneDNN compiles, and keeps, code for each shape of a convolution's input."""
    system, seen = enhancer("cgcrn-complex"), set()
    system.network.register_forward_pre_hook(lambda network, inputs: seen.add(tuple(inputs[0].shape)))
    monkeypatch.setattr(long_files, "BLOCK_S", 2.0)
    for n in range(40001, 48000, 500):
        system(torch.zeros(1, n // 2), torch.tensor([n // 2]))  # at once
        system(torch.zeros(1, n), torch.tensor([n]))  # in blocks
    assert len(seen) <= 2 + 3  # of the whole; the stream's first sight of a frame, its blocks, the last of them


def test_a_network_that_attends_is_run_in_blocks_that_overlap(monkeypatch):
    """Where the mask does not depend on its surroundings, no seam may be heard."""
    whole = enhancer("mhanet-irm")
    monkeypatch.setattr(type(whole.network), "forward", lambda self, x, *, frames: torch.full_like(x, 0.5))
    monkeypatch.setattr(long_files, "ATTENDED_S", 1.0)
    monkeypatch.setattr(long_files, "OVERLAP_S", 0.2)
    x = torch.randn(1, 5 * RATE + 77)
    assert torch.allclose(whole(x, torch.tensor([x.shape[1]])), x / 2, atol=1e-5)


def test_memory_does_not_follow_the_length():
    """A quarter of an hour through a small network: far below what its activations would take at once (550 MB)."""
    code = (
        "import resource, torch; torch.set_num_threads(1)\n"
        "from tests.enhancers.serving.test_long_files import enhancer, RATE\n"
        "e = enhancer('cgcrn-complex'); x = torch.zeros(1, 60 * RATE); e(x, torch.tensor([60 * RATE]))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "n = 900 * RATE; y = e(torch.zeros(1, n), torch.tensor([n]))\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, n * 4 / 2**20)"
    )
    environment = {"PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    grown_mib, waveform_mib = map(float, done.stdout.split()[-2:])
    assert grown_mib < 7 * waveform_mib  # the waveforms themselves: in, out, and what is joined between
