"""The audio of an export: clips of a tar decoded, resampled and written, as files and in lhotse's Shar."""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from clean_corpus.pipeline.audio import decode, encode, loudness
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.export import manifests
from clean_corpus.pipeline.export.layouts import Layout
from clean_corpus.pipeline.export.plan import SHAR, Unit
from clean_corpus.pipeline.export.utterances import Side, Utterance
from clean_corpus.pipeline.storage.base import Store


@dataclass(frozen=True)
class Written:
    """What was written of a unit: the length of each clip, samples, and the size of each file, bytes."""

    unit: str
    n_samples: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)


def write_unit(source: Store, target: Store, unit: Unit, layout: Layout, sample_rate: int) -> Written:
    """Write the clips of a unit at a rate; their level stays what it is.

    Raises: DataError if the tar is not what was written, or lacks a clip; StorageError if DEST cannot be written.
    """
    wanted = {u.clip_id: (side, u) for side, u in unit.rows}
    written = Written(unit.name)
    with ExitStack() as stack:
        shar = {side: stack.enter_context(_shar(target, unit, side)) for side in _sides(unit)} if layout.shar else {}
        for name, flac in shards.read_flac(source, unit.shard):
            if name not in wanted:
                continue
            side, u = wanted.pop(name)
            data, n_samples = exported(flac, sample_rate, "wav" if str(u.path).endswith(".wav") else "flac")
            u = replace(u, n_samples=n_samples)
            written.n_samples[u.clip_id] = n_samples
            if u.path:
                target.write(u.path, data)
                written.files[u.path] = len(data)
            if layout.shar:
                shar[side].add(u, data)
    if wanted:
        raise DataError(f"shard {unit.shard.key}: its ledger names {', '.join(sorted(wanted)[:3])}, which it lacks")
    for name in unit.files(layout):
        if name not in written.files:
            written.files[name] = target.size(name) or 0
    return written


def exported(flac: bytes, sample_rate: int, container: str) -> tuple[bytes, int]:
    """Return a clip of a tar at another rate, 16 bit, and its length in samples; a FLAC at that rate as it is.

    Raises: DataError if the clip has a lower rate.
    """
    x, rate = decode.decode(flac)
    if rate < sample_rate:
        raise DataError(
            f"a clip has {rate} Hz, the export {sample_rate}; run the corpus at audio.sample_rate={sample_rate}"
        )
    if rate == sample_rate and container == "flac":
        return flac, len(x)
    y = loudness.within_full_scale(resample(x, rate, sample_rate))
    encoded = encode.encode_wav(y, sample_rate) if container == "wav" else encode.encode_flac(y, sample_rate, bits=16)
    return encoded, len(y)


# ---- Shar ------------------------------------------------------------------------------------------------------


def _sides(unit: Unit) -> list[Side]:
    return sorted({side for side, _ in unit.rows})


class _Shar:
    """One Shar shard: a tar with audio and its description for each cut, and the cuts in the same order.

    Source: lhotse/shar/writers/audio.py and tar.py (KEY.flac, then KEY.json), lhotse/shar/readers/tar.py.
    """

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.cuts: list[dict[str, Any]] = []  # of one tar

    def add(self, u: Utterance, flac: bytes) -> None:
        in_this_tar = {"type": "shar", "source": ""}
        described = json.dumps(manifests.recording(u, in_this_tar), ensure_ascii=False).encode()
        for end, data in (("flac", flac), ("json", described)):
            member = tarfile.TarInfo(f"{u.clip_id}.{end}")
            member.size = len(data)
            self._tar.addfile(member, io.BytesIO(data))
        self.cuts.append(manifests.cut(u, in_this_tar))


@contextmanager
def _shar(target: Store, unit: Unit, side: Side) -> Iterator[_Shar]:
    recording, cuts = (f"shar/{side}/{kind}.{unit.shar}.{end}" for kind, end in SHAR)
    with target.writer(recording) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        shar = _Shar(tar)
        yield shar
    with target.writer(cuts) as file:
        manifests.write_lines(file, shar.cuts)
