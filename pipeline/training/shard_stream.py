"""Endless shuffled streams of the clips of WebDataset shards, local or in a bucket, for training.

The indices of a training are cut into blocks of an epoch's length. In block b the shards come in an order drawn from
(seed, b), and each index takes one clip from a buffer that the stream refills. So the clip of index i is a function of
(seed, i) alone: the same in any number of workers, and after a resume, which starts where a block does. Reading on to
an index costs reading the clips before it in the block, without decoding them. Each block draws its own order, so the
shards that a short epoch does not reach come in another.
"""

import glob
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from clean_corpus.pipeline.audio import decode as audio
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import SCHEME, parse_location
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.s3_objects import S3Object, find_objects
from clean_corpus.pipeline.training.held_out import By, chosen

MEMBERS = (".flac", ".wav", ".ogg")  # decoded by libsndfile; of others only .json is read, nothing is unpickled
MAX_BYTES = 2**28  # of one clip's members together
END_BYTES = 1024  # zeros that every tar ends with

Shard = Path | S3Object


def find_shards(locations: Sequence[str | Path], option: str) -> list[Shard] | None:
    """Return the .tar files or objects that folders, globs, files and s3:// locations name.

    None if all are folders of recordings.
    Raises: ConfigError if a location does not exist, or if some hold shards and others recordings; DataError if a
    glob or an s3:// location has no .tar.
    """
    found: list[Shard] = []
    recordings: list[Path] = []
    for where in locations:
        named = _at_location(where, option)
        found += named
        if not named:
            recordings.append(Path(where))
    if found and recordings:
        raise ConfigError(
            f"{option}: {found[0]} is a shard, {recordings[0]} a folder without shards; give shards or recordings"
        )
    return found or None


def _at_location(where: str | Path, option: str) -> Sequence[Shard]:
    """Return the shards that one location names; none for a local folder without any."""
    if isinstance(where, str) and where.startswith(SCHEME):
        if objects := find_objects(where, ".tar"):
            return _of_newest(str(where), objects)
        raise DataError(f"{option} {where}: no .tar there; recordings in a bucket are read as shards")
    path = Path(where)
    if path.is_dir():
        return _of_newest(str(path.absolute()), sorted(path.glob("*.tar")))
    if path.is_file():
        if path.suffix != ".tar":
            raise ConfigError(f"{option} {where}: neither a folder nor a .tar")
        return [path]
    if glob.has_magic(str(where)):
        if tars := sorted(Path(p) for p in glob.glob(str(where), recursive=True) if p.endswith(".tar")):
            return tars
        raise DataError(f"{option} {where}: matches no .tar")
    raise ConfigError(f"{option} {where}: no such folder or .tar")


def _of_newest(folder: str, found: list[Shard]) -> list[Shard]:
    """Return, of the tars in OUTPUT/shards, those that the newest version names: older ones lie beside them."""
    output, _, name = folder.rstrip("/").rpartition("/")
    if name != "shards":
        return found
    newest = versions.latest(open_store(parse_location(output), DEFAULT_S3))
    named = {shard.key.rpartition("/")[2] for shard in newest.shards} if newest else None
    return found if named is None else [shard for shard in found if shard.name in named]


def hold_out_shards(
    shards: Sequence[Shard], share: float, seed: int, by: By = "draw"
) -> tuple[list[Shard], list[Shard]]:
    """Split shards into those to train with and those to validate with: whole ones, since their speakers are unknown.

    Raises: DataError if there is only one.
    """
    if len(shards) < 2:
        raise DataError(f"{shards[0]} is the only shard; validation takes whole shards, so at least two are needed")
    named = {"/".join(str(shard).split("/")[-2:] if by == "name" else [str(shard)]): shard for shard in shards}
    held = {named[name] for name in chosen([*named], share, by, np.random.default_rng((seed, 7)))}
    return [s for s in shards if s not in held], [s for s in shards if s in held]


