"""The work of one shard, stage by stage; each stage finds what it already did by the name of its content.

A stage's result is a small JSON object in work/ that names the tars it wrote. It is written last, so a stage is either
done, with everything it names in place, or not done. The name hashes everything the result depends on: input bytes,
the settings that touch it, the weights, the rulers' versions and the source code of the modules that do the work.
"""

import base64
import hashlib
import inspect
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from clean_corpus.pipeline.audio import decode, loudness, segment
from clean_corpus.pipeline.core import memory
from clean_corpus.pipeline.core.config import AudioConfig, EnhanceConfig, PipelineConfig, SegmentConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.core.records import (
    Ending,
    Enhanced,
    Ingested,
    Outcome,
    Published,
    RawShard,
    Scored,
    Shard,
    canonical_json,
    content_name,
    named_shards,
)
from clean_corpus.pipeline.core.types import Audio, Clip, Recording, Scores, Verdict
from clean_corpus.pipeline.corpus import batching, shards
from clean_corpus.pipeline.corpus.shards import Sample
from clean_corpus.pipeline.discover.local import base, printable, still_there
from clean_corpus.pipeline.discover.s3_objects import at_hand
from clean_corpus.pipeline.quality import dnsmos, duplicates, signal_measures
from clean_corpus.pipeline.quality import scorer as scoring
from clean_corpus.pipeline.storage.base import Store, sha256_file

Result = TypeVar("Result")


@cache
def _code(*modules: ModuleType) -> str:
    """Hash of the modules' source, so that a changed algorithm never reuses an old result."""
    return hashlib.sha256("".join(inspect.getsource(m) for m in modules).encode()).hexdigest()[:16]


def _stage(store: Store, stage: str, name: str, kind: Any, make: Callable[[], Result]) -> Outcome[Result]:
    """The recorded result if it and every tar it names are there, else a new one, recorded."""
    start = time.perf_counter()
    found = _recorded(store, stage, name, kind)
    if found is not None:
        return Outcome(name, found, time.perf_counter() - start, reused=True)
    made = make()
    _record(store, stage, name, kind, made)
    return Outcome(name, made, time.perf_counter() - start, reused=False)


def _recorded(store: Store, stage: str, name: str, kind: Any) -> Any:
    try:
        found = TypeAdapter(kind).validate_json(store.read(f"work/{stage}/{name}.json"))
    except FileNotFoundError:
        return None
    return found if all(store.size(shard.key) == shard.size for shard in named_shards(found)) else None


def _record(store: Store, stage: str, name: str, kind: Any, made: object) -> None:
    store.write(f"work/{stage}/{name}.json", canonical_json(TypeAdapter(kind).dump_python(made, mode="json")))


# ---- ingest ----------------------------------------------------------------------------------------------------


def ingest(store: Store, root: Location, group: Sequence[Recording], config: PipelineConfig) -> Outcome[Ingested]:
    """Decode, cut and fingerprint a group of recordings into raw shards.

    A recording that cannot be read becomes a row with its error; the others go on. Objects of a bucket are fetched only
    if the listing tells of a change, and decoded only if their content is another.
    Raises: StorageError if the output cannot be written or the input's service fails.
    """
    if isinstance(root, Path):
        return _ingest_files(store, base(root), group, config)
    start = time.perf_counter()
    listed = [(r.source, r.key, r.etag, r.size, r.error, asdict(r.metadata)) for r in group]
    name = content_name("listed", str(root), listed, *_decides_over_ingest(config))
    found = _recorded(store, "listed", name, Ingested)
    if found is not None:
        return Outcome(name, found, time.perf_counter() - start, reused=True)
    with at_hand(root, group, config.s3) as (folder, fetched):
        outcome = _ingest_files(store, folder, fetched, config)
    if [r.error for r in fetched] == [r.error for r in group]:  # else the next run is to try again
        _record(store, "listed", name, Ingested, outcome.result)
    return replace(outcome, seconds=time.perf_counter() - start)


def _decides_over_ingest(config: PipelineConfig) -> tuple[object, ...]:
    return (
        config.audio.model_dump(include={"sample_rate", "channel", "allow_truncated"}),
        config.segment.model_dump(),
        config.shards.model_dump(),
        segment.VAD_VERSION,
        _code(decode, segment, duplicates, shards),
    )


