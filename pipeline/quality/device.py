"""Arrays on their way to a device and back, without waiting for it: page-locked memory, and full precision there."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Batch = TypeVar("Batch")
Item = TypeVar("Item")
Result = TypeVar("Result")


def staged(rows: Sequence[NDArray[np.float32]], length: int | None = None, *, pinned: bool) -> Tensor:
    """Return arrays of different lengths as one batch with zeros behind each, each copied once.

    `pinned` is whether it is to go to a GPU, which reads page-locked memory without a further copy.
    Shapes: (L_i, *) -> (B, length, *), which is that of the longest where it is not given.
    """
    batch = torch.empty((len(rows), length or max(map(len, rows)), *rows[0].shape[1:]), pin_memory=pinned)
    for place, row in zip(batch.numpy(), rows, strict=True):
        place[: len(row)] = row
        place[len(row) :] = 0.0
    return batch


def padded(rows: Sequence[NDArray[np.float32]], device: str | torch.device, length: int | None = None) -> Tensor:
    """Return arrays of different lengths as one batch on a device; shapes and copies as `staged`."""
    batch = staged(rows, length, pinned=torch.device(device).type == "cuda")
    return batch.to(device, non_blocking=True)  # torch keeps page-locked memory until it is read


def moved(array: NDArray[np.int64], device: str | torch.device) -> Tensor:
    """Return an array of numbers on a device."""
    numbers = torch.from_numpy(np.ascontiguousarray(array))
    return (numbers.pin_memory() if torch.device(device).type == "cuda" else numbers).to(device, non_blocking=True)


def fetched(result: Tensor) -> Callable[[], NDArray[np.float32]]:
    """Return a function that waits for a result of a device and returns it, while the device takes further work."""
    if result.device.type != "cuda":
        return result.numpy
    here = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
    here.copy_(result, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def wait() -> NDArray[np.float32]:
        arrived.synchronize()
        return here.numpy()

    return wait


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute in the block as a CPU does, and the same every time: no TF32, no algorithm that differs between runs."""
    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False, fp32_precision="ieee"
    )
    with torch.inference_mode(), flags:
        yield


def batched(items: Iterable[Item], size: Callable[[Item], float], limit: float) -> Iterator[list[Item]]:
    """Yield items in their order, as many at a time as reach the limit together.

    >>> list(batched([1, 2, 5, 1], float, 3))
    [[1, 2], [5], [1]]
    """
    batch, held = list[Item](), 0.0
    for item in items:
        batch.append(item)
        held += size(item)
        if held >= limit:
            yield batch
            batch, held = [], 0.0
    if batch:
        yield batch


def overlapped(batches: Iterable[Batch], start: Callable[[Batch], Callable[[], Result]]) -> Iterator[Result]:
    """Yield the result of each batch, in their order; one is made ready and started before another is waited for.

    `start` hands a batch to a device and returns what waits for its result.

    >>> list(overlapped([1, 2], lambda x: lambda: 10 * x))
    [10, 20]
    """
    waiting: Callable[[], Result] | None = None
    for batch in batches:
        started = start(batch)
        if waiting is not None:
            yield waiting()
        waiting = started
    if waiting is not None:
        yield waiting()
