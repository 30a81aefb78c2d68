"""The flow `compare-vocoders`: one WaveNet per version of a corpus, all else equal, and what each then sounds like."""

import json
import logging
import queue
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prefect import flow

from clean_corpus.flows import download_cache, training_overlap
from clean_corpus.flows.compare_config import AA_SEED, AGAIN, FREE, CompareConfig
from clean_corpus.flows.compare_tasks import Job, Training, devices_of, score_all, speak_one, train_one
from clean_corpus.flows.engines.local import LocalEngine
from clean_corpus.flows.training_folder import exclusive_folder, final_location, quiet_lightning
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.files import write_json
from clean_corpus.pipeline.core.locations import Location, LocationField
from clean_corpus.pipeline.text.transcribers import check_transcriber
from clean_corpus.pipeline.training.claims import claim
from clean_corpus.pipeline.training.shard_stream import Shard, find_shards
from clean_corpus.vocoder.comparison import copy_synthesis, report, training_log
from clean_corpus.vocoder.comparison.aligned_sets import AlignedSets, align
from clean_corpus.vocoder.comparison.copy_synthesis import CLEAN, COMMON, OWN, speech_folder
from clean_corpus.vocoder.training import base, train
from clean_corpus.vocoder.training.config import VocoderConfig

LOG = logging.getLogger("clean_corpus")

TIMED_SHARE, TIMED_MOST_S = 0.02, 60.0  # of the budget, and at most: what finding out the number of updates may take


class Systems(NamedTuple):
    """What is compared: sets, and the second training of one; each with the set whose audio it hears.

    `aa` is the second training, `frames_from` the set of the common frames, `reference` that of all distances.
    """

    sets: dict[str, str]
    aa: str | None
    frames_from: str
    reference: str


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
    """Train vocoders on each set, let them speak the same utterances, score, report; return the report's location.

    All trainings make as many updates, which are counted out before the first; several run at once where there are
    several GPUs; of sets that hold the very same audio one is trained. Finished work is not done again.
    Raises: ConfigError if a set's name cannot name a folder, it holds no shards or another comparison runs in `out`;
    what `aligned_sets.align`, `base.resolve` and `train.train` raise.
    """
    require_names(sets)
    systems = _systems(list(sets), config)
    check_transcriber(config.text())
    shards = {name: find_shards(places, f"--set {name}") for name, places in sets.items()}
    for name, found in shards.items():
        if not found:
            raise ConfigError(f"--set {name}={','.join(sets[name])}: no .tar there; give OUTPUT/shards of a run")
    config = config.model_copy(update={"vocoder": _with_base(config.vocoder)})
    with quiet_lightning(), exclusive_folder(out, {"sets"}) as folder:  # sets are written anew each time
        claim(folder, {"sets": sets}, config, FREE)
        aligned = _aligned(shards, folder, config)
        _require_enough(aligned, force)
        overlap = training_overlap.warnings(sets, aligned.folders, config.vocoder.start_from)
        for sentence in overlap:
            LOG.warning(sentence)
        steps = _steps(aligned, folder, config)
        trainings = _trainings(aligned, systems, folder / "runs", config, steps)
        _train_all(trainings, config, force)
        _forget_other_frames(folder, systems.frames_from)
        jobs = _jobs(aligned, systems, trainings, folder)
        spoken = score_all(jobs, folder / "measured.json", config.text())
        facts = {**_facts(aligned, systems, trainings, steps, config), "training_overlap": overlap}
        curves = {n: [training_log.curve(t.out, "val/loss") for t in made] for n, made in trainings.items()}
        page = report.write(spoken, aligned.test, curves, facts, config.model_dump(mode="json"), folder)
        return final_location(page, folder, out)


def _systems(sets: list[str], config: CompareConfig) -> Systems:
    """Return what is compared.

    Raises: ConfigError if a set has the name of the second training, or as `CompareConfig.source_of_frames`.
    """
    of = CLEAN if CLEAN in sets else sets[0]
    again = f"{of}{AGAIN}" if config.aa else None
    if again in sets:
        raise ConfigError(f"--set {again}: with aa=true that is the second training of {of}; give the set another name")
    frames_from = config.source_of_frames(sets)
    heard = {name: name for name in sets} | ({again: of} if again else {})
    return Systems(heard, again, frames_from, CLEAN if CLEAN in sets else frames_from)


def _with_base(config: VocoderConfig) -> VocoderConfig:
    """Return the settings of all trainings, whose base is local then, and fits.

    Raises: ConfigError as `base.resolve`, before any set is read.
    """
    if config.start_from:
        config = config.model_copy(update={"start_from": download_cache.weights(config.start_from)})
    return base.resolve(config)[0]


def _aligned(shards: dict[str, Sequence[Shard]], folder: Path, config: CompareConfig) -> AlignedSets:
    """Write the sets, and refuse those that hold other audio than when the comparison began."""
    aligned = align(
        shards,
        folder / "sets",
        config.utterances,
        test=config.spoken,
        validation_share=config.vocoder.validation_share,
        validation_most=config.vocoder.validation_clips,
        seed=config.vocoder.seed,
        by_speaker=config.vocoder.speaker_conditioning,
    )
    begun = folder / "audio.json"
    known = json.loads(begun.read_text()) if begun.exists() else aligned.audio
    for name, digest in aligned.audio.items():
        if known[name] != digest:
            raise ConfigError(
                f"set {name} holds other audio than when the comparison in {folder} began (sha256 {known[name][:12]} "
                f"then, {digest[:12]} now); choose another --out"
            )
    write_json(begun, aligned.audio)
    return aligned