def _ingest_files(store: Store, root: Path, group: Sequence[Recording], config: PipelineConfig) -> Outcome[Ingested]:
    """By content. What is another by now is named with that error, so that its return finds no failure recorded."""
    start = time.perf_counter()
    found = _recorded(store, "ingest", name := _ingested_name(group, config), Ingested)
    if found is not None:
        return Outcome(name, found, time.perf_counter() - start, reused=True)
    there = [still_there(root, recording) for recording in group]
    name = _ingested_name(there, config)
    return _stage(store, "ingest", name, Ingested, lambda: _ingest(store, name, root, there, config))


def _ingested_name(group: Sequence[Recording], config: PipelineConfig) -> str:
    by_content = [(r.source, r.key, r.sha256, r.error, asdict(r.metadata)) for r in group]
    return content_name("ingest", by_content, *_decides_over_ingest(config))


def _ingest(store: Store, name: str, root: Path, group: Sequence[Recording], config: PipelineConfig) -> Ingested:
    rate = config.audio.sample_rate
    done: list[RawShard] = []
    rest: list[Clip] = []

    def with_audio() -> Iterator[tuple[Clip, Audio]]:
        for recording in group:
            for clip, samples in _clips(root, recording, config):
                if samples is None:
                    rest.append(clip)
                else:
                    yield clip, samples

    for pack in _packs(with_audio(), config):
        shard = shards.write_shard(
            store,
            f"work/raw/{name}-{len(done):03d}.tar",
            ({"__key__": c.clip_id, "flac": decode.encode_flac(_in_range(x), rate, bits=24)} for c, x in pack),
        )
        prints = [_to_text(duplicates.fingerprint(x, sample_rate=rate)) for _, x in pack]
        done.append(RawShard(shard, [c for c, _ in pack], prints))
    return Ingested(done, rest)


def _packs(clips: Iterator[tuple[Clip, Audio]], config: PipelineConfig) -> Iterator[list[tuple[Clip, Audio]]]:
    pack: list[tuple[Clip, Audio]] = []
    seconds = 0.0
    for clip, samples in clips:
        if pack and (len(pack) == config.shards.max_clips or seconds + clip.duration_s > config.shards.max_s):
            yield pack
            pack, seconds = [], 0.0
        pack.append((clip, samples))
        seconds += clip.duration_s
    if pack:
        yield pack


def _clips(root: Path, recording: Recording, config: PipelineConfig) -> Iterator[tuple[Clip, Audio | None]]:
    """The utterances of one recording, and a last row without audio for what could not be read or held no speech."""
    clip = Clip(recording.key, recording.source, recording.sha256, metadata=recording.metadata)
    if recording.error:
        yield replace(clip, error=recording.error), None
        return
    rate, limits, count, end = config.audio.sample_rate, config.segment, 0, 0
    try:
        with decode.open_recording(root / recording.path, config.audio) as reader:
            clip = replace(clip, sample_rate_in_hz=reader.sample_rate_in_hz, channels_in=reader.channels_in)
            total = 0

            def blocks() -> Iterator[Audio]:
                nonlocal total
                for block in reader.blocks():
                    total += len(block)
                    yield block

            for cut in segment.utterances(blocks(), limits, sample_rate=rate):
                whole = cut.start == 0 and len(cut.samples) == total
                yield _judged(clip, cut, rate, limits, None if whole else count), cut.samples
                count, end = count + 1, cut.start + len(cut.samples)
    except (DataError, OSError) as error:
        text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        rest_id = f"{clip.clip_id}-rest" if count else clip.clip_id
        yield replace(clip, clip_id=rest_id, offset_s=end / rate, error=text), None
        return
    if not count:
        missing = ("no_speech", f"speech_s 0 < {limits.min_speech_s:g}")
        yield replace(clip, duration_s=total / rate, speech_s=0.0, reject=missing), None


