"""Training of a vocoder with Lightning: streamed shards, a running mean of the weights, exact resume."""

import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.claims import claim
from clean_corpus.pipeline.training.loop import EpochSampler, HalveOnRise, Lines, RunningMean, checkpoint, loader
from clean_corpus.pipeline.training.recording_list import RecordingList
from clean_corpus.pipeline.training.shard_stream import Encoded, Shard
from clean_corpus.vocoder import pitch
from clean_corpus.vocoder.checkpoint import Vocoder, build, save_vocoder
from clean_corpus.vocoder.distributions import MuLaw, distribution, mu_law_encode
from clean_corpus.vocoder.emphasis import emphasised
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.training import base
from clean_corpus.vocoder.training.config import FREE, VocoderConfig
from clean_corpus.vocoder.training.module import VocoderModule
from clean_corpus.vocoder.training.segments import Segments, middle_segments
from clean_corpus.vocoder.training.split import first_held_out, is_held_out
from clean_corpus.vocoder.training.stopwatch import Stopwatch
from clean_corpus.vocoder.training.survey import Survey, survey
from clean_corpus.vocoder.wavenet import WaveNet

LEAST_S = 600.0  # of training audio; less does not make a voice worth the wait
WATCHED = "val/loss"


class _Prepared(NamedTuple):
    """What a training starts from: its settings, shards, network and loaders."""

    config: VocoderConfig
    shards: list[Shard]
    mel: LogMel
    content: Survey
    start_from: base.Base | None
    module: VocoderModule
    loaders: tuple[DataLoader, DataLoader]


def train(
    shards: Sequence[Shard],
    out: Path,
    config: VocoderConfig,
    say: Callable[[str], None] | None = None,
    *,
    validation: Sequence[Shard] = (),
    force: bool = False,
    device: int | None = None,
) -> Path:
    """Train on the clips of some shards, and write OUT/best.safetensors with its card; continue a training in `out`.

    Beside the weights lies the list of all recordings, those that validate included.

    The clips of the shards `validation` are held out; without any, those of `shards` that the configuration says.
    `device` is the one GPU to train on, None all of them; `say` gets lines of progress.
    Raises: DataError if a clip has another rate than the frames, if there is less than LEAST_S of audio and no `force`,
    or if a shard cannot be read; ConfigError if `out` holds another training, or as base.resolve; FloatingPointError if
    the loss is not finite.
    """
    config, shards, mel, content, start_from, module, loaders = _prepare(shards, config, validation, force)
    network = module.network
    about = {"start_from_sha256": start_from.sha256} if start_from else {}
    claim(out, {"shards": [str(s) for s in shards], **about}, config, FREE)
    if say:
        say(
            f"{content.training_s / 3600:.2f} h to train on, {content.validation_s / 60:.1f} min held out, "
            f"{len(content.speakers)} speakers, {_size(network):,} parameters"
        )
    state, facts = _fit(module, loaders, out, config, device, say)
    network.load_state_dict(state)
    heard = RecordingList({"speech": content.recordings})
    if start_from:
        heard = heard.after(start_from.name, start_from.recordings())
    if network.source is not None:
        heard = heard.after(pitch.WEIGHTS.stem, recording_list.read(pitch.WEIGHTS))
    recording_list.write(out / "best.safetensors", heard)
    facts["recordings"] = heard.counts
    card = _card(network, content, config, facts | ({"started_from": start_from.about()} if start_from else {}))
    save_vocoder(out / "best.safetensors", Vocoder(network, mel, content.speakers, card))
    return out / "best.safetensors"


def seconds_per_update(
    shards: Sequence[Shard],
    config: VocoderConfig,
    *,
    validation: Sequence[Shard],
    measured_s: float,
    device: int | None = None,
) -> float:
    """Return how long one update of a training takes here: some are made for a while, and thrown away.

    Validations, which come on top, are not counted.
    Raises: as `train`.
    """
    config, _, _, _, _, module, (training, _) = _prepare(shards, config, validation, force=True)
    watch = Stopwatch(measured_s)
    trainer = Trainer(
        max_steps=-1,
        logger=False,
        enable_checkpointing=False,
        limit_val_batches=0,
        callbacks=[RunningMean(config.ema_decay), watch],
        **_of_every_trainer(config, device),
    )
    trainer.fit(module, training)
    return watch.seconds_per_update()


