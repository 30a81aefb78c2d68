"""Parts that all trainings with Lightning share: samplers, loaders and callbacks."""

import math
import multiprocessing
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer, WeightAveraging
from lightning.pytorch.trainer.states import RunningStage
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.surroundings import require_semaphores


class EpochSampler(Sampler[int]):
    """Yield fresh indices every epoch, from epoch * length on, the same after a resume; each process has its share."""

    def __init__(self, length: int) -> None:
        self.length, self.epoch = length, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        first = first_index(self.epoch, self.length)
        return iter(range(first, first + self.length))


def first_index(epoch: int, length: int) -> int:
    """Return the first index of this process's share of an epoch, which has `length` indices for each process."""
    rank, processes = _rank_and_processes()
    return (epoch * processes + rank) * length


def _rank_and_processes() -> tuple[int, int]:
    """Return this process's number among those that train together, and how many they are."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def stop_together(problem: str | None, device: torch.device) -> None:
    """Raise what went wrong in any of the processes that train together, in all of them.

    One that stopped alone would leave the others waiting for its gradients. So each calls this at the same point of a
    step, with None if all is well.

    Raises: FloatingPointError with the problems of those that have one.
    """
    _, processes = _rank_and_processes()
    problems = [problem]
    if processes > 1:
        failed = torch.tensor(float(problem is not None), device=device)
        torch.distributed.all_reduce(failed)
        if failed:
            problems = [None] * processes
            torch.distributed.all_gather_object(problems, problem)
    if found := [each for each in problems if each]:
        raise FloatingPointError("; ".join(found))


def loader(
    dataset: Dataset, batch_size: int, *, workers: int, sampler: Sampler[int] | None = None
) -> DataLoader[tuple[Tensor, ...]]:
    """Return batches of a dataset, in order, made by worker processes; with `workers` 0, by this one.

    A server process with one thread starts the workers, which stay for the whole training. A worker forked from this
    process would inherit locks that Prefect's threads hold at that moment, our handling of signals, which spares it
    SIGTERM, and the pipe whose end tells the Prefect server that we are gone.
    """
    if not workers:
        return DataLoader(dataset, batch_size, sampler=sampler)
    require_semaphores()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([type(dataset).__module__])
    return DataLoader(
        dataset, batch_size, sampler=sampler,
        num_workers=workers, multiprocessing_context=context, persistent_workers=True,
    )  # fmt: skip


class RunningMean(WeightAveraging):
    """Keep and validate a running mean of the weights, over few updates at first: it would remember the start.

    Source: decay of min(decay, (1 + n) / (10 + n)) at update n, as TensorFlow's ExponentialMovingAverage has it.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(avg_fn=partial(_nearer, decay))

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Leave the mean in the module, whose own hook of this name, called after this one, is to have it too."""

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        super().on_validation_epoch_end(trainer, module)


def _nearer(decay: float, mean: Tensor, value: Tensor, updates: Tensor) -> Tensor:
    if not value.is_floating_point():  # BatchNorm's count
        return value
    n = int(updates)
    return mean.lerp(value, 1 - min(decay, (1 + n) / (10 + n)))


class ComputingTimer(Timer):
    """End a training after so much computing of this process, however much of the machine others have meanwhile."""

    def __init__(self, duration: timedelta) -> None:
        super().__init__(duration, interval="step")
        self._began_s: float | None = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._began_s = time.process_time()

    def time_elapsed(self, stage: str = RunningStage.TRAINING) -> float:
        """Return the seconds of computing in training, in the runs before this one too."""
        if stage != RunningStage.TRAINING:
            return super().time_elapsed(stage)
        return self._offset + (0.0 if self._began_s is None else time.process_time() - self._began_s)


class HalveOnRise(Callback):
    """Halve the learning rate when the validation loss rose so many validations in a row.

    Source: papers [001] (three) and [003] (one); SYSTEMS.md sections 3.1 and 5.
    """

    def __init__(self, rises: int) -> None:
        self.wanted, self.rises, self.previous = rises, 0, math.inf

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        loss = float(trainer.callback_metrics["val/loss"])
        self.rises = self.rises + 1 if loss > self.previous else 0
        self.previous = loss
        if self.rises < self.wanted:
            return
        self.rises = 0
        for config in trainer.lr_scheduler_configs:
            config.scheduler.base_lrs = [rate / 2 for rate in config.scheduler.base_lrs]
        for group in (group for optimizer in trainer.optimizers for group in optimizer.param_groups):
            group["lr"] /= 2  # the next step's was computed before the validation

    def state_dict(self) -> dict[str, Any]:
        return {"rises": self.rises, "previous": self.previous}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rises, self.previous = state_dict["rises"], state_dict["previous"]


class StopOnRise(Callback):
    """Stop the training when the validation loss rose in so many validations in a row, however good the best one was.

    A training that was killed after its last validation stops at once when it is resumed.

    Source: paper [001], section 4.3 (more than ten); SYSTEMS.md section 3.1.
    """

    def __init__(self, rises: int) -> None:
        self.wanted, self.rises, self.previous = rises, 0, math.inf

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.rises >= self.wanted

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        loss = float(trainer.callback_metrics["val/loss"])
        self.rises = self.rises + 1 if loss > self.previous else 0
        self.previous = loss
        trainer.should_stop = trainer.should_stop or self.rises >= self.wanted

    def state_dict(self) -> dict[str, Any]:
        return {"rises": self.rises, "previous": self.previous}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rises, self.previous = state_dict["rises"], state_dict["previous"]


class LastValidation(Callback):
    """Hold the score of the last validation in the checkpoints that follow it, whose weights have it."""

    def __init__(self, watched: str) -> None:
        self.watched, self.score = watched, math.nan

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self.score = float(trainer.callback_metrics[self.watched])

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.score = state_dict["score"]


class Lines(Callback):
    """Print a line after each validation."""

    def __init__(self, say: Callable[[str], None], head: str, watched: str, steps: int) -> None:
        self.say, self.head, self.watched, self.steps = say, head, watched, steps

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        if not trainer.sanity_checking and trainer.is_global_zero:
            value = float(trainer.callback_metrics[self.watched])
            self.say(f"{self.head}step {trainer.global_step}/{self.steps}, {self.watched} {value:.3f}")


def checkpoint(path: Path, steps_per_epoch: int) -> dict[str, Any]:
    """Load what Lightning saved: tensors and plain values, nothing is unpickled.

    Raises: CleanCorpusError if there is none, since a budget of time ended before the first validation.
    """
    if not path.exists():
        raise CleanCorpusError(
            f"{path.parent}: the time was over before the first validation, after {steps_per_epoch} steps; give more "
            "time, or lower steps_per_epoch"
        )
    return torch.load(path, map_location="cpu", weights_only=True)