def _judged(clip: Clip, cut: segment.Utterance, rate: int, limits: SegmentConfig, number: int | None) -> Clip:
    """The clip of an utterance, with what already rejects it; `number` is None for a recording kept whole."""
    duration_s = len(cut.samples) / rate
    reject = None
    if duration_s < limits.min_s:
        reject = ("too_short", f"duration_s {duration_s:.4g} < {limits.min_s:g}")
    elif cut.speech_s < limits.min_speech_s:
        reject = ("no_speech", f"speech_s {cut.speech_s:.3g} < {limits.min_speech_s:g}")
    return replace(
        clip,
        clip_id=clip.clip_id if number is None else f"{clip.clip_id}-{number:05d}",
        offset_s=cut.start / rate,
        duration_s=duration_s,
        speech_s=round(cut.speech_s, 3),
        pcm_sha256=duplicates.pcm_sha256(cut.samples),
        reject=reject,
    )


def _in_range(x: Audio) -> Audio:
    """Scaled down to full scale if it is over; FLAC holds no more, and levels are set at the end anyway."""
    peak = float(np.abs(x).max(initial=0.0))
    return x / np.float32(peak) if peak > 1 else x


def _to_text(fingerprint: np.ndarray) -> str:
    return base64.b64encode(fingerprint.astype("<u4").tobytes()).decode()


# ---- enhance and score -----------------------------------------------------------------------------------------


def enhance_shard(
    store: Store, raw: RawShard, enhancer: Callable[[], batching.Enhancer], identity: str, config: PipelineConfig
) -> Outcome[Enhanced]:
    """The enhanced twin of a raw shard; `enhancer` loads the network `identity`, and is called only if there is work.

    Raises: StorageError if the output cannot be written.
    """
    ids = [clip.clip_id for clip in raw.wanted]
    name = content_name(
        "enhance", raw.shard.sha256, ids, identity, config.enhance.model_dump(), _code(batching, shards)
    )

    def make() -> Enhanced:
        rate = config.audio.sample_rate
        output, failed = _enhanced(dict(_audio_of(store, raw.shard, ids)), enhancer(), config.enhance, rate)
        samples = (
            {"__key__": clip_id, "flac": decode.encode_flac(_in_range(x), rate, bits=24)}
            for clip_id, x in output.items()
        )
        return Enhanced(shards.write_shard(store, f"work/enhanced/{name}.tar", samples), failed)

    return _stage(store, "enhance", name, Enhanced, make)


def _enhanced(
    noisy: dict[str, Audio], network: batching.Enhancer, config: EnhanceConfig, rate: int
) -> tuple[dict[str, Audio], dict[str, str]]:
    """Enhanced clips by name, and failures by name with the reason.

    Where the network fails on a batch every clip is run alone, so that only the one at fault ends as failed.
    """
    faults = (DataError, RuntimeError, ValueError)
    try:
        clean = batching.enhance(list(noisy.values()), network, config, sample_rate=rate)
        return dict(zip(noisy, clean, strict=True)), {}
    except faults:
        output, failed = {}, {}
        for name, x in noisy.items():
            try:
                (output[name],) = batching.enhance([x], network, config, sample_rate=rate)
            except faults as error:
                failed[name] = f"enhance: {error}"
        return output, failed


def score_shard(
    store: Store,
    shard: Shard | None,
    clips: Sequence[Clip],
    scorer: Callable[[], scoring.Scorer],
    config: PipelineConfig,
    twins: Mapping[str, Path],
) -> Outcome[Scored]:
    """Scores of some clips of a shard; `twins` are the clean recordings of their sources, where there are any.

    Raises: DataError if the shard's bytes are not those that were written.
    """
    digests = {source: sha256_file(twin) for source, twin in twins.items()}
    name = content_name(
        "score",
        shard.sha256 if shard else None,
        [clip.clip_id for clip in clips],
        [digests.get(clip.source) for clip in clips] if config.score.clean_dir else [],
        scoring.rulers(),
        config.segment.speech_threshold,
        _code(scoring, dnsmos, signal_measures, segment, loudness),
    )

    def make() -> Scored:
        scores: dict[str, Scores] = {}
        failed: dict[str, str] = {}
        clip_of = {clip.clip_id: clip for clip in clips}
        for clip_id, x in _audio_of(store, shard, clip_of.keys()) if shard else ():
            clip = clip_of[clip_id]
            try:
                clean = _clean(twins.get(clip.source), clip, config)
                scores[clip_id] = scorer().score(x, sample_rate=config.audio.sample_rate, clean=clean)
            except DataError as error:
                failed[clip_id] = f"score: {error}"
            memory.return_freed_memory()
        return Scored(scores, failed)

    return _stage(store, "score", name, Scored, make)


