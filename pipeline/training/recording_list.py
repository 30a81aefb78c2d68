"""Lists of the recordings that a training heard, beside its weights, and whether others are among them.

A recording is known by two digests, of which either is enough. That of its samples is the same for a WAV and a FLAC
file of one audio. That of its file is what ledgers and shards hold as `source_sha256`, and does not depend on a
decoder, whose version decides the last bit of a lossy recording.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.files import write_whole

if TYPE_CHECKING:
    from clean_corpus.pipeline.training.shard_stream import Encoded, Shard

DIGITS = 12  # of 48 bits: among a million recordings and a list of ten thousand, one in 28,000 finds a false match
SUFFIX = ".recordings.json"
MIXED_FROM = "mixed_from"
"""Key of a clip's .json in a shard: the recordings that were mixed, each as `Digests.text`."""

_NONE = "-"


class Digests(NamedTuple):
    """Digests of a recording's samples and of its file, hexadecimal; `-` where one is not known."""

    samples: str = _NONE
    file: str = _NONE

    @property
    def text(self) -> str:
        """The two in one line, as lists hold them."""
        return f"{self.samples} {self.file}"

    @property
    def known(self) -> list[str]:
        """Those that are known."""
        return [digest for digest in self if digest != _NONE]


def digests(data: bytes, file_sha256: str | None = None) -> Digests:
    """Return the digests of a file's bytes; `file_sha256` is that of the file which they were cut from.

    Bytes that cannot be decoded have no digest of samples.
    """
    from clean_corpus.pipeline.audio.content import samples_md5  # loads numpy, which reading a list does without

    try:
        samples = samples_md5(data)[:DIGITS]
    except DataError:
        samples = _NONE
    return Digests(samples, file_sha256[:DIGITS] if file_sha256 else file_digest(data))


def file_digest(data: bytes) -> str:
    """Return the digest of a file's bytes alone."""
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def of_clip(clip: "Encoded") -> list[Digests]:
    """Return the recordings that a clip of a shard holds: itself, and those that its .json says it was mixed from."""
    about = json.loads(clip.about or b"{}")
    mixed = [parse(text) for text in about.get(MIXED_FROM) or []]
    return [digests(clip.data, about.get("source_sha256")), *mixed]


def of_files(paths: Iterable[Path]) -> Iterator[Digests]:
    """Yield the digests of recordings."""
    for path in paths:
        yield digests(path.read_bytes())


def of_shards(shards: Sequence["Shard"]) -> Iterator[Digests]:
    """Yield the digests of every clip of some shards, and of what they were mixed from.

    Raises: DataError if a shard cannot be read.
    """
    from clean_corpus.pipeline.training.shard_stream import clips

    for shard in shards:
        for clip in clips(shard):
            yield from of_clip(clip)


def parse(text: str) -> Digests:
    """Return the digests of a line.

    Raises: DataError if it is none.

    >>> parse("6a1f0c8d2b3e 0f3c5ab19d24").file
    '0f3c5ab19d24'
    """
    samples, _, file = str(text).partition(" ")
    if not samples or not file:
        raise DataError(f"{MIXED_FROM}: {text!r} is not two digests of a recording, of its samples and of its file")
    return Digests(samples[:DIGITS], file[:DIGITS])


@dataclass(frozen=True)
class RecordingList:
    """Recordings that weights have heard, by kind: speech, noise. `unlisted` are weights before them without a list."""

    recordings: Mapping[str, Collection[Digests]] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many recordings of each kind there are."""
        return {kind: len(found) for kind, found in self.recordings.items()}

    @cached_property
    def _kinds(self) -> dict[str, str]:
        return {
            digest: kind for kind, found in self.recordings.items() for one in found for digest in one.known
        }  # fmt: skip

    def kind(self, recording: Digests) -> str | None:
        """Return as what a recording was heard, None if it was not."""
        return next((self._kinds[digest] for digest in recording.known if digest in self._kinds), None)

    def after(self, name: str, earlier: "RecordingList | None") -> Self:
        """Return the list of weights that began with others, called `name`, whose list is None if there is none."""
        if earlier is None:
            return type(self)(self.recordings, (*self.unlisted, name))
        kinds = dict.fromkeys([*self.recordings, *earlier.recordings])
        joined = {k: {*self.recordings.get(k, ()), *earlier.recordings.get(k, ())} for k in kinds}
        return type(self)(joined, tuple(dict.fromkeys((*self.unlisted, *earlier.unlisted))))


def beside(weights: Path) -> Path:
    """Return where the list of some weights lies.

    >>> beside(Path("voice/best.safetensors")).name
    'best.recordings.json'
    """
    return weights.with_suffix(SUFFIX)


def write(weights: Path, heard: RecordingList) -> None:
    """Write the list of some weights beside them, a line for each recording."""
    lines = {kind: sorted(one.text for one in found) for kind, found in heard.recordings.items()}
    text = json.dumps(lines | {"unlisted": list(heard.unlisted)}, indent=0)
    write_whole(beside(weights), text.encode() + b"\n")


def read(weights: Path) -> RecordingList | None:
    """Read the list of some weights, None if they have none.

    Raises: DataError if the file there is no list.
    """
    path = beside(weights)
    try:
        found = json.loads(path.read_bytes())
        unlisted = tuple(found.pop("unlisted"))
        return RecordingList({kind: {parse(line) for line in lines} for kind, lines in found.items()}, unlisted)
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{path}: no list of recordings ({error}); copy it anew, or remove it") from None
