"""Training of a row of ENHANCERS with Lightning, stage by stage, checkpointed and resumable."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as lightning_pkg
import numpy as np
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler

from enhancers.method import Stage
from enhancers.mixing import Mixtures, Recording, load_recordings, noise_tracks
from enhancers.steps import StepConfig, Supervised
from enhancers.table import load_enhancer, method
from enhancers.train_gan import Adversarial


class TrainConfig(StepConfig):
    """Everything one training run depends on beside its recordings."""

    validation_pairs: int = 96
    validation_share: float = 0.08  # of the speech and noise sessions, held out
    patience: int = 20  # epochs without a better validation
    ema_decay: float = 0.998
    clip_norm: float = 5.0
    workers: int = 1
    budget_min: float | None = None  # stop after so many minutes, shared equally by the stages
    start_from: str | None = None  # shipped name or path of weights of the same row and sizes


PREPARE_BATCHES = 32  # training batches that a stage's preparation sees


class EpochSampler(Sampler[int]):
    """Indices epoch * length .. : fresh pairs every epoch, the same ones after a resume; each process has its share."""

    def __init__(self, length: int) -> None:
        self.length, self.epoch = length, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, processes = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
        first = (self.epoch * processes + rank) * self.length
        return iter(range(first, first + self.length))


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

    Each stage starts from the best weights of the one before; a finished stage is not trained again.
    Returns the path of the weights.
    Raises: DataError if a folder holds no recordings, FloatingPointError if the loss is not finite.
    """
    seed_everything(config.seed, workers=True)
    row = method(name)
    speech_train, speech_val = _hold_out(load_recordings(speech, row.sample_rate), config.validation_share, config.seed)
    noise_train, noise_val = _hold_out(load_recordings(noise, row.sample_rate), config.validation_share, config.seed)
    length = config.steps_per_epoch * config.batch_size
    training = Mixtures(speech_train, noise_tracks(noise_train), config.mix, seed=config.seed, length=length)
    validation = Mixtures(
        speech_val, noise_tracks(noise_val), config.mix, seed=config.seed + 1, length=config.validation_pairs
    )
    loaders = (
        DataLoader(training, config.batch_size, sampler=EpochSampler(length), num_workers=config.workers),
        DataLoader(validation, config.batch_size, num_workers=config.workers),
    )
    network = row.build(**config.sizes)
    if config.start_from:
        network.load_state_dict(load_enhancer(config.start_from, device="cpu").network.state_dict())
    facts: dict[str, Any] = {}
    for number, stage in enumerate(row.schedule):
        folder = out / "checkpoints" / f"{number}-{stage.name}"
        facts = _train_stage(name, number, stage, network, loaders, folder, config)
        network.load_state_dict(load_file(folder / "best.safetensors"))
    path = out / "best.safetensors"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path)
    card = {
        "name": name,
        "method": name,
        "sizes": config.sizes,
        "sample_rate": row.sample_rate,
        "parameters": sum(p.numel() for p in network.parameters()),
        **facts,
        "config": config.model_dump(mode="json"),
        "speech": [p.name for p in speech],
        "noise": [p.name for p in noise],
        "versions": {"torch": torch.__version__, "lightning": lightning_pkg.__version__},
    }
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    return path


Batch = tuple[Tensor, Tensor]


def _train_stage(
    name: str,
    number: int,
    stage: Stage,
    network: nn.Module,
    loaders: tuple[DataLoader[Batch], DataLoader[Batch]],
    folder: Path,
    config: TrainConfig,
) -> dict[str, Any]:
    """Train one stage unless `folder` holds it finished; best.safetensors and facts.json are what it leaves."""
    done = folder / "facts.json"
    if done.exists():
        return json.loads(done.read_text())
    row = method(name)
    last = number == len(row.schedule) - 1
    watched, mode = ("val/si_sdr", "max") if last else ("val/loss", "min")
    module = (Adversarial if last and row.adversary else Supervised)(row, stage, network, config)
    after_validation = {"save_on_train_epoch_end": False, "enable_version_counter": False}
    best = ModelCheckpoint(folder, "best", watched, mode=mode, **after_validation)
    latest = ModelCheckpoint(folder, "last", **after_validation)  # every epoch, better or not: what a resume needs
    minutes = config.budget_min / len(row.schedule) if config.budget_min else None
    trainer = Trainer(
        max_steps=config.steps,
        max_time=timedelta(minutes=minutes) if minutes else None,
        precision=config.precision or ("bf16-mixed" if torch.cuda.is_available() else "32-true"),
        gradient_clip_val=config.clip_norm if module.automatic_optimization else None,
        default_root_dir=folder,
        logger=TensorBoardLogger(folder.parents[1], name="", version=f"tensorboard/{folder.name}"),
        callbacks=[
            EMAWeightAveraging(decay=config.ema_decay),
            best,
            latest,
            LearningRateMonitor(),
            EarlyStopping(watched, mode=mode, patience=config.patience, check_on_train_epoch_end=False),
        ],
        use_distributed_sampler=False,
        log_every_n_steps=min(50, config.steps_per_epoch),
    )
    resume = folder / "last.ckpt"
    if stage.prepare and not resume.exists():
        batches = islice(loaders[0], PREPARE_BATCHES)
        stage.prepare(network, (row.domain.forward(network, *batch) for batch in batches))
    trainer.fit(module, *loaders, ckpt_path=str(resume) if resume.exists() else None, weights_only=False)
    chosen = torch.load(folder / "best.ckpt", map_location="cpu", weights_only=False)
    state = {
        k.removeprefix("network."): v.contiguous() for k, v in chosen["state_dict"].items() if k.startswith("network.")
    }
    save_file(state, folder / "best.safetensors")
    key = {"val/si_sdr": "validation_si_sdr_db", "val/loss": "validation_loss"}[watched]
    facts = {"steps": int(chosen["global_step"]), key: round(float(best.best_model_score), 3)}
    done.write_text(json.dumps(facts))
    return facts