def _whole(path: Path, config: AudioConfig) -> Audio:
    with decode.open_recording(path, config) as reader:
        return np.concatenate([np.zeros(0, np.float32), *reader.blocks()])


_whole_twin = lru_cache(maxsize=1)(_whole)  # the clips of one long recording follow each other


def _clean(twin: Path | None, clip: Clip, config: PipelineConfig) -> Audio | None:
    if twin is None:
        return None
    start = round(clip.offset_s * config.audio.sample_rate)
    return _whole_twin(twin, config.audio)[start : start + round(clip.duration_s * config.audio.sample_rate)]


def _audio_of(store: Store, shard: Shard, clip_ids: Collection[str]) -> Iterator[tuple[str, Audio]]:
    """Those clips of a shard and their samples, one at a time."""
    for sample in shards.read_shard(store, shard):
        if sample["__key__"] in clip_ids:
            yield sample["__key__"], decode.decode(sample["flac"])[0]


# ---- publish ---------------------------------------------------------------------------------------------------


def publish_shard(
    store: Store, raw: RawShard, enhanced: Shard | None, endings: Sequence[Ending], config: PipelineConfig
) -> Outcome[Published]:
    """Write the kept clips at their final level as 16-bit FLAC, and the rejected ones as they came in.

    Raises: DataError if a shard's bytes are not those that were written; StorageError if the output is full.
    """
    facts = [_facts(ending) for ending in endings]
    name = _published_name("publish", raw, enhanced, facts, config)

    def make() -> Published:
        rate = config.audio.sample_rate
        chosen = {e.clip.clip_id: e.decision.chosen for e in endings if e.decision.verdict is Verdict.KEPT}
        rejected = {e.clip.clip_id for e in endings if e.decision.verdict is Verdict.REJECTED}
        clips = dict(_audio_of(store, raw.shard, {i for i, version in chosen.items() if version == "raw"} | rejected))
        if enhanced:
            clips |= dict(_audio_of(store, enhanced, {i for i, version in chosen.items() if version == "enhanced"}))
        gains: dict[str, float] = {}

        def samples(verdict: Verdict) -> Iterator[Sample]:
            for ending, fact in zip(endings, facts, strict=True):
                if ending.decision.verdict is not verdict:
                    continue
                clip_id, gain = ending.clip.clip_id, 0.0
                x = clips[clip_id]
                if verdict is Verdict.KEPT:
                    x, gain = _levelled(x, config)
                    gains[clip_id] = round(gain, 3)
                    fact = {**fact, "gain_db": gains[clip_id]}
                yield _sample(clip_id, x, fact, rate)

        kept = shards.write_shard(store, f"shards/{name}.tar", samples(Verdict.KEPT))
        thrown = shards.write_shard(store, f"rejected/{name}.tar", samples(Verdict.REJECTED))
        return Published(kept, thrown, gains)

    return _stage(store, "publish", name, Published, make)


def variant_shard(
    store: Store,
    raw: RawShard,
    enhanced: Shard | None,
    endings: Sequence[Ending],
    variant: Literal["raw", "enhanced"],
    config: PipelineConfig,
) -> Outcome[Published]:
    """One variant of the kept clips, whichever of them was published, at their final level: what a comparison hears.

    Clips that have no such variant are left out. The tar is `kept` of the result.
    """
    kept = {e.clip.clip_id: _facts(e) for e in endings if e.decision.verdict is Verdict.KEPT}
    name = _published_name(f"variant {variant}", raw, enhanced, list(kept.values()), config)

    def make() -> Published:
        shard = raw.shard if variant == "raw" else enhanced
        found = dict(_audio_of(store, shard, set(kept))) if shard else {}
        samples = (
            _sample(clip_id, _levelled(found[clip_id], config)[0], kept[clip_id], config.audio.sample_rate)
            for clip_id in kept
            if clip_id in found
        )
        return Published(shards.write_shard(store, f"variants/{variant}/{name}.tar", samples), None, {})

    return _stage(store, "variant", name, Published, make)


