"""Training from WebDataset shards of any size: speech and noise are streamed, a bounded number of clips at a time.

Indices are cut into blocks of an epoch's length. In block b the shards come in an order drawn from (seed, b), and each
pair takes one clip of speech and one of noise from a buffer that the stream refills. So pair i is a function of
(seed, i) alone, as it is for recordings in memory: the same one in any number of workers, and after a resume, which
starts where a block does. To read on to an index costs reading the clips before it in the block, which are not decoded.
Blocks draw their order independently of each other: shards that a short epoch does not reach come in others.
"""

import glob
import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from torch.utils.data import Dataset

from enhancers.mixing import (
    PAUSE_DRAWS,
    MixConfig,
    Mixtures,
    Recording,
    at_speed,
    draw_pair,
    is_pause,
    random_cut,
    simulated_rooms,
)
from pipeline.errors import ConfigError, DataError
from pipeline.s3 import SCHEME, S3Object, find_objects
from pipeline.synthetic import Audio

MEMBERS = (".flac", ".wav", ".ogg")  # decoded by libsndfile; other members are passed over, nothing is unpickled
END_BYTES = 1024  # zeros that every tar ends with
SHORTEST_S = 0.1  # clips of noise below are skipped: a hundred of them would be needed for one pair


Shard = Path | S3Object


def find_shards(places: Sequence[str | Path], option: str) -> list[Shard] | None:
    """The .tar files or objects that folders, globs, files and s3:// places name; None for folders of recordings.

    Raises: ConfigError if a place is not there, or if some hold shards and others recordings; DataError if a glob
    or an s3:// place has no .tar.
    """
    found: list[Shard] = []
    recordings: list[Path] = []
    for place in places:
        named = _at_place(place, option)
        found += named
        if not named:
            recordings.append(Path(place))
    if found and recordings:
        raise ConfigError(
            f"{option}: {found[0]} is a shard, {recordings[0]} a folder without shards; give shards or recordings"
        )
    return found or None


def _at_place(place: str | Path, option: str) -> Sequence[Shard]:
    """Shards that one place names; none for a local folder without any."""
    if isinstance(place, str) and place.startswith(SCHEME):
        if objects := find_objects(place, ".tar"):
            return objects
        raise DataError(f"{option} {place}: no .tar there; recordings in a bucket are read as shards")
    path = Path(place)
    if path.is_dir():
        return sorted(path.glob("*.tar"))
    if path.is_file():
        if path.suffix != ".tar":
            raise ConfigError(f"{option} {place}: neither a folder nor a .tar")
        return [path]
    if glob.has_magic(str(place)):
        if tars := sorted(Path(p) for p in glob.glob(str(place), recursive=True) if p.endswith(".tar")):
            return tars
        raise DataError(f"{option} {place}: matches no .tar")
    raise ConfigError(f"{option} {place}: no such folder or .tar")


def hold_out_shards(shards: Sequence[Shard], share: float, seed: int) -> tuple[list[Shard], list[Shard]]:
    """Shards to train with and shards to validate with: whole ones, since who speaks in them is not known beforehand.

    Raises: DataError if there is only one.
    """
    if len(shards) < 2:
        raise DataError(f"{shards[0]} is the only shard; validation takes whole shards, so at least two are needed")
    order = np.random.default_rng((seed, 7)).permutation(len(shards))
    held = {shards[i] for i in order[: min(len(shards) - 1, max(1, round(share * len(shards))))]}
    return [s for s in shards if s not in held], [s for s in shards if s in held]


