"""Warnings that an enhancer, or the base of vocoders, was trained on what a run or the sets of a comparison hold.

Such recordings may gain more than others would, so that what is measured on them proves less than it seems to.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows import download_cache
from clean_corpus.pipeline.core.config import DEFAULT_S3, S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import SCHEME, parse_location
from clean_corpus.pipeline.corpus import ledger, versions
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.recording_list import Digests, RecordingList
from clean_corpus.pipeline.training.shard_stream import clips

ENHANCER, SHA256 = "enhancer", "weights_sha256"
"""Keys of a clip's .json that name what enhanced it, where no run of this program made its shard."""


class Maker(NamedTuple):
    """Weights that enhanced the audio of a set, as they were named then, and their hash."""

    name: str
    sha256: str | None


def warnings(
    sets: Mapping[str, Sequence[str]], folders: Mapping[str, Path], start_from: str | None = None
) -> list[str]:
    """Return a sentence for each set whose enhancer heard some of its recordings, or may have, and for the base.

    `sets` are the locations that a comparison was given, from which the runs that made them are known; `folders` hold
    their shards. A clip is known by its own audio, by the recording that it was cut from, and by those that the .json
    of any set says it was mixed from.
    """
    from clean_corpus.vocoder.checkpoint import weights_file  # loads torch, which a run's own process does without

    sources, makers = _clips(sets, folders)
    sentences = []
    for name, made in makers.items():
        for maker in dict.fromkeys(one for found in made.values() for one in found):
            keys = [key for key, found in made.items() if maker in found]
            sentences += _sentence(f"Set “{name}”: its enhancer {maker.name}", _listed(maker), keys, sources)
    if start_from:
        listed = recording_list.read(weights_file(Path(start_from)))
        sentences += _sentence(f"All sets: the base of their vocoders, {start_from},", listed, sorted(sources), sources)
    return sentences


def heard_by(enhancer: str, table: Path, s3: S3Config) -> int:
    """Return how many recordings of a ledger an enhancer was trained on; 0 too where its weights list none."""
    listed = checkpoints.recordings(download_cache.weights(enhancer, s3))
    if listed is None:
        return 0
    with ledger.opened(table) as connection:
        found = connection.sql("SELECT DISTINCT source_sha256 FROM ledger WHERE source_sha256 IS NOT NULL").fetchall()
    return sum(listed.kind(Digests(file=sha256[: recording_list.DIGITS])) is not None for (sha256,) in found)


def _clips(
    sets: Mapping[str, Sequence[str]], folders: Mapping[str, Path]
) -> tuple[dict[str, set[Digests]], dict[str, dict[str, Sequence[Maker]]]]:
    """Return the recordings of each utterance, of all sets together, and what enhanced each of a set."""
    sources: dict[str, set[Digests]] = {}
    makers: dict[str, dict[str, Sequence[Maker]]] = {name: {} for name in folders}
    for name, folder in folders.items():
        by_run = next(filter(None, map(_of_run, sets[name])), ())
        for shard in sorted(folder.rglob("*.tar")):
            for clip in clips(shard):
                sources.setdefault(clip.key, set()).update(recording_list.of_clip(clip))
                makers[name][clip.key] = _of_clip(json.loads(clip.about or b"{}"), by_run)
    return sources, makers


def _of_clip(about: Mapping[str, Any], by_run: Sequence[Maker]) -> Sequence[Maker]:
    """Return what enhanced a clip, nothing if that is not known."""
    if about.get(ENHANCER):
        return (Maker(about[ENHANCER], about.get(SHA256)),)
    return () if about.get("version") == "raw" else by_run


def _of_run(place: str) -> Sequence[Maker]:
    """Return the networks of the run in whose output a set lies: OUTPUT/shards or OUTPUT/variants/VARIANT."""
    folder = place if place.startswith(SCHEME) or Path(place).is_dir() else str(Path(place).parent)
    outer, _, last = (folder if folder.startswith(SCHEME) else str(Path(folder).absolute())).rstrip("/").rpartition("/")
    output, _, variants = outer.rpartition("/")
    if last != "shards" and variants != "variants":
        return ()
    newest = versions.latest(open_store(parse_location(outer if last == "shards" else output), DEFAULT_S3))
    run = newest.run if newest else {}
    found = (Maker(run.get(ENHANCER), run.get(SHA256)), Maker(run.get("upper_band"), run.get("upper_band_sha256")))
    return tuple(maker for maker in found if maker.sha256)


@cache
def _listed(maker: Maker) -> RecordingList | None:
    """Return what an enhancer has heard, None if its list, or the weights of then, are not there."""
    try:
        name = download_cache.weights(maker.name)
        if maker.sha256 not in (None, checkpoints.weights_sha256(name)):
            return None
        return checkpoints.recordings(name)
    except (ConfigError, OSError):
        return None


def _sentence(
    who: str, heard: RecordingList | None, keys: Sequence[str], sources: Mapping[str, set[Digests]]
) -> list[str]:
    """Say what weights have heard of some utterances, and what is not known; nothing where all is known and well."""
    if heard is None:
        return [f"{who} has no list of the recordings that it was trained on, so some of them may be in it."]
    kinds = {key: {kind for one in sources[key] if (kind := heard.kind(one))} for key in keys}
    said = []
    if found := [key for key in keys if kinds[key]]:
        what = " and ".join(sorted(set.union(*kinds.values())))
        said.append(
            f"{who} was trained on {what} of {len(found)} of {len(keys)} utterances, {found[0]} for one; other "
            "recordings may gain less."
        )
    if heard.unlisted:
        said.append(f"{who} began with {', '.join(heard.unlisted)}, which lists no recordings.")
    return said
