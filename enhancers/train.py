"""Supervised training of a row of ENHANCERS with Lightning, checkpointed and resumable."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as lightning_pkg
import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from pydantic import Field
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from enhancers import losses
from enhancers.mixing import MixConfig, Mixtures, Recording, load_recordings, noise_tracks
from enhancers.table import load_enhancer, method
from pipeline.config import Section


class TrainConfig(Section):
    """Everything one training run depends on beside its recordings."""

    steps: int = 20000
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup_steps: int = 500
    steps_per_epoch: int = 500  # a checkpoint and a validation after each
    validation_pairs: int = 96
    validation_share: float = 0.08  # of the speech and noise files, held out
    patience: int = 20  # epochs without a better validation SI-SDR
    ema_decay: float = 0.998
    clip_norm: float = 5.0
    workers: int = 1
    seed: int = 0
    precision: str = "32-true"
    start_from: str | None = None  # shipped name or path of weights of the same row and sizes
    sizes: dict[str, Any] = Field(default_factory=dict)
    mix: MixConfig = MixConfig()


class EpochSampler(Sampler[int]):
    """Indices epoch * length .. : fresh pairs every epoch, the same ones after a resume."""

    def __init__(self, length: int) -> None:
        self.length, self.epoch = length, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.epoch * self.length, (self.epoch + 1) * self.length))


class Supervised(LightningModule):
    """One optimiser, one network, the losses of its row."""

    def __init__(self, name: str, config: TrainConfig) -> None:
        super().__init__()
        self.row, self.config = method(name), config
        self.network = self.row.build(**config.sizes)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        run = self.row.domain.forward(self.network, *batch)
        estimate, reference = self.row.target(run)
        terms = {name: weight * loss(estimate, reference) for name, (loss, weight) in self.row.losses.items()}
        total = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(total):
            first = self.current_epoch * self.config.steps_per_epoch * self.config.batch_size
            first += index * self.config.batch_size
            raise FloatingPointError(
                f"loss {total.item()} at step {self.global_step}, pairs {first}..{first + len(batch[0]) - 1} of seed "
                f"{self.config.seed}, terms { {k: v.item() for k, v in terms.items()} }; weights were not updated"
            )
        self.log_dict({f"train/{k}": v for k, v in terms.items()})
        self.log("train/loss", total, prog_bar=True)
        return total

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        run = self.row.domain.forward(self.network, *batch)
        self.log("val/si_sdr", -losses.neg_si_snr(run.estimate, run.clean), prog_bar=True)

    def configure_optimizers(self) -> dict[str, object]:
        cfg = self.config
        optimizer = torch.optim.AdamW(self.parameters(), lr=cfg.learning_rate, weight_decay=1e-4)

        def shape(step: int) -> float:
            if step < cfg.warmup_steps:
                return (step + 1) / cfg.warmup_steps
            done = (step - cfg.warmup_steps) / max(1, cfg.steps - cfg.warmup_steps)
            return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


Recordings = dict[str, list[Recording]]


def _hold_out(groups: Recordings, share: float, seed: int) -> tuple[Recordings, Recordings]:
    """A share of each folder's sessions, at least one where it has two, drawn with the seed.

    Sessions stay whole: two takes of one sound on both sides would make validation flatter.
    """
    rng = np.random.default_rng((seed, 7))
    kept, held = {}, {}
    for folder, files in groups.items():
        sessions = sorted({r.session for r in files})
        if len(sessions) == 1:  # a folder of one voice: its files are all there is to divide
            sessions = sorted(r.name for r in files)
        order = rng.permutation(len(sessions))
        chosen = {sessions[i] for i in order[: min(len(sessions) - 1, max(1, round(share * len(sessions))))]}
        held[folder] = [r for r in files if {r.session, r.name} & chosen]
        kept[folder] = [r for r in files if not {r.session, r.name} & chosen]
    return kept, held


def train(name: str, speech: Sequence[Path], noise: Sequence[Path], out: Path, config: TrainConfig) -> Path:
    """Train row `name` and write `out`/best.safetensors with its card; resumes from `out` where a checkpoint lies.

    Returns the path of the weights.
    Raises: DataError if a folder holds no recordings, FloatingPointError if the loss is not finite.
    """
    seed_everything(config.seed, workers=True)
    rate = method(name).sample_rate
    speech_train, speech_val = _hold_out(load_recordings(speech, rate), config.validation_share, config.seed)
    noise_train, noise_val = _hold_out(load_recordings(noise, rate), config.validation_share, config.seed)

    length = config.steps_per_epoch * config.batch_size
    training = Mixtures(speech_train, noise_tracks(noise_train), config.mix, seed=config.seed, length=length)
    validation = Mixtures(
        speech_val, noise_tracks(noise_val), config.mix, seed=config.seed + 1, length=config.validation_pairs
    )
    loaders = [
        DataLoader(training, config.batch_size, sampler=EpochSampler(length), num_workers=config.workers),
        DataLoader(validation, config.batch_size, num_workers=config.workers),
    ]
    module = Supervised(name, config)
    if config.start_from:
        module.network.load_state_dict(load_enhancer(config.start_from, device="cpu").network.state_dict())
    folder = out / "checkpoints"
    after_validation = {"save_on_train_epoch_end": False, "enable_version_counter": False}
    best = ModelCheckpoint(folder, "best", "val/si_sdr", mode="max", **after_validation)
    last = ModelCheckpoint(folder, "last", **after_validation)  # every epoch, better or not: what a resume starts from
    trainer = Trainer(
        max_steps=config.steps,
        precision=config.precision,
        gradient_clip_val=config.clip_norm,
        default_root_dir=out,
        logger=TensorBoardLogger(out, name="", version="tensorboard"),
        callbacks=[
            EMAWeightAveraging(decay=config.ema_decay),
            best,
            last,
            LearningRateMonitor(),
            EarlyStopping("val/si_sdr", mode="max", patience=config.patience, check_on_train_epoch_end=False),
        ],
        use_distributed_sampler=False,
        log_every_n_steps=50,
    )
    resume = folder / "last.ckpt"
    trainer.fit(module, *loaders, ckpt_path=str(resume) if resume.exists() else None, weights_only=False)
    chosen = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=False)
    state = {
        k.removeprefix("network."): v.contiguous() for k, v in chosen["state_dict"].items() if k.startswith("network.")
    }
    path = out / "best.safetensors"
    save_file(state, path)
    card = {
        "name": name,
        "method": name,
        "sizes": config.sizes,
        "sample_rate": rate,
        "parameters": sum(p.numel() for p in module.network.parameters()),
        "steps": int(chosen["global_step"]),
        "validation_si_sdr_db": round(float(best.best_model_score), 3),
        "config": config.model_dump(mode="json"),
        "speech": [p.name for p in speech],
        "noise": [p.name for p in noise],
        "versions": {"torch": torch.__version__, "lightning": lightning_pkg.__version__},
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    return path
