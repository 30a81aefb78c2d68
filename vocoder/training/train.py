"""Training of the vocoder with Lightning: streamed shards, a running mean of the weights, exact resume."""

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from pydantic import Field
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.training.loop import EpochSampler, HalveOnRise, Lines, RunningMean, checkpoint, claim, loader
from clean_corpus.pipeline.training.shard_stream import Encoded, Shard
from clean_corpus.vocoder.checkpoint import Vocoder, build, save_vocoder
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.generation.loop import generate
from clean_corpus.vocoder.training.segments import (
    CONTEXT,
    Segments,
    Survey,
    is_held_out,
    speaker_of,
    stretch,
    survey,
    validation_clips,
)
from clean_corpus.vocoder.wavenet import WaveNet

LEAST_S = 600.0  # of training audio; a voice from less is not worth the wait


class FeatureConfig(Section):
    """Frames; sizes in samples, f_max_hz null for half the rate."""

    sample_rate: int = 16000
    n_mels: int = 45
    win_length: int = 400
    hop_length: int = 80
    n_fft: int = 512
    f_max_hz: float | None = None

    def log_mel(self) -> LogMel:
        """What makes them."""
        return LogMel(**(self.model_dump() | {"f_max_hz": self.f_max_hz or self.sample_rate / 2}))


class VocoderConfig(Section):
    """Everything that one training depends on beside its shards."""

    steps: int = 200_000
    batch_size: int = 8
    frames: int = 100  # of each stretch
    learning_rate: float = 1e-3
    halve_after: int = Field(2, ge=1)  # rises of the validation loss in a row after which the rate is halved
    steps_per_epoch: int = 1000  # a checkpoint and a validation after each
    validation_share: float = Field(0.05, gt=0, lt=1)
    validation_disjoint: Literal["utterance", "speaker"] = "utterance"
    validation_clips: int = 32
    patience: int = 20  # epochs without a better validation
    keep: Literal["best", "last"] = "best"  # validation; last: the same number of steps for all that are compared
    ema_decay: float = 0.999
    clip_norm: float = 1.0
    shuffle_clips: int = Field(256, ge=1)
    speaker_conditioning: bool = False
    heard_s: float = 2.0  # of a held-out clip, spoken at each validation for TensorBoard; 0: none
    workers: int = 1
    seed: int = 0
    precision: str | None = None  # Lightning's names; bf16-mixed on a GPU, 32-true without, unless set
    budget_min: float | None = None  # stop after so many minutes
    features: FeatureConfig = FeatureConfig()
    sizes: dict[str, Any] = Field(default_factory=dict)  # keywords of WaveNet


