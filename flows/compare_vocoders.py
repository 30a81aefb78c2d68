"""The flow `compare-vocoders`: one WaveNet per version of a corpus, all else equal, and what each then sounds like."""

import json
import logging
import queue
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from pydantic import Field
from rich.console import Console

from clean_corpus.flows import download_cache, training_overlap
from clean_corpus.flows.engines.local import LocalEngine
from clean_corpus.flows.training_folder import exclusive_folder, final_location, quiet_lightning
from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.cores import usable_cores
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.locations import Location, LocationField
from clean_corpus.pipeline.core.types import Scores
from clean_corpus.pipeline.training.loop import claim
from clean_corpus.pipeline.training.shard_stream import find_shards
from clean_corpus.vocoder.checkpoint import load_vocoder
from clean_corpus.vocoder.comparison import copy_synthesis, measures, report, score_table, training_log
from clean_corpus.vocoder.comparison.aligned_sets import AlignedSets, Utterances, align
from clean_corpus.vocoder.comparison.copy_synthesis import CLEAN, Spoken
from clean_corpus.vocoder.training import base, train
from clean_corpus.vocoder.training.config import FREE, VocoderConfig
from clean_corpus.vocoder.training.split import is_held_out

LOG = logging.getLogger("clean_corpus")

Job = tuple[str, str | None, str, Path, Path | None, Path | None]
"""System, frames, utterance, and the paths of its audio, its source and its clean version."""


class CompareConfig(Section):
    """Settings of a comparison, beside its sets."""

    utterances: Utterances = "common"
    spoken: int = Field(20, ge=2)  # held-out utterances
    at_once: int | None = Field(None, ge=1)  # trainings side by side; one per GPU, or one, unless set
    vocoder: VocoderConfig = VocoderConfig()


@task(name="train", cache_policy=NO_CACHE)
def train_set(
    name: str, folder: Path, out: Path, config: VocoderConfig, force: bool, engine: LocalEngine | None = None,
    devices: queue.Queue[int | None] | None = None,
) -> int:  # fmt: skip
    """Train on one set, unless that was done before; return the number of updates.

    With an engine the training has a process of its own, and a device that no other has.
    """
    card = out / "best.json"
    if not card.exists():
        device = devices.get() if devices else _devices(1)[0]
        try:
            (engine.run if engine else _call)(_train, name, folder, out, config, force, device)
        except FloatingPointError as error:
            raise CleanCorpusError(f"training on set {name}: {error}") from None
        finally:
            if devices:
                devices.put(device)
    return int(json.loads(card.read_text())["steps"])


def _call(function: Callable[..., Path], *arguments: object) -> Path:
    return function(*arguments)


def _train(name: str, folder: Path, out: Path, config: VocoderConfig, force: bool, device: int | None) -> Path:
    show = partial(Console(stderr=True).print, f"{name}:", markup=False, highlight=False)
    with quiet_lightning():
        return train.train(sorted(folder.glob("*.tar")), out, config, show, force=force, device=device)


def _devices(at_once: int | None) -> list[int | None]:
    """Return the device of each training that runs beside others: a GPU, or None for a share of the cores."""
    gpus = torch.cuda.device_count()
    return [i % gpus if gpus else None for i in range(at_once or max(1, gpus))]


@task(name="speak", cache_policy=NO_CACHE)
def speak_set(name: str, run: Path, sources: Mapping[str, Path], keys: Sequence[str], out: Path) -> None:
    """Write OUT/SYSTEM/FRAMES/KEY.wav for frames of each source."""
    vocoder = load_vocoder(run)
    rate = vocoder.mel.sample_rate
    for frames, folder in sources.items():
        speech = out / name / frames
        if all((speech / f"{key}.wav").exists() for key in keys):
            continue
        speech.mkdir(parents=True, exist_ok=True)
        waves = copy_synthesis.speak(
            vocoder,
            copy_synthesis.held_out_audio(folder, keys, rate),
            seed=vocoder.card["config"]["seed"],
            threads=usable_cores(),
        )
        for key, wave in waves.items():
            encode.write_wav(speech / f"{key}.wav", wave, rate)


@task(name="score", cache_policy=NO_CACHE)
def score_all(jobs: list[Job], table: Path) -> list[Spoken]:
    """Return the scores of every job, measured in workers; those of audio that was scored before are in the table."""
    names = score_table.names([job[3:] for job in jobs])
    scores = score_table.read(table)
    missing = {name: job for name, job in zip(names, jobs, strict=True) if name not in scores}
    if missing:
        workers = min(usable_cores(), len(missing))
        with LocalEngine(workers) as engine, ThreadPoolExecutor(workers) as threads:
            measured = threads.map(lambda job: engine.run(_score, *job[3:]), missing.values())
            scores |= zip(missing, measured, strict=True)
        score_table.write(table, {name: scores[name] for name in names})
    return [Spoken(*job[:3], scores[name]) for name, job in zip(names, jobs, strict=True)]


def _score(wave: Path, source: Path | None, clean: Path | None) -> Scores:
    def read(path: Path | None) -> Any:
        return None if path is None else decode.decode(path.read_bytes())

    (x, rate), origin, reference = read(wave), read(source), read(clean)
    return measures.measure(x, origin and origin[0], reference and reference[0], rate)


