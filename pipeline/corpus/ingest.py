"""Stage `ingest`: a group of recordings to raw shards of clips with their fingerprints."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from clean_corpus.pipeline.audio import decode, voice_activity
from clean_corpus.pipeline.core.compute_lock import begin_computing
from clean_corpus.pipeline.core.config import PipelineConfig
from clean_corpus.pipeline.core.hashing import content_name
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.core.records import Ingested, Outcome, Part, RawShard
from clean_corpus.pipeline.core.types import Audio, Clip, Recording
from clean_corpus.pipeline.corpus import forgotten, joined, shards
from clean_corpus.pipeline.corpus.clips import cut_recording
from clean_corpus.pipeline.corpus.stage_cache import cached, find, library_versions, record
from clean_corpus.pipeline.discover.fetch import base_folder, local_group
from clean_corpus.pipeline.discover.local import verify_unchanged
from clean_corpus.pipeline.quality import fingerprint
from clean_corpus.pipeline.storage.base import Store
from clean_corpus.pipeline.text.aligners import Aligner
from clean_corpus.pipeline.text.normalise import with_clean_text
from clean_corpus.pipeline.text.rate import with_rate

Item = TypeVar("Item")

VERSION = 12  # raise it when a recording gives other clips, samples or fingerprints than before


def ingest_group(
    store: Store,
    root: Location,
    group: Sequence[Recording],
    config: PipelineConfig,
    aligner: Aligner | None = None,
    sizes: Sequence[int] = (),
) -> Outcome[Ingested]:
    """Decode, cut and fingerprint a group of recordings into raw shards.

    A recording that cannot be read becomes a clip with its error; the others go on. Objects of a bucket are fetched
    only if their listing changed, and decoded only if their content did. `aligner` finds the words of clips that are
    cut from a recording with a text. `sizes` are those of the groups of which this one was joined: of those that are
    recorded nothing is read.
    Raises: StorageError if the output cannot be written or the input's service fails.
    """
    start, aligner = time.perf_counter(), _needed(aligner, group)
    stage, name = _stage_of(root), _name_of(root, group, config, aligner)
    found = find(store, stage, name, Ingested)
    if found is not None:
        return Outcome(name, found, time.perf_counter() - start, reused=True)
    if len(sizes) > 1 and (of_parts := _of_parts(store, root, group, config, aligner, sizes)):
        return replace(of_parts, seconds=time.perf_counter() - start)
    if isinstance(root, Path):
        return _ingest_files(store, base_folder(root), group, config, aligner)
    with local_group(root, group, config.s3) as (folder, fetched):
        allowed = _allowed(store, fetched)
        found = find(store, "ingest", content := _name(allowed, config, aligner), Ingested)
        if found is not None:
            outcome = Outcome(content, found, 0.0, reused=True)
        else:
            outcome = _ingest_files(store, folder, allowed, config, aligner)
    if [r.error for r in fetched] == [r.error for r in group]:  # else the next run tries again
        record(store, "listed", name, Ingested, outcome.result)
    return replace(outcome, seconds=time.perf_counter() - start)


def _allowed(store: Store, fetched: Sequence[Recording]) -> list[Recording]:
    """Return recordings with those replaced whose content, known since they were downloaded, must not be taken in."""
    known = forgotten.load(store)
    instead = [known.hidden(r.source, r.sha256, None) for r in fetched] if known else [None] * len(fetched)
    return [
        Recording(hidden[0], hidden[0], 0, None, error=hidden[1]) if hidden else recording
        for recording, hidden in zip(fetched, instead, strict=True)
    ]


def _ingest_files(
    store: Store, folder: Path, group: Sequence[Recording], config: PipelineConfig, aligner: Aligner | None
) -> Outcome[Ingested]:
    """Ingest files under the name of their contents.

    A file that changed since discovery fails. Its error is part of the name under which the failure is recorded, so
    the file is read again once its old content is back.
    """
    begin_computing()
    checked = [verify_unchanged(folder, recording) for recording in group]
    name = _name(checked, config, aligner)

    def write() -> Ingested:
        return _write_shards(store, name, folder, checked, config, aligner)

    return cached(store, "ingest", name, Ingested, write)


def _stage_of(root: Location) -> str:
    return "ingest" if isinstance(root, Path) else "listed"


def _name_of(root: Location, group: Sequence[Recording], config: PipelineConfig, aligner: Aligner | None) -> str:
    """Return the name of a group's result by what is known of it before anything is fetched."""
    if isinstance(root, Path):
        return _name(group, config, aligner)
    listed = [(r.source, r.key, r.etag, r.size, r.error, *_texts(r)) for r in group]
    return content_name("listed", str(root), listed, *_decisive(config, _needed(aligner, group)))


def _name(group: Sequence[Recording], config: PipelineConfig, aligner: Aligner | None) -> str:
    by_content = [(r.source, r.key, r.sha256, r.error, *_texts(r)) for r in group]
    return content_name("ingest", by_content, *_decisive(config, _needed(aligner, group)))


