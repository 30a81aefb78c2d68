"""Tasks of a comparison: one training, the speech of its vocoder, and the scores of everything."""

import queue
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from prefect import task
from prefect.cache_policies import NO_CACHE
from rich.console import Console

from clean_corpus.flows.engines.local import LocalEngine
from clean_corpus.flows.training_folder import quiet_lightning
from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.config import TextConfig
from clean_corpus.pipeline.core.cores import usable_cores
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.types import Scores
from clean_corpus.pipeline.text import transcribers
from clean_corpus.pipeline.text.languages import language_code
from clean_corpus.vocoder.checkpoint import load_vocoder
from clean_corpus.vocoder.comparison import copy_synthesis, measures, score_table
from clean_corpus.vocoder.comparison.copy_synthesis import Spoken
from clean_corpus.vocoder.comparison.splits import Said
from clean_corpus.vocoder.training import train
from clean_corpus.vocoder.training.config import VocoderConfig

if TYPE_CHECKING:
    from clean_corpus.pipeline.text.transcribers import Transcriber


class Training(NamedTuple):
    """One training of a comparison: the system it is of, its number among the seeds, and what it hears."""

    system: str
    number: int
    shards: list[Path]
    validation: list[Path]
    out: Path
    config: VocoderConfig


class Job(NamedTuple):
    """An utterance to score: whose, from which frames and training, its audio, its reference, and what is said."""

    system: str
    frames: str | None
    seed: int | None
    utterance: str
    wave: Path
    reference: Path | None
    said: Said


@task(name="train", cache_policy=NO_CACHE)
def train_one(
    training: Training, force: bool, engine: LocalEngine | None = None,
    devices: "queue.Queue[int | None] | None" = None,
) -> None:  # fmt: skip
    """Make one training, unless that was done before.

    With an engine the training has a process of its own, and a device that no other has.
    """
    if (training.out / "best.json").exists():
        return
    device = devices.get() if devices else devices_of(1)[0]
    try:
        if engine:
            engine.run(_train, training, force, device)
        else:
            _train(training, force, device)
    except FloatingPointError as error:
        raise CleanCorpusError(f"training {training.number} on set {training.system}: {error}") from None
    finally:
        if devices:
            devices.put(device)


def _train(training: Training, force: bool, device: int | None) -> None:
    name = f"{training.system} {training.number}:"
    show = partial(Console(stderr=True).print, name, markup=False, highlight=False)
    with quiet_lightning():
        train.train(
            training.shards, training.out, training.config, show,
            validation=training.validation, force=force, device=device,
        )  # fmt: skip


def devices_of(at_once: int | None) -> list[int | None]:
    """Return the device of each training that runs beside others: a GPU, or None for a share of the cores."""
    gpus = torch.cuda.device_count()
    return [i % gpus if gpus else None for i in range(at_once or max(1, gpus))]


@task(name="speak", cache_policy=NO_CACHE)
def speak_one(
    run: Path, sources: Sequence[tuple[Sequence[Path], Sequence[Path]]], utterances: Mapping[str, Said]
) -> None:
    """Let one vocoder speak utterances from the frames of shards, and write FOLDER/KEY.wav to the folders of each."""
    vocoder = load_vocoder(run)
    rate, keys = vocoder.mel.sample_rate, list(utterances)
    speakers = {key: said.speaker for key, said in utterances.items()}
    for shards, folders in sources:
        if all((folder / f"{key}.wav").exists() for key in keys for folder in folders):
            continue
        audio = copy_synthesis.audio_of(shards, keys, rate)
        seed = vocoder.card["config"]["seed"]
        waves = copy_synthesis.speak(vocoder, audio, seed=seed, threads=usable_cores(), speakers=speakers)
        for folder in folders:
            copy_synthesis.write(waves, folder, rate)


@task(name="score", cache_policy=NO_CACHE)
def score_all(jobs: Sequence[Job], table: Path, recogniser: TextConfig) -> list[Spoken]:
    """Return the scores of every job, measured in workers; those of audio that was scored before are in the table."""
    identity = transcribers.identity(recogniser) if recogniser.transcriber else None
    names = score_table.names([(job.wave, job.reference, job.said.text) for job in jobs], identity)
    scores = score_table.read(table)
    missing = {name: job for name, job in zip(names, jobs, strict=True) if name not in scores}
    if missing:
        workers = min(usable_cores(), len(missing))
        with LocalEngine(workers) as engine, ThreadPoolExecutor(workers) as threads:
            measured = threads.map(lambda job: engine.run(_score, job, recogniser), missing.values())
            scores |= zip(missing, measured, strict=True)
        score_table.write(table, {name: scores[name] for name in names})
    return [Spoken(*job[:4], scores[name]) for name, job in zip(names, jobs, strict=True)]


def _score(job: Job, recogniser: TextConfig) -> Scores:
    def read(path: Path) -> tuple[Any, int]:
        return decode.decode(path.read_bytes())

    (x, rate), reference = read(job.wave), read(job.reference)[0] if job.reference else None
    heard = None
    if recogniser.transcriber and job.said.text and len(x):
        language = language_code(job.said.language or recogniser.language)
        at_its_rate = np.ascontiguousarray(resample(x, rate, transcribers.RATE), np.float32)
        heard = _transcriber(recogniser.model_dump_json()).transcribe(at_its_rate, language=language)
    return measures.measure(x, reference, rate, text=job.said.text, heard=heard)


@cache
def _transcriber(config: str) -> "Transcriber":
    """Return this process's recogniser."""
    return transcribers.open_transcriber(TextConfig.model_validate_json(config))