def require_names(names: Iterable[str]) -> None:
    """Refuse names of sets that cannot name a folder and a line of the report: whoever starts the flow chooses them.

    Raises: ConfigError if one has other characters than letters, digits, - and _, or too many.
    """
    for name in names:
        if not re.fullmatch(r"[\w-]{1,64}", name):
            raise ConfigError(f"--set {name[:80]!r}: a set's name is 1 to 64 letters, digits, - and _")


@flow(name="compare-vocoders")
def compare_vocoders(
    sets: dict[str, list[str]], out: LocationField, config: CompareConfig, force: bool = False
) -> Location:
    """Train a vocoder on each set, let them speak the same utterances, score, report; return the report's location.

    The first set trains for the budget, the others as many updates as it made, several at once where there are several
    GPUs; of sets that hold the very same audio one is trained. Finished work is not done again.
    Raises: ConfigError if a set's name cannot name a folder, it holds no shards or another comparison runs in `out`;
    what `aligned_sets.align`, `base.resolve` and `train.train` raise.
    """
    require_names(sets)
    shards = {name: find_shards(places, f"--set {name}") for name, places in sets.items()}
    for name, found in shards.items():
        if not found:
            raise ConfigError(f"--set {name}={','.join(sets[name])}: no .tar there; give OUTPUT/shards of a run")
    config = config.model_copy(update={"vocoder": _with_base(config.vocoder)})
    with quiet_lightning(), exclusive_folder(out, {"sets"}) as folder:  # sets are written anew each time
        claim(folder, {"sets": sets, **config.model_dump(mode="json", exclude={"vocoder": FREE, "at_once": True})})
        aligned = align(shards, folder / "sets", config.utterances)
        overlap = training_overlap.warnings(sets, aligned.folders, config.vocoder.start_from)
        for sentence in overlap:
            LOG.warning(sentence)
        first = next(iter(aligned.folders))
        steps = _train_all(aligned, folder / "runs", config, force)
        held = partial(
            is_held_out,
            share=config.vocoder.validation_share,
            disjoint=config.vocoder.validation_disjoint,
            seed=config.vocoder.seed,
        )
        keys = copy_synthesis.held_out(aligned.folders[first], held, config.spoken)
        spoken = score_all(_jobs(aligned, keys, folder), folder / "measured.json")
        curves = {name: training_log.curve(_run_of(aligned, name, folder / "runs"), "val/loss") for name in sets}
        facts = {
            "steps": steps,
            "common": aligned.common,
            "hours": aligned.hours,
            "took_s": {name: training_log.trained_s(_run_of(aligned, name, folder / "runs")) for name in sets},
            "twins": aligned.same_audio,
            "training_overlap": overlap,
        }
        page = report.write(spoken, keys, curves, facts, config.model_dump(mode="json"), folder)
        return final_location(page, folder, out)


def _with_base(config: VocoderConfig) -> VocoderConfig:
    """Return the settings of all trainings, whose base is local then, and fits.

    Raises: ConfigError as `base.resolve`, before any set is read.
    """
    if config.start_from:
        config = config.model_copy(update={"start_from": download_cache.weights(config.start_from)})
    return base.resolve(config)[0]


def _train_all(aligned: AlignedSets, runs: Path, config: CompareConfig, force: bool) -> int:
    """Train on every set that has audio of its own; return the number of updates that each has made."""
    first, *others = (name for name in aligned.folders if name not in aligned.same_audio)
    settled = config.vocoder.model_copy(update={"keep": "last"})
    steps = train_set(first, aligned.folders[first], runs / first, settled, force)
    equal = settled.model_copy(update={"steps": steps, "budget_min": None, "patience": steps})
    devices = _devices(config.at_once)
    if len(devices) == 1:
        for name in others:
            train_set(name, aligned.folders[name], runs / name, equal, force)
        return steps
    free: queue.Queue[int | None] = queue.Queue()
    for device in devices:
        free.put(device)
    with LocalEngine(len(devices)) as engine:
        calls = [
            train_set.submit(name, aligned.folders[name], runs / name, equal, force, engine, free) for name in others
        ]
        for call in calls:
            call.result()
    return steps


def _run_of(aligned: AlignedSets, name: str, runs: Path) -> Path:
    return runs / aligned.same_audio.get(name, name)


def _jobs(aligned: AlignedSets, keys: Sequence[str], out: Path) -> list[Job]:
    """Everything that is to be scored, spoken first where that is not done."""
    rate = load_vocoder(_run_of(aligned, next(iter(aligned.folders)), out / "runs")).mel.sample_rate
    own: dict[str, Path] = {}
    for name, folder in aligned.folders.items():
        own[name] = out / "speech" / name / "audio"
        own[name].mkdir(parents=True, exist_ok=True)
        for key, wave in copy_synthesis.held_out_audio(folder, keys, rate).items():
            encode.write_wav(own[name] / f"{key}.wav", wave, rate)
    jobs: list[Job] = []
    for name, folder in aligned.folders.items():
        sources = {"own": folder}
        if CLEAN in aligned.folders and name != CLEAN:
            sources[CLEAN] = aligned.folders[CLEAN]
        speak_set(name, _run_of(aligned, name, out / "runs"), sources, keys, out / "speech")
        for key in keys:
            clean = own[CLEAN] / f"{key}.wav" if CLEAN in own else None
            jobs.append((name, None, key, own[name] / f"{key}.wav", None, clean))
            for frames in sources:
                source = own[name if frames == "own" else frames] / f"{key}.wav"
                jobs.append((name, frames, key, out / "speech" / name / frames / f"{key}.wav", source, clean))
    return jobs
