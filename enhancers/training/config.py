"""Settings of an enhancer's training."""

from typing import Literal

import torch
from pydantic import Field

from clean_corpus.enhancers.training.steps import StepConfig


class TrainConfig(StepConfig):
    """Settings of a training run."""

    validation_pairs: int = 96
    validation_share: float = 0.08  # of the speech and noise sessions or shards, and of recorded rooms, held out
    validation_by: Literal["draw", "name"] = "draw"  # name: by a hash of the session, whatever lies beside it
    validate_by: Literal["si_sdr", "loss"] | None = None  # null: si_sdr in the last stage, loss in those before
    patience: int = 20  # epochs without a better validation
    stop_after_rises: int | None = Field(None, ge=1)  # of the validation loss in a row; null: patience alone decides
    keep: Literal["best", "last"] = "best"  # validation; last: the same time for all that are compared
    ema_decay: float | None = 0.998  # of the running mean of the weights that is validated and kept; null: none
    clip_norm: float | None = 5.0  # of the gradient; null: none
    workers: int = 1
    processes: int = Field(1, ge=1)  # that share a training on a CPU, each with batches of its own; else one a GPU
    budget_min: float | None = None  # stop after so many minutes, shared equally by the stages
    budget_counts: Literal["time", "computing"] = "time"  # computing: of this process, whatever else its cores do
    start_from: str | None = None  # shipped name or path of weights that fit the row's network
    stages: tuple[str, ...] = ()  # only these of the row's stages, for weights that have been through the others
    below: tuple[str, ...] = ("default",)  # enhancers of the lower band that a row for the band above it learns with

    @property
    def devices(self) -> int:
        """How many processes share a training: one for each GPU, or without one as many as are asked for."""
        return torch.cuda.device_count() or self.processes
