"""Aligned sets: versions of one corpus with the same utterances, in the same shards, in the same order."""

import hashlib
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from clean_corpus.pipeline.core.child_processes import temporary_folder
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.files import write_json
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.training.shard_stream import Encoded, Shard, clips
from clean_corpus.vocoder.comparison import splits
from clean_corpus.vocoder.comparison.splits import SIDES, Said, Side, Splits

PER_SHARD = 64

Utterances = Literal["common", "all"]


class AlignedSets(NamedTuple):
    """Sets on disk: a folder for each with the shards of its splits, the number of utterances that all have, hours.

    `hours` are those of train. `same_audio` names, for a set that holds the very files of an earlier one, that earlier
    set; `audio` is a digest of each set's files. `test` are the utterances to speak, `said` their texts.
    """

    folders: dict[str, Path]
    common: int
    hours: dict[str, float]
    same_audio: dict[str, str]
    audio: dict[str, str]
    splits: Splits
    test: list[str]
    said: dict[str, Said]

    def shards(self, name: str, side: Side) -> list[Path]:
        """Return the shards of one split of a set."""
        return sorted((self.folders[name] / side).glob("*.tar"))


def align(
    sets: Mapping[str, Sequence[Shard]],
    out: Path,
    utterances: Utterances = "common",
    *,
    test: int,
    validation_share: float,
    validation_most: int,
    seed: int,
    by_speaker: bool = False,
) -> AlignedSets:
    """Write each set anew below `out`, so that trainings with one seed hear the same utterances in the same order.

    "common" keeps the utterances that all sets have; "all" keeps every utterance, for a comparison at unequal hours. A
    set is read as a stream, twice; memory holds the clips of one shard at most, and all texts. An utterance is on the
    same side in all sets: `test` of them are to be spoken, a share up to `validation_most` watches the trainings. With
    `by_speaker` vocoders will be told who speaks.
    Raises: ConfigError with fewer than two sets, or as `_require_speakers`; DataError if they have no utterance in
    common, or a set has one twice, or as splits.split.
    """
    if len(sets) < 2:
        raise ConfigError(f"--set was given {len(sets)} times; a comparison needs two sets or more")
    found = {name: _said(name, shards) for name, shards in sets.items()}
    common = set.intersection(*(set(said) for said in found.values()))
    if not common:
        counts = ", ".join(f"{name} {len(said)} (first: {min(said, default='none')})" for name, said in found.items())
        raise DataError(f"the sets have no utterance in common: {counts}; give versions of one corpus, with its keys")
    said = _merged(found.values())
    wanted = common if utterances == "common" else said.keys()
    validation = min(validation_most, round(validation_share * len(common)))
    made = splits.split({key: said[key] for key in sorted(wanted)}, common, test=test, validation=validation, seed=seed)
    if by_speaker:
        _require_speakers(found, made)
    folders, hours, audio = {}, {}, {}
    for name, shards in sets.items():
        folders[name] = out / name
        hours[name], audio[name] = _write(name, shards, made.sides, LocalStore(out))
    same_audio = {
        name: first for name in sets if (first := next(other for other in sets if audio[other] == audio[name])) != name
    }
    write_json(out / "sets.json", {"utterances": utterances, "common": len(common), "hours": hours})
    spoken = sorted(made.of("test"), key=_digest)
    return AlignedSets(folders, len(common), hours, same_audio, audio, made, spoken, {key: said[key] for key in spoken})


def _said(name: str, shards: Sequence[Shard]) -> dict[str, Said]:
    """Return what a set says of each of its utterances, and refuse one that comes twice."""
    found: dict[str, Said] = {}
    for shard in shards:
        for clip in clips(shard):
            if clip.key in found:
                raise DataError(f"set {name}, shard {shard}: utterance {clip.key} comes twice; give each shard once")
            about = json.loads(clip.about or b"{}")
            fields = (about.get(field) or None for field in ("text", "language", "source"))
            found[clip.key] = Said(*fields, speaker=clip.speaker)
    return found


def _merged(found: Iterable[Mapping[str, Said]]) -> dict[str, Said]:
    """Return what is said of each utterance by the first set that says it."""
    merged: dict[str, Said] = {}
    for said in found:
        for key, about in said.items():
            merged[key] = Said(*(one or other for one, other in zip(merged.get(key, Said()), about, strict=True)))
    return merged


def _require_speakers(found: Mapping[str, Mapping[str, Said]], made: Splits) -> None:
    """Refuse sets whose vocoders would speak an utterance as another speaker than the others do, or as one untrained.

    Raises: ConfigError that names the utterance and the sets.
    """
    remedy = "give its .json another speaker, or set vocoder.speaker_conditioning=false"
    trained: dict[str, set[str]] = {name: set() for name in found}
    for key in (key for key, side in made.sides.items() if side):
        named = {name: said[key].speaker for name, said in found.items() if key in said}
        first = next(iter(named))
        for name, speaker in named.items():
            if speaker != named[first]:
                raise ConfigError(
                    f"utterance {key}: its speaker is {named[first]!r} in set {first} and {speaker!r} in set {name}; "
                    f"{remedy}"
                )
            if made.sides[key] == "train":
                trained[name].add(speaker)
    for key in made.of("test"):
        for name, speakers in trained.items():
            if (speaker := found[name][key].speaker) not in speakers:
                raise ConfigError(
                    f"set {name} has nothing of speaker {speaker!r} to train on, as whom its vocoder is to speak "
                    f"utterance {key}; {remedy}"
                )


def _write(
    name: str, shards: Sequence[Shard], sides: Mapping[str, Side | None], store: LocalStore
) -> tuple[float, str]:
    """Write a set's shards, in which the hash of a key decides its place; return hours of train, and a digest of all.

    A shard of another training that lay there is removed.
    """
    counts = Counter(sides.values())
    seconds, digests = 0.0, {}
    store.prepare()
    shutil.rmtree(store.root / name, ignore_errors=True)
    with temporary_folder("tmp-", parent=str(store.root)) as folder:
        parts = {side: [Path(folder, side, f"{i:06}") for i in range(-(-counts[side] // PER_SHARD))] for side in SIDES}
        for part in itertools.chain(*parts.values()):
            part.mkdir(parents=True)
        for shard in shards:
            for clip in clips(shard):
                side = sides.get(clip.key)
                if side is None:
                    continue
                if side == "train":
                    n_samples, rate = clip.length()
                    seconds += n_samples / rate
                stem = parts[side][_digest(clip.key) % len(parts[side])] / f"{_digest(clip.key):016x}"
                digests[clip.key] = hashlib.sha256(clip.data).hexdigest()
                stem.with_suffix(_suffix(clip)).write_bytes(clip.data)
                stem.with_suffix(".json").write_bytes(clip.about or canonical_json({}))
                stem.with_suffix(".key").write_text(clip.key)
        for side, folders in parts.items():
            for i, part in enumerate(folders):
                write_shard(store, f"{name}/{side}/{i:06}.tar", map(_sample, sorted(part.glob("*.key"))))
    return seconds / 3600, hashlib.sha256(canonical_json(digests)).hexdigest()


def _digest(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")


def _suffix(clip: Encoded) -> str:
    return "." + clip.name.rpartition(".")[2].lower()


def _sample(key_file: Path) -> dict[str, str | bytes]:
    """Return a clip's key and files as a sample of a shard."""
    members = {p.suffix[1:]: p.read_bytes() for p in key_file.parent.glob(f"{key_file.stem}.*") if p != key_file}
    return {"__key__": key_file.read_text(), **members}
