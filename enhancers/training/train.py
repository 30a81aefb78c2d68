"""Training of a row of the table with Lightning, stage by stage, checkpointed and resumable."""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import lightning as lightning_pkg
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.utils.data import DataLoader

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.domains.high_band import HighBand
from clean_corpus.enhancers.method import Stage
from clean_corpus.enhancers.serving.enhancer import fill, load_enhancer
from clean_corpus.enhancers.table import method
from clean_corpus.enhancers.training import alignment
from clean_corpus.enhancers.training.adversarial_steps import ADVERSARIAL, Adversarial
from clean_corpus.enhancers.training.checks import check, is_adversarial
from clean_corpus.enhancers.training.config import TrainConfig
from clean_corpus.enhancers.training.held_out import hold_out
from clean_corpus.enhancers.training.mixing import Mixtures
from clean_corpus.enhancers.training.recordings import audio_files, load_recordings, load_rirs, noise_tracks
from clean_corpus.enhancers.training.shard_speech import ShardMixtures
from clean_corpus.enhancers.training.split_pairs import SplitPairs
from clean_corpus.enhancers.training.steps import Supervised
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.files import write_json, write_whole
from clean_corpus.pipeline.core.locations import SCHEME
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.claims import claim
from clean_corpus.pipeline.training.loop import (
    ComputingTimer,
    EpochSampler,
    HalveOnRise,
    LastValidation,
    Lines,
    RunningMean,
    StopOnRise,
    checkpoint,
    loader,
)
from clean_corpus.pipeline.training.recording_list import RecordingList
from clean_corpus.pipeline.training.shard_stream import find_shards, hold_out_shards

PREPARE_BATCHES = 32  # training batches that a stage's preparation sees

Pairs = Mixtures | ShardMixtures
Place = str | Path  # a folder of recordings, or of shards, or a shard, or a glob; s3:// places must be str


def _folders(places: Sequence[Place]) -> list[Path]:
    return [Path(p) for p in places]


def _absolute(place: Place) -> str:
    """Return a path or location that means the same from every working directory."""
    return str(place) if str(place).startswith(SCHEME) else str(Path(place).absolute())


def divided_pairs(
    speech: Sequence[Place], noise: Sequence[Place], config: TrainConfig, sample_rate: int
) -> tuple[Pairs, Pairs]:
    """Return pairs to train with and pairs to validate with, which have no session, shard or room in common."""
    share, seed, by = config.validation_share, config.seed, config.validation_by
    speech_shards, noise_shards = find_shards(speech, "--speech"), find_shards(noise, "--noise")
    rooms, pair = _recorded_rooms(config, sample_rate), round(config.mix.seconds * sample_rate)
    if noise_shards:
        noises: Any = hold_out_shards(noise_shards, share, seed, by)
    else:
        recorded = load_recordings(_folders(noise), sample_rate)
        noises = [noise_tracks(part) for part in hold_out(recorded, share, seed, by, pair=pair)]
    references = config.mix.references
    if references and (speech_shards or not Path(references).is_dir()):
        what = "go with folders of speech, not with shards" if speech_shards else "are in no such folder"
        raise ConfigError(f"mix.references {references}: references {what}; give a folder for each, or set it to null")
    if speech_shards:
        voices: Any = hold_out_shards(speech_shards, share, seed, by)
    else:
        recordings = load_recordings(_folders(speech), sample_rate, Path(references) if references else None)
        voices = hold_out(recordings, share, seed, by, pair=pair)
    kind = ShardMixtures if speech_shards or noise_shards else Mixtures
    epoch = min(config.steps_per_epoch, config.steps_per_stage)  # an epoch that is not finished is not validated
    lengths = (epoch * config.batch_size, config.validation_pairs)
    # the SI-SDR of clean speech passed through is so high that a mean over it would be its share alone
    mixes = config.mix, config.mix.model_copy(update={"clean_share": 0.0})
    options = _longer_pairs(config, kind), {}
    training, validation = (
        kind(voices[i], noises[i], mixes[i], seed=seed + i, length=lengths[i], rooms=rooms[i], **options[i])
        for i in (0, 1)
    )
    return training, validation


def _longer_pairs(config: TrainConfig, kind: type[Pairs]) -> dict[str, Any]:
    """Return the option of `Mixtures` that names the first of the longer pairs, if there are any."""
    if not config.mix.long_seconds:
        return {}
    if kind is ShardMixtures:
        raise ConfigError("mix.long_seconds: pairs become longer with folders of recordings, not with shards; set null")
    return {"long_from": round(config.mix.long_from * config.steps_per_stage) * config.batch_size * config.devices}


