"""Parts of the GPU's kernel on Triton's interpreter: answers known beforehand, and constants that lie in two places."""

import math
import os
import subprocess
import sys

import pytest
import torch

from clean_corpus.vocoder import distributions, source
from clean_corpus.vocoder.generation.kernels import cpu

pytest.importorskip("triton")

# Columns of logits: all alike; one certain; the last of four certain; rows beyond the fourth do not count.
CODE = """
import numpy as np, torch, triton, triton.language as tl
from clean_corpus.vocoder.generation.kernels import gpu

@triton.jit
def parts(x, y, column, drawn, matrix, picked, n_rows, n_columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    r, c = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    at = r[:, None] * COLUMNS + c[None, :]
    logits = tl.load(x + at)
    tl.store(y + at, gpu._tanh(logits))
    chosen = gpu._draw_class(logits, r, n_rows, tl.load(column + c), tl.full((COLUMNS,), 1.0, tl.float32))
    tl.store(drawn + c, chosen)
    tl.store(matrix + at, gpu._matrix(x, r, c, n_rows, n_columns))
    tl.store(picked + c, gpu._row(logits, r, chosen))

ROWS, COLUMNS, N_ROWS, N_COLUMNS = 16, 16, 4, 3
x = np.full((ROWS, COLUMNS), 50.0, np.float32)  # beyond the fourth row: never drawn
x[:N_ROWS] = 0.0
x[1, 4:8] = 40.0
x[3, 8:12] = 40.0
x[:N_ROWS, 12:] = np.array([1, 2, 3, 4], np.float32)[:, None]
noise = np.tile([0.0, 0.3, 0.74, 0.999], 4).astype(np.float32)
given, column = torch.tensor(x), torch.tensor(noise)
y, matrix = torch.zeros(ROWS, COLUMNS), torch.full((ROWS, COLUMNS), 7.0)
drawn, picked = torch.zeros(COLUMNS, dtype=torch.int32), torch.zeros(COLUMNS)
parts[(1,)](given, y, column, drawn, matrix, picked, N_ROWS, N_COLUMNS, ROWS, COLUMNS)

assert np.abs(y.numpy() - np.tanh(x.astype(np.float64))).max() < 1e-6
shares = np.exp(x[:N_ROWS].astype(np.float64))
shares = np.cumsum(shares / shares.sum(0), 0)
wanted = [int(np.searchsorted(shares[:, i], noise[i])) for i in range(COLUMNS)]
assert drawn.tolist() == wanted, (drawn.tolist(), wanted)
assert drawn.tolist()[:12] == [0, 1, 2, 3, 0, 1, 1, 1, 0, 3, 3, 3], drawn.tolist()
assert picked.tolist() == [x[wanted[i], i] for i in range(COLUMNS)]
flat = x.ravel()
for row in range(ROWS):
    for col in range(COLUMNS):
        inside = row < N_ROWS and col < N_COLUMNS
        assert matrix[row, col] == (flat[row * N_COLUMNS + col] if inside else 0.0), (row, col)
"""


def test_parts_of_the_kernel_give_what_is_known_beforehand(tmp_path):
    script = tmp_path / "parts.py"  # Triton reads the source of a kernel
    script.write_text(CODE)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=os.environ | {"TRITON_INTERPRET": "1"}
    )
    assert done.returncode == 0, done.stderr


def test_constants_are_those_of_the_cpu_and_of_the_source():
    from clean_corpus.vocoder.generation.kernels import gpu

    assert [kind.value for kind in (gpu.MU_LAW, gpu.GAUSSIAN, gpu.LOGISTICS)] == [
        cpu.MU_LAW, cpu.GAUSSIAN, cpu.LOGISTICS,
    ]  # fmt: skip
    assert gpu.LOG_SCALE_MIN.value == distributions.LOG_SCALE_MIN == cpu.LOG_SCALE_MIN
    assert gpu.ROOT_HALF.value**2 == pytest.approx(0.5, abs=1e-15)
    assert (gpu.PAST.value, gpu.PERIOD_TAPS.value) == (cpu.PAST, source.TAPS)
    assert gpu.COMPRESSED.value == pytest.approx(source.compressed(torch.ones(1)).item() / math.log(256), abs=1e-7)