def _published_name(
    stage: str, raw: RawShard, enhanced: Shard | None, facts: list[dict[str, Any]], config: PipelineConfig
) -> str:
    level = config.audio.model_dump(include={"loudness_lufs", "true_peak_db", "sample_rate"})
    return content_name(
        stage, raw.shard.sha256, enhanced and enhanced.sha256, facts, level, _code(decode, loudness, shards)
    )


def _levelled(x: Audio, config: PipelineConfig) -> tuple[Audio, float]:
    audio_config = config.audio
    return loudness.level(
        x,
        audio_config.sample_rate,
        loudness_lufs=audio_config.loudness_lufs,
        true_peak_db=audio_config.true_peak_db,
    )


def _sample(clip_id: str, x: Audio, facts: dict[str, Any], sample_rate: int) -> Sample:
    encoded = decode.encode_flac(_in_range(x), sample_rate, bits=16)
    return {"__key__": clip_id, "flac": encoded, "json": canonical_json(facts)}


def _facts(ending: Ending) -> dict[str, Any]:
    clip, decision = ending.clip, ending.decision
    return {
        **clip.origin,
        **asdict(clip.metadata),
        **asdict(decision),
        "scores": ending.scores,
    }


# ---- report ----------------------------------------------------------------------------------------------------


def write_report(
    store: Store, run: dict[str, Any], homes: Mapping[str, tuple[Shard, Shard | None]], config: PipelineConfig
) -> None:
    """The HTML folder of a finished run, from its ledger and the raw and enhanced shards of the clips that it plays."""
    from clean_corpus.pipeline.report import page

    def clip_audio(clip_id: str, version: Literal["raw", "enhanced"]) -> tuple[Audio, int] | None:
        raw, enhanced = homes.get(clip_id, (None, None))
        shard = raw if version == "raw" else enhanced
        found = next(_audio_of(store, shard, {clip_id}), None) if shard else None
        return found and (found[1], config.audio.sample_rate)

    with store.opened("ledger.parquet") as file, store.folder("report") as folder:
        page.write_report(pq.ParquetFile(file), run, folder, clip_audio)


# ---- plain files -----------------------------------------------------------------------------------------------


def enhance_files(
    group: Sequence[Recording], source: Path, write: Callable[[str, bytes], None], network: batching.Enhancer
) -> dict[str, str]:
    """Denoise recordings to 16-bit WAV at the network's rate; returns what failed, by source, with the reason.

    `write` is given each recording's path and the file.
    """
    config = AudioConfig(sample_rate=network.sample_rate)
    failed: dict[str, str] = {}
    noisy: dict[str, Audio] = {}
    for recording in group:
        try:
            noisy[recording.path] = _readable(recording, source, config)
        except (DataError, OSError) as error:
            failed[recording.source] = str(error)
    clean, damaged = _enhanced(noisy, network, EnhanceConfig(), config.sample_rate)
    for path, x in clean.items():
        write(path, decode.encode_wav(_in_range(x), config.sample_rate))
    return failed | {printable(path): error for path, error in damaged.items()}


def score_file(
    recording: Recording, source: Path, twin: Path | None, scorer: scoring.Scorer, config: AudioConfig
) -> Scores | str:
    """Scores of one file against its clean twin where there is one, or why it has none."""
    try:
        x = _readable(recording, source, config)
        return scorer.score(x, sample_rate=config.sample_rate, clean=_whole(twin, config) if twin else None)
    except (DataError, OSError) as error:
        return str(error)


def _readable(recording: Recording, source: Path, config: AudioConfig) -> Audio:
    if recording.error:
        raise DataError(recording.error)
    return _whole(source / recording.path, config)


def score_clips(
    recording: Recording, source: Path, scorer: scoring.Scorer, config: PipelineConfig
) -> list[tuple[float, Scores]]:
    """Duration in seconds and scores of every clip that a run would cut from one recording and not reject at once."""
    return [
        (clip.duration_s, scorer.score(x, sample_rate=config.audio.sample_rate))
        for clip, x in _clips(source, recording, config)
        if x is not None and not clip.reject
    ]