def _recorded_rooms(config: TrainConfig, sample_rate: int) -> tuple[list[Audio] | None, list[Audio] | None]:
    """Return recorded responses to train and to validate with, the same if there is only one; None if simulated."""
    mix = config.mix
    if mix.rirs == "simulated":
        return None, None
    if not Path(mix.rirs).is_dir():
        raise ConfigError(f"mix.rirs {mix.rirs}: no such folder; give one, or 'simulated'")
    if not mix.room_share:
        raise ConfigError(f"mix.rirs is {mix.rirs}, but mix.room_share is 0; set mix.room_share=0.3, for example")
    by = config.validation_by
    parts = hold_out(load_rirs(Path(mix.rirs), sample_rate), config.validation_share, config.seed, by)
    kept, held = ([r.samples for group in part.values() for r in group] for part in parts)
    return kept, held or kept


FREE = {"workers", "budget_min", "budget_counts"}  # may change from one run in the same folder to the next


def train(
    name: str,
    speech: Sequence[Place],
    noise: Sequence[Place],
    out: Path,
    config: TrainConfig,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Train row `name` and write `out`/best.safetensors with its card; resumes from `out` where a checkpoint lies.

    Speech and noise are folders of recordings, which are held in memory, or .tar shards, local or s3://, which are
    streamed. Each stage starts from the best weights of the one before; a finished stage is not trained again. `say`
    is called with a line after each validation. The result is the path of the weights, beside which lies the list of
    all recordings, those that validate included.

    Raises: DataError if a folder holds no recordings or a shard cannot be read; ConfigError if a path does not exist,
    the settings do not fit the row, `start_from` does not, or `out` holds a training with other settings;
    FloatingPointError if the loss is not finite.
    """
    seed_everything(config.seed, workers=True, verbose=False)
    row = method(name)
    stages = [stage for stage in row.schedule if stage.name in config.stages or not config.stages]
    check(name, row, stages, config)
    network = row.build(**config.sizes)
    if config.start_from:
        fill(network, config.start_from, f"{name} with sizes {config.sizes}, which is to start from it")
    training, validation = divided_pairs(speech, noise, config, row.sample_rate)
    if isinstance(row.domain, HighBand):
        enhancers = [load_enhancer(name) for name in config.below]
        training, validation = SplitPairs(training, enhancers), SplitPairs(validation, enhancers)
    places = {"speech": [_absolute(p) for p in speech], "noise": [_absolute(p) for p in noise]}
    claim(out, {"name": name, **places}, config, FREE)
    length = len(training)
    loaders = (
        loader(training, config.batch_size, workers=config.workers, sampler=EpochSampler(length)),
        loader(validation, config.batch_size, workers=config.workers),
    )
    path = out / "best.safetensors"
    recording_list.write(path, heard := _heard(speech, noise, config))
    facts: dict[str, Any] = {}
    for number, stage in enumerate(stages):
        folder = out / "checkpoints" / f"{number}-{stage.name}"
        facts = _train_stage(name, stage, network, loaders, folder, config, say)
        network.load_state_dict(load_file(folder / "best.safetensors"))
    pairs = (training[i] for i in range(alignment.PAIRS))
    facts |= alignment.card_entries(network, row.domain, stages[-1], config.loss_weights, pairs)
    facts["recordings"] = heard.counts
    write_whole(path, save({k: v.contiguous() for k, v in network.state_dict().items()}))
    write_json(path.with_suffix(".json"), _card(name, network, facts, config, speech, noise))
    return path


def _heard(speech: Sequence[Place], noise: Sequence[Place], config: TrainConfig) -> RecordingList:
    """Return the list of what a training hears, and of what the weights heard that it starts from."""
    found = {}
    for option, places in (("speech", speech), ("noise", noise)):
        if shards := find_shards(places, f"--{option}"):
            found[option] = set(recording_list.of_shards(shards))
        else:
            paths = (path for folder in _folders(places) for path in audio_files(folder, f"--{option}"))
            found[option] = set(recording_list.of_files(paths))
    heard = RecordingList(found)
    if config.start_from:
        return heard.after(config.start_from, checkpoints.recordings(config.start_from))
    return heard


def _card(
    name: str,
    network: nn.Module,
    facts: dict[str, Any],
    config: TrainConfig,
    speech: Sequence[Place],
    noise: Sequence[Place],
) -> dict[str, Any]:
    """Return the card that lies beside the weights."""
    return {
        "name": name,
        "method": name,
        "sizes": config.sizes,
        "sample_rate": method(name).sample_rate,
        "parameters": sum(p.numel() for p in network.parameters()),
        **facts,
        "config": _without_folders(config.model_dump(mode="json")),
        "speech": [Path(p).name for p in speech],
        "noise": [Path(p).name for p in noise],
        "versions": {"torch": torch.__version__, "lightning": lightning_pkg.__version__},
    }


def _without_folders(value: Any) -> Any:
    """Return settings with the last name of each absolute path: a card travels, and tells of no machine.

    >>> _without_folders({"mix": {"references": "/data/clean"}, "below": ["default", "/runs/a.safetensors"]})
    {'mix': {'references': 'clean'}, 'below': ['default', 'a.safetensors']}
    """
    if isinstance(value, dict):
        return {key: _without_folders(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


Batch = tuple[Tensor, Tensor]


def _train_stage(
    name: str,
    stage: Stage,
    network: nn.Module,
    loaders: tuple[DataLoader[Batch], DataLoader[Batch]],
    folder: Path,
    config: TrainConfig,
    say: Callable[[str], None] | None,
) -> dict[str, Any]:
    """Train one stage and write best.safetensors and facts.json, unless `folder` already holds them."""
    finished = folder / "facts.json"
    if finished.exists():
        return json.loads(finished.read_text())
    row = method(name)
    by = config.validate_by or ("si_sdr" if stage.name == row.schedule[-1].name else "loss")
    watched, mode = f"val/{by}", "max" if by == "si_sdr" else "min"
    adversarial = is_adversarial(row, stage) and config.loss_weights.get(ADVERSARIAL, 1.0)
    module = (Adversarial if adversarial else Supervised)(row, stage, network, config)
    after_validation = {"save_on_train_epoch_end": False, "enable_version_counter": False}
    best = ModelCheckpoint(folder, "best", watched, mode=mode, **after_validation)
    latest = ModelCheckpoint(folder, "last", **after_validation)  # every epoch, better or not: for a resume
    validated = LastValidation(watched)
    extras: list[Callback] = [validated, *([RunningMean(config.ema_decay)] if config.ema_decay else [])]
    if config.lr_schedule == "halve_on_plateau" and module.automatic_optimization:
        extras.append(HalveOnRise(config.halve_after))
    if config.stop_after_rises:
        extras.append(StopOnRise(config.stop_after_rises))
    budget = timedelta(minutes=config.budget_min / len(config.stages or row.schedule)) if config.budget_min else None
    if budget:
        extras.append({"time": Timer, "computing": ComputingTimer}[config.budget_counts](budget))
    if say:
        extras.append(Lines(say, f"{stage.name}: ", watched, config.steps_per_stage))
    stops = EarlyStopping(watched, mode=mode, patience=config.patience, check_on_train_epoch_end=False)
    callbacks = [*extras, best, latest, LearningRateMonitor(), stops]
    trainer = _trainer(folder, config, callbacks, module)
    resume = folder / "last.ckpt"
    if stage.prepare and not resume.exists():
        batches = islice(loaders[0], PREPARE_BATCHES)
        stage.prepare(network, (row.domain.forward(network, *batch) for batch in batches))
    trainer.fit(module, *loaders, ckpt_path=str(resume) if resume.exists() else None, weights_only=True)
    chosen = checkpoint(folder / f"{config.keep}.ckpt", config.steps_per_epoch)
    state = {
        k.removeprefix("network."): v.contiguous() for k, v in chosen["state_dict"].items() if k.startswith("network.")
    }
    write_whole(folder / "best.safetensors", save(state))
    key = {"val/si_sdr": "validation_si_sdr_db", "val/loss": "validation_loss"}[watched]
    facts = {"steps": int(chosen["global_step"]), key: round(chosen["callbacks"][validated.state_key]["score"], 3)}
    write_json(finished, facts)
    return facts


def strategy(module: Supervised, devices: int) -> str:
    """Return Lightning's name of the way in which so many devices share a training.

    Of two players one is left out by each backward pass, which DDP takes for a mistake unless it is told to look.
    """
    return "ddp_find_unused_parameters_true" if devices > 1 and not module.automatic_optimization else "auto"


def _trainer(folder: Path, config: TrainConfig, callbacks: list[Callback], module: Supervised) -> Trainer:
    """Return Lightning's trainer of one stage."""
    return Trainer(
        max_epochs=config.epochs,
        max_steps=-1 if config.epochs else config.steps,
        precision=config.precision or ("bf16-mixed" if torch.cuda.is_available() else "32-true"),
        accelerator="cpu" if config.processes > 1 and not torch.cuda.is_available() else "auto",  # as MPS has but one
        devices=config.devices,
        plugins=[LightningEnvironment()],  # in a job of Slurm too, which has started one process and not several
        strategy=strategy(module, config.devices),
        gradient_clip_val=config.clip_norm if module.automatic_optimization else None,
        default_root_dir=folder,
        logger=TensorBoardLogger(folder.parents[1], name="", version=f"tensorboard/{folder.name}"),
        callbacks=callbacks,
        use_distributed_sampler=False,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        log_every_n_steps=min(50, config.steps_per_epoch, config.steps_per_stage),
    )
