"""The supervised training step of one stage, its validation and optimiser; adversarial training builds on it."""

import math
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule
from pydantic import Field
from torch import Tensor, nn

from clean_corpus.enhancers.method import Method, Stage
from clean_corpus.enhancers.objectives import losses
from clean_corpus.enhancers.training.mixing import MixConfig, Share
from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.training.loop import first_index, stop_together

LEARNING_RATE = 1e-3


class StepConfig(Section):
    """Settings of the training steps."""

    steps: int = Field(20000, ge=1)  # of each stage
    epochs: int | None = Field(None, ge=1)  # of each stage, instead of steps
    batch_size: int = Field(8, ge=1)
    optimizer: Literal["adamw", "adam"] = "adamw"  # adamw: weight decay 1e-4; adam: none
    learning_rate: float | None = Field(None, gt=0)  # 1e-3, or what the row's adversary says
    lr_schedule: Literal["cosine", "constant", "halve_on_plateau"] = "cosine"  # after the warm-up
    halve_after: int = Field(1, ge=1)  # rises of the validation loss in a row, with halve_on_plateau
    warmup_steps: int = Field(500, ge=0)
    steps_per_epoch: int = Field(500, ge=1)  # a checkpoint and a validation after each
    seed: int = Field(0, ge=0)
    pesq_pairs: int = Field(8, ge=0)  # of the validation pairs, whose PESQ is logged too; of 16 kHz only
    precision: str | None = None  # Lightning's names; bf16-mixed on a GPU, 32-true without, unless set
    loss_weights: dict[str, float] = Field(default_factory=dict)  # by name, instead of the row's; 0: without
    losses_from: dict[str, Share] = Field(default_factory=dict)  # by name: share of the steps after which it counts
    sizes: dict[str, Any] = Field(default_factory=dict)
    mix: MixConfig = MixConfig()

    @property
    def steps_per_stage(self) -> int:
        return self.epochs * self.steps_per_epoch if self.epochs else self.steps


class Supervised(LightningModule):
    """Lightning module of one stage of a row: optimiser, learning parts of the network, losses."""

    def __init__(self, row: Method, stage: Stage, network: nn.Module, config: StepConfig) -> None:
        super().__init__()
        self.row, self.stage, self.network, self.config = row, stage, network, config
        weights = {k: (loss, config.loss_weights.get(k, weight)) for k, (loss, weight) in stage.losses.items()}
        self.losses = {k: (loss, weight) for k, (loss, weight) in weights.items() if weight}
        network.requires_grad_(not stage.parts)
        for part in stage.parts:
            network.get_submodule(part).requires_grad_(True)

    def train(self, mode: bool = True) -> "Supervised":
        """Set the mode of the parts that learn, and of what they are parts of; the others keep BatchNorm's statistics.

        So a network leaves out in every stage what it adds in use only: a post-filter, a level.
        """
        super().train(mode)
        if mode and self.stage.parts:
            self.network.eval()
            self.network.training = True
            for part in self.stage.parts:
                for end in (i for i, letter in enumerate(part) if letter == "."):
                    self.network.get_submodule(part[:end]).training = True
                self.network.get_submodule(part).train()
        return self

    def on_train_batch_start(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        """Seed dropout and latents by the batch's number alone, so that a resumed run draws the same."""
        entropy = (self.config.seed, self.current_epoch, index, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        estimate, reference = self.stage.target(self.row.domain.forward(self.network, *batch))
        loss = self.total(self.terms(estimate, reference), len(batch[1]), index)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def terms(self, estimate: Tensor, reference: Tensor) -> dict[str, Tensor]:
        """Return the weighted losses of the stage by name; a training step has none that count from a later one on.

        A validation has all from the start: its loss would jump else, and no later weights be better than early ones.
        """
        return {
            name: weight * loss(estimate, reference)
            for name, (loss, weight) in self.losses.items()
            if not self.training or self.counts(name)
        }

    def counts(self, name: str) -> bool:
        """Return whether a loss counts at this step."""
        return self.global_step / self.config.steps_per_stage >= self.config.losses_from.get(name, 0.0)

    def total(self, terms: dict[str, Tensor], batch_size: int, index: int) -> Tensor:
        """Return the sum of the terms, and log each.

        Raises: FloatingPointError that names the pairs if the sum is not finite, here or in another process.
        """
        total, problem = torch.stack(list(terms.values())).sum(), None
        if not torch.isfinite(total):
            epoch = min(self.config.steps_per_epoch, self.config.steps_per_stage) * self.config.batch_size
            first = first_index(self.current_epoch, epoch) + index * self.config.batch_size
            problem = (
                f"loss {total.item()} at step {self.global_step}, pairs {first}..{first + batch_size - 1} of seed "
                f"{self.config.seed}, terms { {k: v.item() for k, v in terms.items()} }; weights were not updated"
            )
        stop_together(problem, total.device)
        self.log_dict({f"train/{k}": v for k, v in terms.items()})
        return total

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        from clean_corpus.pipeline.quality.scorer import pesq_lqo  # loads onnxruntime

        run = self.row.domain.forward(self.network, *batch)
        loss = sum(self.terms(*self.stage.target(run)).values(), run.estimate.new_zeros(()))
        self.log("val/loss", loss, sync_dist=True)
        self.log("val/si_sdr", -losses.neg_si_snr(run.estimate, run.clean), prog_bar=True, sync_dist=True)
        wanted = self.config.pesq_pairs - index * self.config.batch_size
        for estimate, clean in zip(run.estimate[: max(0, wanted)], run.clean, strict=False):
            pair = [x.detach().float().cpu().numpy() for x in (estimate, clean)]
            if not math.isnan(score := pesq_lqo(*pair, "wb")):  # of silence, or without an utterance
                self.log("val/pesq", score, batch_size=1, sync_dist=True)

    def configure_optimizers(self) -> dict[str, object]:
        cfg = self.config
        learning = [p for p in self.parameters() if p.requires_grad]
        rate = cfg.learning_rate or LEARNING_RATE
        optimizer: torch.optim.Optimizer = torch.optim.Adam(learning, lr=rate)
        if cfg.optimizer == "adamw":
            optimizer = torch.optim.AdamW(learning, lr=rate, weight_decay=1e-4)

        def shape(step: int) -> float:
            if step < cfg.warmup_steps:
                return (step + 1) / cfg.warmup_steps
            if cfg.lr_schedule != "cosine":
                return 1.0
            progress = (step - cfg.warmup_steps) / max(1, cfg.steps_per_stage - cfg.warmup_steps)
            return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
