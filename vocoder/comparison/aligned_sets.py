"""Aligned sets: versions of one corpus with the same utterances, in the same shards, in the same order."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.training.loop import write_json
from clean_corpus.pipeline.training.shard_stream import Encoded, Shard, clips

PER_SHARD = 64

Utterances = Literal["common", "all"]


class AlignedSets(NamedTuple):
    """Sets on disk: a folder of shards for each, the number of utterances they share, hours of each.

    `same_audio` names, for a set that holds the very files of an earlier one, that earlier set.
    """

    folders: dict[str, Path]
    common: int
    hours: dict[str, float]
    same_audio: dict[str, str]


def align(sets: Mapping[str, Sequence[Shard]], out: Path, utterances: Utterances = "common") -> AlignedSets:
    """Write each set anew below `out`, so that trainings with one seed hear the same utterances in the same order.

    "common" keeps the utterances that all sets have; "all" keeps every utterance, for a comparison at unequal hours. A
    set is read as a stream, twice; memory holds the clips of one shard at most.
    Raises: ConfigError with fewer than two sets; DataError if they have no utterance in common, or a set has one twice.
    """
    if len(sets) < 2:
        raise ConfigError(f"--set was given {len(sets)} times; a comparison needs two sets or more")
    keys = {name: _keys(name, shards) for name, shards in sets.items()}
    common = set.intersection(*keys.values())
    if not common:
        counts = ", ".join(f"{name} {len(found)} (first: {min(found, default='none')})" for name, found in keys.items())
        raise DataError(f"the sets have no utterance in common: {counts}; give versions of one corpus, with its keys")
    folders, hours, same_audio = {}, {}, {}
    seen: dict[str, str] = {}
    for name, shards in sets.items():
        wanted = common if utterances == "common" else keys[name]
        folders[name] = out / name
        hours[name], digest = _write(name, shards, wanted, LocalStore(out))
        if (first := seen.setdefault(digest, name)) != name:
            same_audio[name] = first
    write_json(out / "sets.json", {"utterances": utterances, "common": len(common), "hours": hours})
    return AlignedSets(folders, len(common), hours, same_audio)


def _keys(name: str, shards: Sequence[Shard]) -> set[str]:
    """Return the keys of a set, and refuse one that comes twice."""
    found: set[str] = set()
    for shard in shards:
        for clip in clips(shard):
            if clip.key in found:
                raise DataError(f"set {name}, shard {shard}: utterance {clip.key} comes twice; give each shard once")
            found.add(clip.key)
    return found


def _write(name: str, shards: Sequence[Shard], wanted: set[str], store: LocalStore) -> tuple[float, str]:
    """Write a set's shards, in which the hash of a key decides its place; return hours and a digest of the audio."""
    n_shards = -(-len(wanted) // PER_SHARD)
    seconds, digests = 0.0, {}
    store.prepare()
    with tempfile.TemporaryDirectory(dir=store.root) as folder:
        parts = [Path(folder, f"{i:06}") for i in range(n_shards)]
        for part in parts:
            part.mkdir()
        for shard in shards:
            for clip in clips(shard):
                if clip.key not in wanted:
                    continue
                n_samples, rate = clip.length()
                seconds += n_samples / rate
                stem = parts[_digest(clip.key) % n_shards] / f"{_digest(clip.key):016x}"
                digests[clip.key] = hashlib.sha256(clip.data).hexdigest()
                stem.with_suffix(_suffix(clip)).write_bytes(clip.data)
                stem.with_suffix(".json").write_bytes(clip.about or canonical_json({}))
                stem.with_suffix(".key").write_text(clip.key)
        for i, part in enumerate(parts):
            write_shard(store, f"{name}/{i:06}.tar", map(_sample, sorted(part.glob("*.key"))))
    return seconds / 3600, hashlib.sha256(canonical_json(digests)).hexdigest()


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def _suffix(clip: Encoded) -> str:
    return "." + clip.name.rpartition(".")[2].lower()


def _sample(key_file: Path) -> dict[str, str | bytes]:
    """Return a clip's key and files as a sample of a shard."""
    members = {p.suffix[1:]: p.read_bytes() for p in key_file.parent.glob(f"{key_file.stem}.*") if p != key_file}
    return {"__key__": key_file.read_text(), **members}
