"""A training that processes of this machine share, one for each GPU; the process of its flow watches over them."""

import os
import socket
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from clean_corpus.flows.engines.local import LocalEngine
from clean_corpus.flows.training_folder import quiet_lightning
from clean_corpus.pipeline.core.cores import usable_cores
from clean_corpus.pipeline.core.errors import CleanCorpusError

GRACE_S = 5.0  # between what a process says that has lost another, and what that one says


def show(line: str) -> None:
    """Print a line of progress on stderr."""
    Console(stderr=True).print(line, markup=False, highlight=False)


def share(processes: int, function: Callable[..., Path], *args: object) -> Path:
    """Call `function(*args, say)` in so many processes, which train together by Lightning; return the first's result.

    Lightning's own way would start this process's command again for each of them: that of a Prefect worker is a run of
    a flow. With one process the call is made in this one. `say` shows progress, and is None in all but the first.
    Raises: what the function raises in any of them, which ends the others; CleanCorpusError if one died.
    """
    if processes == 1:
        return function(*args, show)
    threads = torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else max(1, usable_cores() // processes)
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(processes)}
    group |= {"NODE_RANK": "0", "OMP_NUM_THREADS": str(threads)}
    with ThreadPoolExecutor(processes) as pool, LocalEngine(processes) as engine:  # ended first, in the other order
        call = partial(pool.submit, engine.run, train_part, group)
        calls = [call(rank, threads, function, args) for rank in range(processes)]
        wait(calls, return_when=FIRST_EXCEPTION)
        if error := _first_error(calls):
            raise error
        return calls[0].result()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _first_error(calls: list[Future[Path]]) -> BaseException | None:
    """Return why a training ends, None if it is done.

    Where a process died or was wrong, the others only say that they have lost it, and may say so sooner.
    """
    errors = _errors(calls)
    if errors and not any(map(_is_cause, errors)):
        wait(calls, timeout=GRACE_S)
        errors = _errors(calls)
    return next(filter(_is_cause, errors), next(iter(errors), None))


def _errors(calls: list[Future[Path]]) -> list[BaseException]:
    return [error for call in calls if call.done() and (error := call.exception())]


def _is_cause(error: BaseException) -> bool:
    return isinstance(error, CleanCorpusError | FloatingPointError)  # that a process died is of the first kind


def train_part(
    group: dict[str, str], rank: int, threads: int, function: Callable[..., Path], args: tuple[object, ...]
) -> Path:
    """Be one process of a training, by the variables that Lightning reads."""
    os.environ.update(group | {"LOCAL_RANK": str(rank)})
    torch.set_num_threads(threads)
    with quiet_lightning():
        return function(*args, None if rank else show)
