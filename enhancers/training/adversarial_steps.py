"""The adversarial training step, of rows with a critic."""

import inspect

import torch
from torch import Tensor, nn

from clean_corpus.enhancers.method import Method, Stage
from clean_corpus.enhancers.objectives.adversarial import gradient_norm, gradient_penalty
from clean_corpus.enhancers.training.steps import StepConfig, Supervised
from clean_corpus.pipeline.core.errors import ConfigError

ADVERSARIAL = "adversarial"
"""Name of the network's loss from its critic in `loss_weights`."""


class Adversarial(Supervised):
    """Lightning module that updates a network and its critic in turn.

    `global_step` counts the network's updates. Learning rates are constant: those of the row, unless the config sets
    one (which scales the critic's in the same proportion). Gradients are not clipped. `optimizer`, `lr_schedule`,
    `warmup_steps` and `clip_norm` of the config apply to supervised training only.

    Source: paper [004], eqs. 1 and 2; SYSTEMS.md section 6.2.
    Raises: ConfigError for float16: the penalty's second derivatives underflow there.
    """

    automatic_optimization = False

    def __init__(self, row: Method, stage: Stage, network: nn.Module, config: StepConfig) -> None:
        super().__init__(row, stage, network, config)
        if (config.precision or "").startswith("16"):
            raise ConfigError(f"precision {config.precision!r}: adversarial training needs bf16-mixed or 32-true")
        shared = inspect.signature(row.adversary.critic).parameters
        self.critic = row.adversary.critic(**{k: v for k, v in config.sizes.items() if k in shared})

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        optimizer, _ = self.optimizers()
        # Lightning counts updates of its wrapped optimisers, so the critic's is used unwrapped
        _, critic_optimizer = self.optimizers(use_pl_optimizer=False)
        run = self.row.domain.forward(self.network, *batch)
        estimate, clean = self.stage.target(run)
        noisy = self.row.adversary.condition(run)

        loss = self.total(self.critic_terms(estimate.detach(), clean, noisy), len(batch[0]), index)
        critic_optimizer.zero_grad()
        self.manual_backward(loss)
        critic_optimizer.step()
        if (index + 1) % self.row.adversary.critic_steps:
            return

        terms = {}
        if self.counts(ADVERSARIAL):
            terms[ADVERSARIAL] = self.config.loss_weights.get(ADVERSARIAL, 1.0) * self._adversarial(estimate, noisy)
        loss = self.total(terms | self.terms(estimate, clean), len(batch[0]), index)
        self.log("train/loss", loss, prog_bar=True)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        adversary = self.row.adversary
        scale = self.config.learning_rate / adversary.learning_rate if self.config.learning_rate else 1.0
        players = ((self.network, adversary.learning_rate), (self.critic, adversary.critic_learning_rate))
        return [torch.optim.Adam(player.parameters(), scale * rate, adversary.betas) for player, rate in players]

    def critic_terms(self, estimate: Tensor, clean: Tensor, noisy: Tensor) -> dict[str, Tensor]:
        """Return the critic's losses by name, from windows of the estimate and of clean speech, each beside the noisy.

        Shapes: (B, 1, window) three times -> () each.
        """
        adversary, level = self.row.adversary, self._level(noisy)
        estimate, clean, noisy = estimate / level, clean / level, noisy / level
        scores, clean_scores = self.critic(estimate, noisy), self.critic(clean, noisy)
        self.log("train/critic_gap", clean_scores.mean() - scores.mean(), prog_bar=True)
        terms = {"critic": adversary.critic_loss(scores, clean_scores)}
        if adversary.penalty:
            mix = torch.rand(len(clean), 1, 1, device=clean.device)
            norm = gradient_norm(self.critic, estimate, clean, noisy, mix)
            self.log("train/gradient_norm", norm.mean())
            terms["gradient_penalty"] = adversary.penalty * gradient_penalty(norm)
        return terms

    def _adversarial(self, estimate: Tensor, noisy: Tensor) -> Tensor:
        """Return the network's loss by its critic, whose weights get no gradient."""
        self.critic.requires_grad_(False)
        level = self._level(noisy)
        scores = self.critic(estimate / level, noisy / level) * level.flatten()
        self.critic.requires_grad_(True)
        return self.row.adversary.network_loss(scores)

    def _level(self, noisy: Tensor) -> Tensor:
        """Return the level by which the critic's input is divided, 1 if its row sets none."""
        level = self.row.adversary.level
        return level(noisy) if level else noisy.new_ones(())
