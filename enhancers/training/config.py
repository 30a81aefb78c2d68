"""Settings of an enhancer's training."""

from typing import Literal

import torch
from pydantic import Field

from clean_corpus.enhancers.training.steps import StepConfig
from clean_corpus.pipeline.training.held_out import By


class TrainConfig(StepConfig):
    """Settings of a training run."""

    validation_pairs: int = Field(96, ge=1)
    validation_share: float = Field(
        0.08, gt=0, lt=1
    )  # of the speech and noise sessions or shards, and of recorded rooms, held out
    validation_by: By = "draw"  # name: by a hash of its name, whatever lies beside it
    validate_by: Literal["si_sdr", "loss"] | None = None  # null: si_sdr in the last stage, loss in those before
    patience: int = Field(20, ge=1)  # epochs without a better validation
    stop_after_rises: int | None = Field(None, ge=1)  # of the validation loss in a row; null: patience alone decides
    keep: Literal["best", "last"] = "best"  # validation; last: the same time for all that are compared
    ema_decay: float | None = Field(
        0.998, ge=0, lt=1
    )  # of the running mean of the weights that is validated and kept; null: none
    clip_norm: float | None = Field(5.0, gt=0)  # of the gradient; null: none
    workers: int = Field(1, ge=0)
    processes: int = Field(1, ge=1)  # that share a training on a CPU, each with batches of its own; else one a GPU
    budget_min: float | None = Field(None, gt=0)  # stop after so many minutes, shared equally by the stages
    budget_counts: Literal["time", "computing"] = "time"  # computing: of this process, whatever else its cores do
    start_from: str | None = None  # shipped name or path of weights that fit the row's network
    stages: tuple[str, ...] = ()  # only these of the row's stages, for weights that have been through the others
    below: tuple[str, ...] = ("default",)  # enhancers of the lower band that a row for the band above it learns with

    @property
    def devices(self) -> int:
        """How many processes share a training: one for each GPU, or without one as many as are asked for."""
        return torch.cuda.device_count() or self.processes