def _needed(aligner: Aligner | None, group: Sequence[Recording]) -> Aligner | None:
    """Return the aligner where there is text, so that installing one makes nobody read again what it has no say in."""
    return None if all(recording.metadata.text is None for recording in group) else aligner


def _texts(recording: Recording) -> tuple[object, ...]:
    return asdict(recording.metadata), [astuple(segment) for segment in recording.segments]


def _decisive(config: PipelineConfig, aligner: Aligner | None) -> tuple[object, ...]:
    """Return what decides the raw shards besides the recordings."""
    return (
        VERSION,
        aligner and aligner.name,
        config.audio.model_dump(include={"sample_rate", "channel", "allow_truncated", "max_hours", "max_decoded_gb"}),
        config.segment.model_dump(),
        config.shards.model_dump(),
        decode.DECODERS_VERSION,
        voice_activity.VAD_VERSION,
        library_versions("onnxruntime", "pyloudnorm", "soxr", "webdataset"),
    )


def _of_parts(
    store: Store,
    root: Location,
    group: Sequence[Recording],
    config: PipelineConfig,
    aligner: Aligner | None,
    sizes: Sequence[int],
) -> Outcome[Ingested] | None:
    """Return the result of a joined group, put together from those of its parts; None where none of them is recorded.

    Where a file changed since discovery its part is not recorded, and the parts stay apart until the next run.
    """
    rest, stage = iter(group), _stage_of(root)
    parts = [list(islice(rest, size)) for size in sizes]

    def is_recorded(part: Sequence[Recording]) -> bool:
        return find(store, stage, _name_of(root, part, config, aligner), Ingested) is not None

    if not any(map(is_recorded, parts)):
        return None
    outcomes = [ingest_group(store, root, part, config, aligner) for part in parts]
    results, reused = [outcome.result for outcome in outcomes], all(outcome.reused for outcome in outcomes)
    name = _name_of(root, group, config, aligner)
    if not all(map(is_recorded, parts)):
        raw_shards = [raw for result in results for raw in result.shards]
        return Outcome(name, Ingested(raw_shards, [clip for result in results for clip in result.rest]), 0.0, reused)
    joined_group = _joined(store, name, results, config)
    record(store, stage, name, Ingested, joined_group)
    return Outcome(name, joined_group, 0.0, reused)


def _joined(store: Store, name: str, parts: Sequence[Ingested], config: PipelineConfig) -> Ingested:
    """Join the raw shards of small groups, whole ones, up to the limits of a shard."""
    raw_shards: list[RawShard] = []
    every = ((raw, len(raw.clips), sum(clip.duration_s for clip in raw.clips)) for part in parts for raw in part.shards)
    for pack in _packs(every, config):
        shard = pack[0].shard
        if len(pack) > 1:
            tars = [Part(raw.shard, [clip.clip_id for clip in raw.clips]) for raw in pack]
            shard = joined.join_tars(store, f"{name}-{len(raw_shards):03d}", tars)
        clips = [clip for raw in pack for clip in raw.clips]
        raw_shards.append(RawShard(shard, clips, [text for raw in pack for text in raw.fingerprints]))
    return Ingested(raw_shards, [clip for part in parts for clip in part.rest])


def _write_shards(
    store: Store,
    name: str,
    folder: Path,
    group: Sequence[Recording],
    config: PipelineConfig,
    aligner: Aligner | None,
) -> Ingested:
    rate = config.audio.sample_rate
    raw_shards: list[RawShard] = []
    rest: list[Clip] = []

    def clips_with_audio() -> Iterator[tuple[Clip, Audio]]:
        for recording in group:
            for clip, samples in cut_recording(folder, recording, config, aligner):
                clip = with_rate(with_clean_text(clip))
                if samples is None:
                    rest.append(clip)
                else:
                    yield clip, samples

    for pack in _packs((((clip, x), 1, clip.duration_s) for clip, x in clips_with_audio()), config):
        shard = shards.write_shard(
            store,
            f"work/raw/{name}-{len(raw_shards):03d}.tar",
            ({"__key__": clip.clip_id, "flac": shards.encode_clip(x, rate, bits=24)} for clip, x in pack),
        )
        prints = [fingerprint.to_text(fingerprint.fingerprint(x, sample_rate=rate)) for _, x in pack]
        raw_shards.append(RawShard(shard, [clip for clip, _ in pack], prints))
    return Ingested(raw_shards, rest)


def _packs(items: Iterable[tuple[Item, int, float]], config: PipelineConfig) -> Iterator[list[Item]]:
    """Yield the items of one shard after the other, at most max_clips and max_s in each, given those of each item."""
    pack: list[Item] = []
    n_clips, seconds = 0, 0.0
    for item, n, duration_s in items:
        if pack and (n_clips + n > config.shards.max_clips or seconds + duration_s > config.shards.max_s):
            yield pack
            pack, n_clips, seconds = [], 0, 0.0
        pack.append(item)
        n_clips, seconds = n_clips + n, seconds + duration_s
    if pack:
        yield pack