@dataclass(frozen=True)
class Encoded:
    """One audio member of a tar, not decoded."""

    shard: Shard
    name: str
    data: bytes

    def decode(self, sample_rate: int) -> Audio:
        """The mean of all channels at a rate, (N,).

        Raises: DataError that names the member if it cannot be decoded, is empty or is not finite.
        """
        try:
            audio, rate = soundfile.read(io.BytesIO(self.data), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise DataError(f"shard {self.shard}: {self.name}: {error.error_string}") from None
        mono = soxr.resample(audio.mean(1), rate, sample_rate)
        if not len(mono) or not np.isfinite(mono).all():
            raise DataError(f"shard {self.shard}: {self.name}: {len(mono)} samples, or one that is not finite")
        return mono


def _opened(shard: Shard) -> AbstractContextManager[BinaryIO]:
    return shard.open("rb") if isinstance(shard, Path) else shard.opened()


def clips(shard: Shard) -> Iterator[Encoded]:
    """Audio members of a tar in their order, one at a time; an object of a bucket lies in a temporary file meanwhile.

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
            for member in tar:
                tar.members = []  # or every header of the tar stays in memory
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise DataError(f"shard {shard}: member {member.name!r} points outside the shard")
                if member.isreg() and member.name.lower().endswith(MEMBERS):
                    yield Encoded(shard, member.name, tar.extractfile(member).read())
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"shard {shard}: {error}") from None


class Shuffled:
    """An endless stream of the clips of some shards through a buffer; what it holds is a function of the key alone.

    Raises: DataError if no shard holds a clip.
    """

    def __init__(self, shards: Sequence[Shard], held: int, key: tuple[int, ...]) -> None:
        self._shards, self._rng = shards, np.random.default_rng(key)
        self._stream = self._passes()
        self.held = list(islice(self._stream, held))

    def _passes(self) -> Iterator[Encoded]:
        while True:
            found = False
            for i in self._rng.permutation(len(self._shards)):
                for clip in clips(self._shards[i]):
                    found = True
                    yield clip
            if not found:
                raise DataError(f"no {' '.join(MEMBERS)} in {len(self._shards)} shards, of which {self._shards[0]}")

    def take(self) -> Encoded:
        """A random held clip; the stream's next one takes its place."""
        place = self._rng.integers(len(self.held))
        clip, self.held[place] = self.held[place], next(self._stream)
        return clip


class ShardMixtures(Dataset):
    """Pairs of streamed speech and noise, of which one may lie in memory as `Mixtures` has it.

    Shapes: item -> (noisy, clean), each (seconds * sample_rate,) float32 in [-1, 1].
    Raises: ConfigError if speech_shares is set and speech is streamed: shards are read in turn.
    """

    def __init__(
        self,
        speech: Sequence[Shard] | Mapping[str, Sequence[Recording]],
        noise: Sequence[Shard] | Sequence[Audio],
        config: MixConfig,
        *,
        seed: int,
        length: int,
        rooms: Sequence[Audio] | None = None,
    ) -> None:
        self.memory, self.shards = None, []
        if isinstance(speech, Mapping):
            self.memory = Mixtures(speech, [], config, seed=seed, length=length, rooms=[])
        elif config.speech_shares:
            raise ConfigError("mix.speech_shares divides folders of recordings; shards of speech are read in turn")
        else:
            self.shards = list(speech)
        self.noise_shards = [x for x in noise if isinstance(x, Shard)]
        self.tracks = [x for x in noise if not isinstance(x, Shard)]
        self.config, self.seed, self.length = config, seed, length
        self.rooms = simulated_rooms(config, seed) if rooms is None else list(rooms)
        self._reader: _Block | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Audio, Audio]:
        block, position = divmod(index, self.length)
        if self._reader is None or self._reader.number != block or self._reader.position > position:
            self._reader = _Block(self, block)
        clip = self._reader.advance(position)
        source = _Streamed(self, self._reader, clip)
        return draw_pair(np.random.default_rng((self.seed, 1, index)), source, self.rooms, self.config)


class _Block:
    """Where the streams of one block stand."""

    def __init__(self, pairs: ShardMixtures, number: int) -> None:
        self.number, self.position, held = number, 0, pairs.config.shuffle_clips
        self.voices = Shuffled(pairs.shards, held, (pairs.seed, 2, number)) if pairs.shards else None
        self.noises = Shuffled(pairs.noise_shards, held, (pairs.seed, 3, number)) if pairs.noise_shards else None

    def advance(self, position: int) -> Encoded | None:
        """The clip of speech, if that is streamed, at a position that was not passed yet."""
        while True:
            clip = self.voices.take() if self.voices else None
            if self.noises:
                self.noises.take()
            self.position += 1
            if self.position > position:
                return clip


class _Streamed:
    """What one pair is drawn from: its clip, and what the buffers hold at its position."""

    def __init__(self, pairs: ShardMixtures, block: _Block, clip: Encoded | None) -> None:
        self._pairs, self._config, self._block, self._clip = pairs, pairs.config, block, clip
        self.has_noise = bool(pairs.tracks or block.noises)

    def speech(self, rng: np.random.Generator, n: int) -> Audio:
        if self._clip is None:
            return self._pairs.memory.speech(rng, n)
        samples = self._clip.decode(self._config.sample_rate)
        for _ in range(PAUSE_DRAWS):
            cut = at_speed(rng, samples, n, self._config.speech_speed)
            if not is_pause(cut, samples):
                break
        return cut

    def voice(self, rng: np.random.Generator, n: int) -> Audio:
        if self._clip is None:
            return self._pairs.memory.voice(rng, n)
        return random_cut(rng, self._any(rng, self._block.voices), n)

    def noise(self, rng: np.random.Generator, n: int) -> Audio:
        if self._pairs.tracks:
            track = self._pairs.tracks[rng.integers(len(self._pairs.tracks))]
        else:  # clips in a row until a cut of any speed fits, each at unit level
            parts: list[Audio] = []
            for _ in range(100):
                part = self._any(rng, self._block.noises)
                rms = float(np.sqrt(np.mean(part**2)))
                if rms > 1e-4 and len(part) >= SHORTEST_S * self._config.sample_rate:
                    parts.append(part / np.float32(rms))
                if sum(map(len, parts)) >= 2 * n:
                    break
            track = np.concatenate(parts) if parts else np.zeros(n, np.float32)
        return at_speed(rng, track, n, self._config.noise_speed)

    def _any(self, rng: np.random.Generator, clips: Shuffled) -> Audio:
        return clips.held[rng.integers(len(clips.held))].decode(self._config.sample_rate)
