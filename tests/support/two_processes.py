"""Two processes that train together, as those of two GPUs do, on CPUs."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

import torch

JOINED = {"accelerator": "cpu", "devices": 2}
"""Arguments of a Lightning trainer in either process."""
LIMIT_S = 150  # some seconds suffice on an idle machine


def in_two_processes(work: Callable[[int], Any]) -> list[Any]:
    """Return what `work` returns for rank 0 and for rank 1, each in a process of its own, forked from this one.

    Raises: RuntimeError with the traceback of a process that failed, or that it did not end in time.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    context = multiprocessing.get_context("fork")  # torch is loaded already
    pipes = [context.Pipe(duplex=False) for _ in range(2)]
    processes = [
        context.Process(target=_run, args=(work, rank, address | {"LOCAL_RANK": str(rank)}, pipe[1]))
        for rank, pipe in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    try:
        results = [pipe[0].recv() if pipe[0].poll(LIMIT_S) else (False, f"no answer in {LIMIT_S} s") for pipe in pipes]
    finally:
        for process in processes:
            process.kill()
            process.join()
    for done, result in results:
        if not done:
            raise RuntimeError(result)
    return [result for _, result in results]


def _run(work: Callable[[int], Any], rank: int, environment: dict[str, str], answer: Any) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)  # threads of OpenMP do not survive a fork
    try:
        answer.send((True, work(rank)))
    except BaseException:
        answer.send((False, f"rank {rank}: {traceback.format_exc()}"))