def _prepare(shards: Sequence[Shard], config: VocoderConfig, validation: Sequence[Shard], force: bool) -> _Prepared:
    """Read what the shards hold, and build the network that is trained on them and the loaders of its batches."""
    config, start_from = base.resolve(config)
    seed_everything(config.seed, workers=True, verbose=False)
    mel = config.features.log_mel()
    held_out = _held_out(config, validation)
    shards = [*shards, *validation]
    classes = distribution(config.sizes.get("output", MuLaw().name))
    counted = partial(_class_counts, classes, config.emphasis) if isinstance(classes, MuLaw) else None
    content = survey(shards, mel, held_out, counted)
    if content.training_s < LEAST_S and not force:
        raise DataError(
            f"{shards[0]} and {len(shards) - 1} more hold {content.training_s / 60:.1f} minutes to train on, "
            f"fewer than {LEAST_S / 60:g}; give more, or --force to go on"
        )
    network = _network(config, mel, content, start_from)
    clips = first_held_out(shards, held_out, config.validation_clips)
    module = VocoderModule(network, config, *_example(clips[0], mel, config, content.speakers))
    loaders = (
        _training_loader(shards, mel, held_out, content, config, network),
        _validation_loader(clips, mel, content, config, network),
    )
    return _Prepared(config, shards, mel, content, start_from, module, loaders)


def _held_out(config: VocoderConfig, validation: Sequence[Shard]) -> Callable[[Encoded], bool]:
    """Return whether a clip is held out: by its shard where shards are given for that, else by its key or speaker."""
    if validation:
        return partial(_lies_in, frozenset(validation))
    return partial(is_held_out, share=config.validation_share, disjoint=config.validation_disjoint, seed=config.seed)


def _lies_in(shards: frozenset[Shard], clip: Encoded) -> bool:
    return clip.shard in shards


def _network(config: VocoderConfig, mel: LogMel, content: Survey, start_from: base.Base | None) -> WaveNet:
    """Build a network with the weights of its base, else one that normalises frames as the corpus has them.

    Raises: DataError if it takes other frames than the features are.
    """
    network = build(_sizes(config), content.speakers if config.speaker_conditioning else ())
    if network.n_mels != mel.n_mels:
        raise DataError(
            f"the network takes frames of {network.n_mels} bands, the features have {mel.n_mels}; set sizes.n_mels and "
            "features.n_mels to one number"
        )
    if network.hop_length != mel.hop_length:
        raise DataError(
            f"the network stretches frames to {network.hop_length} samples, the features have {mel.n_mels} bands every "
            f"{mel.hop_length}; set sizes.upsampling to factors of {mel.hop_length / network.conditioning_hop:g}, "
            f"which is {mel.hop_length} by sizes.conditioning_hop {network.conditioning_hop}"
        )
    if network.source is not None:
        network.source.pitch.load_state_dict(pitch.shipped(mel))
    if start_from:
        base.start(network, start_from.vocoder, content.speakers)
        return network
    network.mel_mean.copy_(torch.tensor(content.mean))
    network.mel_std.copy_(torch.tensor(content.std))
    if content.classes is not None:
        network.start_from_shares(content.classes / content.classes.sum())
    return network


def _sizes(config: VocoderConfig) -> dict[str, Any]:
    """Return the keywords of the network, as its card holds them."""
    return config.sizes | {"emphasis": config.emphasis}


def _class_counts(classes: MuLaw, emphasis: float, x: Tensor) -> Tensor:
    """Return how often each class comes in samples (B, N), (levels,)."""
    return mu_law_encode(emphasised(x, emphasis), levels=classes.levels).flatten().bincount(minlength=classes.levels)


def _size(network: WaveNet) -> int:
    return sum(p.numel() for p in network.parameters())


def _card(network: WaveNet, content: Survey, config: VocoderConfig, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "sizes": _sizes(config),
        "speaker_conditioning": config.speaker_conditioning,
        "voiced_temperature": config.voiced_temperature,
        "equaliser_ms": config.equaliser_ms,
        "parameters": _size(network),
        **facts,
        "training_h": round(content.training_s / 3600, 3),
        "config": config.model_dump(mode="json"),
        "versions": {"torch": torch.__version__},
    }


