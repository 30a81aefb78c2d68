"""The Lightning module of a vocoder's training: loss, validation, a spoken example, optimizer."""

import math

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from clean_corpus.pipeline.training.loop import first_index, stop_together
from clean_corpus.vocoder.generation.generate import generate
from clean_corpus.vocoder.training.config import VocoderConfig
from clean_corpus.vocoder.training.segments import CONTEXT
from clean_corpus.vocoder.wavenet import WaveNet

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Samples, frames, the number of the first frame that counts, and speaker: items of `Segments`, stacked."""


class VocoderModule(LightningModule):
    """A WaveNet with its likelihood as loss, and a held-out clip that it speaks at each validation.

    Shapes: example (n_mels, T), log-mel frames of that clip, none for no example.
    """

    def __init__(self, network: WaveNet, config: VocoderConfig, example: Tensor, speaker: int | None) -> None:
        super().__init__()
        self.network, self.config, self.example, self.example_speaker = network, config, example, speaker

    def loss(self, batch: Batch) -> Tensor:
        """Return the mean negative log-likelihood in nats per sample, of the samples that count."""
        x, log_mel, first, speaker = batch
        condition = speaker if self.config.speaker_conditioning else None
        nll = self.network.nll(
            x.clamp(-1, 1), log_mel, condition, context=CONTEXT, first=first, frames=self.config.frames
        )
        return nll.mean()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Return the loss of a batch.

        Raises: FloatingPointError with the numbers of the segments if it is not finite, here or in another process.
        """
        loss, problem = self.loss(batch), None
        if not torch.isfinite(loss):
            epoch = min(self.config.steps_per_epoch, self.config.steps) * self.config.batch_size
            first = first_index(self.current_epoch, epoch) + index * self.config.batch_size
            problem = (
                f"loss {loss.item()} at step {self.global_step}, segments {first}..{first + len(batch[0]) - 1} of "
                f"seed {self.config.seed}; weights were not updated"
            )
        stop_together(problem, loss.device)
        self.log("train/nll", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Log the loss of a held-out batch."""
        self.log("val/loss", self.loss(batch), prog_bar=True, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Speak the example and add it to TensorBoard."""
        if self.trainer.sanity_checking or not self.trainer.is_global_zero or not self.example.shape[-1]:
            return
        speakers = None if self.example_speaker is None else [self.example_speaker]
        (wave,) = generate(self.network, [self.example.cpu()], [self.config.seed], speakers=speakers)
        if isinstance(self.logger, TensorBoardLogger):
            rate = self.config.features.sample_rate
            self.logger.experiment.add_audio("held out", torch.as_tensor(wave), self.global_step, sample_rate=rate)

    def configure_optimizers(self) -> dict[str, object]:
        """Return Adam with the rate of the schedule; with halve_on_plateau the callback HalveOnRise halves it."""
        config = self.config
        optimizer = torch.optim.Adam(self.network.parameters(), lr=config.learning_rate)

        def shape(step: int) -> float:
            if step < config.warmup_steps:
                return (step + 1) / config.warmup_steps
            if config.lr_schedule != "cosine":
                return 1.0
            progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
            return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