@dataclass(frozen=True)
class Encoded:
    """One audio member of a tar, not decoded yet."""

    shard: Shard
    name: str
    data: bytes
    about: bytes = b""  # the .json member of the same key, if one follows

    @property
    def key(self) -> str:
        """The name without its extensions: what WebDataset calls __key__."""
        return _key(self.name)

    @property
    def speaker(self) -> str:
        """The speaker that the clip's .json names, "" if it names none."""
        return str(json.loads(self.about or b"{}").get("speaker") or "")

    def length(self) -> tuple[int, int]:
        """Return the number of samples and their rate in Hz, by the header.

        Raises: DataError that names the member if it has none.
        """
        try:
            return audio.length(self.data)
        except DataError as error:
            raise DataError(f"shard {self.shard}: {self.name}: {error}") from None

    def decode(self, sample_rate: int) -> Audio:
        """Decode the mean of all channels at a rate, (N,), within full scale, which a resampler may overshoot.

        Raises: DataError that names the member if it cannot be decoded, is empty or is not finite.
        """
        try:
            x, rate = audio.decode(self.data, mix=True)
        except DataError as error:
            raise DataError(f"shard {self.shard}: {self.name}: {error}") from None
        mono = x if rate == sample_rate else np.clip(resample(x, rate, sample_rate), -1, 1)
        if not len(mono) or not np.isfinite(mono).all():
            raise DataError(f"shard {self.shard}: {self.name}: {len(mono)} samples, or one that is not finite")
        return mono


def _key(name: str) -> str:
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _opened(shard: Shard) -> AbstractContextManager[BinaryIO]:
    return shard.open("rb") if isinstance(shard, Path) else shard.opened()


def clips(shard: Shard) -> Iterator[Encoded]:
    """Yield the audio members of a tar in their order; an object of a bucket lies in a temporary file meanwhile.

    Raises: DataError if it is damaged or has a member with an absolute name or one that leads outside.
    """
    try:
        with _opened(shard) as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - END_BYTES))
            if file.read() != bytes(END_BYTES):  # tarfile takes a cut between two members for the end
                raise DataError(f"shard {shard}: does not end as a tar does; fetch it again")
            file.seek(0)
            tar = tarfile.open(fileobj=file, mode="r|")  # noqa: SIM115 - reads from `file`, holds nothing else
            waiting: list[Encoded] = []  # of one key, until its last member is passed
            for member in tar:
                tar.members = []  # or every header of the tar stays in memory
                name = member.name
                if name.startswith("/") or ".." in name.split("/"):
                    raise DataError(f"shard {shard}: member {name!r} points outside the shard")
                if not member.isreg():
                    continue
                held = sum(len(clip.data) for clip in waiting if clip.key == _key(name))
                if member.issparse() or member.size + held > MAX_BYTES:
                    raise DataError(
                        f"shard {shard}: {name!r} has {member.size} bytes, {MAX_BYTES} are allowed; split it"
                    )
                if waiting and _key(name) != waiting[0].key:
                    yield from waiting
                    waiting = []
                if name.lower().endswith(MEMBERS):
                    waiting.append(Encoded(shard, name, tar.extractfile(member).read()))
                elif name.endswith(".json") and waiting:
                    about = tar.extractfile(member).read()
                    waiting = [replace(clip, about=about) for clip in waiting]
            yield from waiting
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"shard {shard}: {error}") from None


class Shuffled:
    """Stream the clips of some shards without end through a buffer whose content is a function of the key alone.

    Raises: DataError if no shard holds a clip that `wanted` lets through.
    """

    def __init__(
        self, shards: Sequence[Shard], held: int, key: tuple[int, ...], wanted: Callable[[Encoded], bool] | None = None
    ) -> None:
        self._shards, self._wanted, self._rng = shards, wanted, np.random.default_rng(key)
        self._stream = self._passes()
        self.held = list(islice(self._stream, held))

    def _passes(self) -> Iterator[Encoded]:
        while True:
            found = False
            for i in self._rng.permutation(len(self._shards)):
                for clip in filter(self._wanted, clips(self._shards[i])) if self._wanted else clips(self._shards[i]):
                    found = True
                    yield clip
            if not found:
                raise DataError(f"no {' '.join(MEMBERS)} in {len(self._shards)} shards, of which {self._shards[0]}")

    def take(self) -> Encoded:
        """Take a random clip from the buffer; the stream's next one takes its position."""
        position = self._rng.integers(len(self.held))
        clip, self.held[position] = self.held[position], next(self._stream)
        return clip


class Blocks:
    """Read several streams in step, one clip of each for every index; the head of this file says how.

    `begin(b)` returns the streams of block b, as they stand before its first index.
    """

    def __init__(self, length: int, begin: Callable[[int], Sequence[Shuffled]]) -> None:
        self._length, self._begin = length, begin
        self._block, self._position = -1, 0
        self.streams: Sequence[Shuffled] = ()

    def at(self, index: int) -> list[Encoded]:
        """Return the clips of an index, one of each stream; the streams stand behind it afterwards."""
        block, position = divmod(index, self._length)
        if block != self._block or self._position > position:
            self.streams, self._block, self._position = self._begin(block), block, 0
        while True:
            taken = [stream.take() for stream in self.streams]
            self._position += 1
            if self._position > position:
                return taken