def _example(clip: Encoded, mel: LogMel, config: VocoderConfig, speakers: Sequence[str]) -> tuple[Tensor, int | None]:
    """Return the frames of the start of a held-out clip, and its speaker's number if speakers are conditioned on."""
    x = clip.decode(mel.sample_rate)[: int(config.heard_s * mel.sample_rate)]
    frames = mel(torch.as_tensor(x)[None])[0] if len(x) else torch.zeros(mel.n_mels, 0)
    return frames, speakers.index(clip.speaker) if config.speaker_conditioning else None


def _training_loader(
    shards: Sequence[Shard],
    mel: LogMel,
    held_out: Callable[[Encoded], bool],
    content: Survey,
    config: VocoderConfig,
    network: WaveNet,
) -> DataLoader:
    segments = Segments(
        shards, mel, partial(_is_kept, held_out), content.speakers, frames=config.frames,
        history=network.history, ahead=network.ahead, seed=config.seed,
        length=min(config.steps_per_epoch, config.steps) * config.batch_size, shuffle_clips=config.shuffle_clips,
    )  # fmt: skip
    return loader(segments, config.batch_size, workers=config.workers, sampler=EpochSampler(len(segments)))


def _is_kept(held_out: Callable[[Encoded], bool], clip: Encoded) -> bool:
    return not held_out(clip)


def _validation_loader(
    clips: Sequence[Encoded], mel: LogMel, content: Survey, config: VocoderConfig, network: WaveNet
) -> DataLoader:
    numbers = torch.tensor([content.speakers.index(clip.speaker) for clip in clips])
    segments = middle_segments(clips, mel, config.frames, network.history, network.ahead)
    return DataLoader(TensorDataset(*segments, numbers), config.batch_size)


def _fit(
    module: VocoderModule,
    loaders: tuple[DataLoader, DataLoader],
    out: Path,
    config: VocoderConfig,
    device: int | None,
    say: Callable[[str], None] | None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Train or continue; return the weights to keep, and what the card records of the training."""
    folder = out / "checkpoints"
    after_validation = {"save_on_train_epoch_end": False, "enable_version_counter": False}
    best = ModelCheckpoint(folder, "best", WATCHED, mode="min", **after_validation)
    callbacks: list[Callback] = [
        RunningMean(config.ema_decay),
        *([HalveOnRise(config.halve_after)] if config.lr_schedule == "halve_on_plateau" else []),
        best,
        ModelCheckpoint(folder, "last", **after_validation),
        LearningRateMonitor(),
        EarlyStopping(WATCHED, mode="min", patience=config.patience, check_on_train_epoch_end=False),
        *([Lines(say, "", WATCHED, config.steps)] if say else []),
    ]
    last = folder / "last.ckpt"
    trainer = _trainer(out, config, device, callbacks)
    trainer.fit(module, *loaders, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    kept = checkpoint(folder / f"{config.keep}.ckpt", config.steps_per_epoch)
    state = {k.removeprefix("network."): v for k, v in kept["state_dict"].items()}
    facts = {"steps": int(kept["global_step"]), "best_validation_nll_nats": round(float(best.best_model_score), 4)}
    return state, facts


def _trainer(out: Path, config: VocoderConfig, device: int | None, callbacks: list[Callback]) -> Trainer:
    return Trainer(
        max_steps=config.steps,
        max_time=timedelta(minutes=config.budget_min) if config.budget_min else None,
        default_root_dir=out,
        logger=TensorBoardLogger(out, name="", version="tensorboard"),
        callbacks=callbacks,
        log_every_n_steps=min(50, config.steps_per_epoch, config.steps),
        **_of_every_trainer(config, device),
    )


def _of_every_trainer(config: VocoderConfig, device: int | None) -> dict[str, Any]:
    return {
        "max_epochs": -1,
        "devices": "auto" if device is None else [device],
        "plugins": [LightningEnvironment()],  # in a job of Slurm too, which has started one process and not several
        "precision": config.precision or ("bf16-mixed" if torch.cuda.is_available() else "32-true"),
        "gradient_clip_val": config.clip_norm,
        "use_distributed_sampler": False,
        "enable_progress_bar": sys.stderr.isatty(),
        "enable_model_summary": False,
    }