class Training(LightningModule):
    """One WaveNet, its likelihood, and what a held-out clip sounds like."""

    def __init__(self, network: WaveNet, config: VocoderConfig, heard: Tensor, speaker: int | None) -> None:
        super().__init__()
        self.network, self.config, self.heard, self.heard_speaker = network, config, heard, speaker

    def loss(self, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Nats per sample."""
        x, log_mel, speaker = batch
        given = speaker if self.config.speaker_conditioning else None
        return self.network.nll(x.clamp(-1, 1), log_mel, given, context=CONTEXT).mean()

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        loss = self.loss(batch)
        if not torch.isfinite(loss):
            first = (self.current_epoch * self.config.steps_per_epoch + index) * self.config.batch_size
            raise FloatingPointError(
                f"loss {loss.item()} at step {self.global_step}, stretches {first}..{first + len(batch[0]) - 1} of "
                f"seed {self.config.seed}; weights were not updated"
            )
        self.log("train/nll", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> None:
        self.log("val/loss", self.loss(batch), prog_bar=True, sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        if self.trainer.sanity_checking or not self.trainer.is_global_zero or not self.heard.shape[-1]:
            return
        speakers = None if self.heard_speaker is None else [self.heard_speaker]
        (wave,) = generate(self.network, [self.heard.cpu()], [self.config.seed], speakers=speakers)
        if isinstance(self.logger, TensorBoardLogger):
            rate = self.config.features.sample_rate
            self.logger.experiment.add_audio("held out", torch.as_tensor(wave), self.global_step, sample_rate=rate)

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.config.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)  # halved by HalveOnRise
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


FREE = {"workers", "budget_min", "heard_s"}  # may change from one run in the same folder to the next


def train(
    shards: Sequence[Shard],
    out: Path,
    config: VocoderConfig,
    say: Callable[[str], None] | None = None,
    *,
    force: bool = False,
    device: int | None = None,
) -> Path:
    """Train on the clips of some shards and write `out`/best.safetensors with its card; continues what lies there.

    `device` is the one GPU to train on; None: all there are.
    Raises: DataError if a clip has another rate than the frames, if there is less than LEAST_S of audio and no force,
    or a shard cannot be read; ConfigError if `out` holds another training; FloatingPointError if the loss is not
    finite.
    """
    seed_everything(config.seed, workers=True, verbose=False)
    mel = config.features.log_mel()
    held = partial(is_held_out, share=config.validation_share, disjoint=config.validation_disjoint, seed=config.seed)
    found = survey(shards, mel, held)
    if found.training_s < LEAST_S and not force:
        raise DataError(
            f"{shards[0]} and {len(shards) - 1} more hold {found.training_s / 60:.1f} minutes to train on, fewer than "
            f"{LEAST_S / 60:g}; give more, or --force to go on"
        )
    speakers = found.speakers if config.speaker_conditioning else ()
    network = build(config.sizes, speakers)
    _check_hop(network, mel)
    network.mel_mean.copy_(torch.tensor(found.mean))
    network.mel_std.copy_(torch.tensor(found.std))
    claim(out, {"shards": [str(s) for s in shards], **config.model_dump(mode="json", exclude=FREE)})
    if say:
        say(
            f"{found.training_s / 3600:.2f} h to train on, {found.validation_s / 60:.1f} min held out, "
            f"{len(found.speakers)} speakers, {sum(p.numel() for p in network.parameters()):,} parameters"
        )
    clips = validation_clips(shards, held, config.validation_clips)
    module = Training(network, config, *_heard(clips[0], mel, config, speakers))
    chosen, facts = _fit(module, _loaders(shards, mel, held, clips, found, config), out, config, device, say)
    network.load_state_dict(chosen)
    card = {
        "sizes": config.sizes,
        "speaker_conditioning": config.speaker_conditioning,
        "parameters": sum(p.numel() for p in network.parameters()),
        **facts,
        "training_h": round(found.training_s / 3600, 3),
        "config": config.model_dump(mode="json"),
        "versions": {"torch": torch.__version__},
    }
    save_vocoder(out / "best.safetensors", Vocoder(network, mel, found.speakers, card))
    return out / "best.safetensors"


def _check_hop(network: WaveNet, mel: LogMel) -> None:
    if network.hop_length != mel.hop_length or network.n_mels != mel.n_mels:
        raise DataError(
            f"the network stretches frames of {network.n_mels} bands to {network.hop_length} samples, the features "
            f"have {mel.n_mels} bands every {mel.hop_length}; set sizes.upsampling to factors of {mel.hop_length}"
        )


def _heard(clip: Encoded, mel: LogMel, config: VocoderConfig, speakers: Sequence[str]) -> tuple[Tensor, int | None]:
    """Frames of the start of a held-out clip, and its speaker's number."""
    x = clip.decode(mel.sample_rate)[: int(config.heard_s * mel.sample_rate)]
    frames = mel(torch.as_tensor(x)[None])[0] if len(x) else torch.zeros(mel.n_mels, 0)
    return frames, speakers.index(speaker_of(clip)) if speakers else None


def _loaders(
    shards: Sequence[Shard],
    mel: LogMel,
    held: Callable[[Encoded], bool],
    clips: Sequence[Encoded],
    found: Survey,
    config: VocoderConfig,
) -> tuple[DataLoader, DataLoader]:
    training = Segments(
        shards, mel, partial(_kept, held), found.speakers, frames=config.frames, seed=config.seed,
        length=min(config.steps_per_epoch, config.steps) * config.batch_size, shuffle_clips=config.shuffle_clips,
    )  # fmt: skip
    numbers = training.numbers(clips)
    middles = []
    for clip in clips:
        x = clip.decode(mel.sample_rate)
        middles.append(stretch(x, mel, max(0, len(x) // mel.hop_length - config.frames) // 2, config.frames))
    validation = TensorDataset(*map(torch.stack, zip(*middles, strict=True)), numbers)
    return (
        loader(training, config.batch_size, workers=config.workers, sampler=EpochSampler(len(training))),
        DataLoader(validation, config.batch_size),
    )


def _kept(held: Callable[[Encoded], bool], clip: Encoded) -> bool:
    return not held(clip)


def _fit(
    module: Training,
    loaders: tuple[DataLoader, DataLoader],
    out: Path,
    config: VocoderConfig,
    device: int | None,
    say: Callable[[str], None] | None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Train, or go on; returns the weights of the best validation, and what the card says of them."""
    folder, watched = out / "checkpoints", "val/loss"
    after_validation = {"save_on_train_epoch_end": False, "enable_version_counter": False}
    best = ModelCheckpoint(folder, "best", watched, mode="min", **after_validation)
    callbacks: list[Callback] = [
        RunningMean(config.ema_decay),
        HalveOnRise(config.halve_after),
        best,
        ModelCheckpoint(folder, "last", **after_validation),
        LearningRateMonitor(),
        EarlyStopping(watched, mode="min", patience=config.patience, check_on_train_epoch_end=False),
        *([Lines(say, "", watched, config.steps)] if say else []),
    ]
    trainer = Trainer(
        max_steps=config.steps,
        max_epochs=-1,
        devices="auto" if device is None else [device],
        max_time=timedelta(minutes=config.budget_min) if config.budget_min else None,
        precision=config.precision or ("bf16-mixed" if torch.cuda.is_available() else "32-true"),
        gradient_clip_val=config.clip_norm,
        default_root_dir=out,
        logger=TensorBoardLogger(out, name="", version="tensorboard"),
        callbacks=callbacks,
        use_distributed_sampler=False,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        log_every_n_steps=min(50, config.steps_per_epoch, config.steps),
    )
    last = folder / "last.ckpt"
    trainer.fit(module, *loaders, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    chosen = checkpoint(folder / f"{config.keep}.ckpt", config.steps_per_epoch)
    state = {k.removeprefix("network."): v for k, v in chosen["state_dict"].items()}
    facts = {"steps": int(chosen["global_step"]), "best_validation_nll_nats": round(float(best.best_model_score), 4)}
    return state, facts