def _require_enough(aligned: AlignedSets, force: bool) -> None:
    """Refuse sets too short to train on before another was trained on for hours.

    Raises: DataError unless `force`.
    """
    for name, hours in aligned.hours.items():
        if hours * 3600 < train.LEAST_S and not force:
            raise DataError(
                f"set {name} holds {hours * 60:.1f} minutes to train on, fewer than {train.LEAST_S / 60:g}; give more, "
                "or --force to go on"
            )


def _steps(aligned: AlignedSets, folder: Path, config: CompareConfig) -> int:
    """Return the number of updates of each training, which a budget of time decides before the first one.

    It is written down, so that a continued comparison has the same.
    """
    path = folder / "updates.json"
    if path.exists():
        return int(json.loads(path.read_text())["steps"])
    steps, timed = config.vocoder.steps, {}
    if config.vocoder.budget_min:
        first, budget_s = next(iter(aligned.folders)), 60 * config.vocoder.budget_min
        update_s = train.seconds_per_update(
            aligned.shards(first, "train"),
            config.vocoder,
            validation=aligned.shards(first, "validation"),
            measured_s=min(TIMED_MOST_S, TIMED_SHARE * budget_s),
            device=devices_of(1)[0],
        )
        steps = max(1, min(steps, round(budget_s / update_s)))
        timed = {"budget_min": config.vocoder.budget_min, "seconds_per_update": round(update_s, 4)}
    write_json(path, {"steps": steps, **timed})
    return steps


def _trainings(
    aligned: AlignedSets, systems: Systems, runs: Path, config: CompareConfig, steps: int
) -> dict[str, list[Training]]:
    """Return the trainings of each system, one a seed; a set that holds another's audio has that one's."""
    made: dict[str, list[Training]] = {}
    for system, heard in systems.sets.items():
        if system in aligned.same_audio:
            made[system] = made[aligned.same_audio[system]]
            continue
        apart = AA_SEED if system == systems.aa else 0
        made[system] = [
            Training(
                system,
                number,
                aligned.shards(heard, "train"),
                aligned.shards(heard, "validation"),
                runs / system / f"seed{number}",
                config.of_training(apart + number, steps),
            )
            for number in range(config.seeds)
        ]
    return made


def _train_all(trainings: dict[str, list[Training]], config: CompareConfig, force: bool) -> None:
    """Make every training once: those with the first seed first, so that what is there can be compared early."""
    jobs = {training.out: training for made in zip(*trainings.values(), strict=True) for training in made}
    devices = devices_of(config.at_once)
    if len(devices) == 1:
        for training in jobs.values():
            train_one(training, force)
        return
    free: queue.Queue[int | None] = queue.Queue()
    for device in devices:
        free.put(device)
    with LocalEngine(len(devices)) as engine:
        calls = [train_one.submit(training, force, engine, free) for training in jobs.values()]
        for call in calls:
            call.result()


def _forget_other_frames(folder: Path, frames_from: str) -> None:
    """Remove what was spoken from common frames when another set's were the common ones: what is there is kept."""
    noted, finished = folder / "frames.json", folder / "result.json"
    noting = next((path for path in (noted, finished) if path.exists()), None)
    if noting and json.loads(noting.read_text())["frames_from"] != frames_from:
        for spoken in (folder / "speech").glob(f"*/{COMMON}"):
            shutil.rmtree(spoken)
    write_json(noted, {"frames_from": frames_from})


def _jobs(aligned: AlignedSets, systems: Systems, trainings: dict[str, list[Training]], out: Path) -> list[Job]:
    """Return everything that is to be scored, spoken first where that is not done."""
    folders: dict[tuple[str, str | None, int | None], Path] = {}
    wanted: dict[Path, dict[str, list[Path]]] = {}  # run -> set whose frames it speaks -> where that is to lie
    for system, heard in systems.sets.items():
        if system == heard:
            folders[system, None, None] = speech_folder(out, system, None, None)
        for frames, source in ((COMMON, systems.frames_from), (OWN, heard)):
            for number, training in enumerate(trainings[system]):
                folders[system, frames, number] = speech_folder(out, system, frames, number)
                sources = wanted.setdefault(training.out, {})
                source = aligned.same_audio.get(source, source)
                sources.setdefault(source, []).append(folders[system, frames, number])
    rate = trainings[systems.frames_from][0].config.features.sample_rate
    for name in aligned.folders:
        waves = copy_synthesis.audio_of(aligned.shards(name, "test"), aligned.test, rate)
        copy_synthesis.write(waves, folders[name, None, None], rate)
    for run, sources in wanted.items():
        speak_one(run, [(aligned.shards(name, "test"), places) for name, places in sources.items()], aligned.said)
    reference = folders[systems.reference, None, None]
    return [
        Job(*what, key, folder / f"{key}.wav", reference / f"{key}.wav", aligned.said[key])
        for what, folder in folders.items()
        for key in aligned.test
    ]


def _facts(
    aligned: AlignedSets, systems: Systems, trainings: dict[str, list[Training]], steps: int, config: CompareConfig
) -> dict[str, Any]:
    """Return what the report says of the comparison beside its scores."""
    took_s = {name: sum(training_log.trained_s(t.out) for t in made) for name, made in trainings.items()}
    return {
        "systems": list(systems.sets),
        "steps": steps,
        "seeds": config.seeds,
        "aa": {"system": systems.aa, "of": systems.sets[systems.aa]} if systems.aa else None,
        "frames_from": systems.frames_from,
        "reference": systems.reference,
        "common": aligned.common,
        "splits": {**aligned.splits.counts(), "by": aligned.splits.by},
        "hours": aligned.hours,
        "took_s": took_s,
        "twins": aligned.same_audio,
    }
