"""A stopwatch for a training that is made to be timed alone."""

import time

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

WARM = 2  # updates at the start, in which libraries compile and caches fill
LEAST = 3  # updates that are timed, however long they take


class Stopwatch(Callback):
    """Time updates for some seconds, then stop the training."""

    def __init__(self, measured_s: float) -> None:
        self.measured_s = measured_s
        self.ends_s: list[float] = []

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Tensor, batch: object, index: int
    ) -> None:
        self.ends_s.append(time.monotonic())
        timed_s = self.ends_s[-1] - self.ends_s[min(len(self.ends_s), WARM) - 1]
        trainer.should_stop = timed_s >= self.measured_s and len(self.ends_s) >= WARM + LEAST

    def seconds_per_update(self) -> float:
        """Return the mean time from one update to the next, without those at the start."""
        timed = self.ends_s[WARM - 1 :]
        return (timed[-1] - timed[0]) / (len(timed) - 1)
