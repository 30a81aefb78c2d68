"""WebDataset shards whose bytes depend on their content alone: written, verified, read; and the clips in them.

The library is imported where it is used: it brings torch, which a process that only waits and exports does without.
"""

import hashlib
import os
import tarfile
from collections.abc import Collection, Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO, Literal

from clean_corpus.pipeline.audio import decode, encode, loudness
from clean_corpus.pipeline.core.compute_lock import begin_computing
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.storage.base import Store

Sample = dict[str, Any]


def write_shard(store: Store, key: str, samples: Iterable[Sample]) -> Shard | None:
    """Write samples (`__key__` and extension -> bytes) as one tar, in their order; None and no file if there are none.

    Source: webdataset.TarWriter with fixed mtime and owner, so equal samples give equal bytes.
    Raises: DataError if a sample's key has a dot or a slash or comes twice (WebDataset would merge or misread it).
    """
    import webdataset

    remaining = iter(samples)
    first = next(remaining, None)
    if first is None:
        return None
    seen: set[str] = set()
    with store.writer(key) as file:
        with webdataset.TarWriter(file, encoder=False, mtime=0) as tar:
            for sample in chain([first], remaining):
                name = sample["__key__"]
                if "." in name or "/" in name or name in seen:
                    raise DataError(f"shard {key}: sample key {name!r} has a dot or a slash, or comes twice")
                seen.add(name)
                tar.write(sample)
        size = file.tell()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Shard(key, digest, size, len(seen))


def read_shard(store: Store, shard: Shard) -> Iterator[Sample]:
    """Yield the samples of a tar as bytes, one at a time; nothing is unpickled.

    Raises: DataError if the tar is missing, has other bytes than it was written with, or names outside it.
    """
    from webdataset.tariterators import group_by_keys, tar_file_expander

    try:
        with store.opened(shard.key) as file:
            begin_computing()
            _refuse_other(shard, file)
            for sample in group_by_keys(tar_file_expander([{"url": shard.key, "stream": file}])):
                name = sample["__key__"]
                if name.startswith("/") or ".." in name.split("/"):
                    raise DataError(f"shard {shard.key}: member {name!r} points outside the shard")
                yield sample
    except FileNotFoundError:
        raise DataError(f"shard {shard.key}: not there, {shard.size} bytes were written; run again") from None


def read_flac(store: Store, shard: Shard) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the FLAC file of each clip of a tar, one at a time.

    Raises: DataError as read_shard.
    """
    try:
        with store.opened(shard.key) as file:
            begin_computing()
            _refuse_other(shard, file)
            with tarfile.open(fileobj=file, mode="r|") as tar:
                for member in tar:
                    tar.members = []  # or every header of the tar stays in memory
                    if member.isreg() and member.name.endswith(".flac"):
                        yield member.name.removesuffix(".flac"), tar.extractfile(member).read()
    except FileNotFoundError:
        raise DataError(f"shard {shard.key}: not there, {shard.size} bytes were written; run again") from None


def _refuse_other(shard: Shard, file: BinaryIO) -> None:
    found = file.seek(0, os.SEEK_END)
    if found != shard.size:
        raise DataError(f"shard {shard.key}: {found} bytes, written were {shard.size}; delete it and run again")
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != shard.sha256:
        raise DataError(
            f"shard {shard.key}: sha256 {digest[:12]}, written was {shard.sha256[:12]}; delete it, run again"
        )
    file.seek(0)


# ---- clips -----------------------------------------------------------------------------------------------------


def read_clips(store: Store, shard: Shard, clip_ids: Collection[str]) -> Iterator[tuple[str, Audio]]:
    """Yield those clips of a shard and their samples, one at a time, in the order of the shard.

    Shapes: samples (N,), full scale +-1.
    Raises: DataError as read_shard.
    """
    for sample in read_shard(store, shard):
        if sample["__key__"] in clip_ids:
            yield sample["__key__"], decode.decode(sample["flac"])[0]


def encode_clip(x: Audio, sample_rate: int, *, bits: Literal[16, 24]) -> bytes:
    """Encode a clip as FLAC, scaled down if it exceeds full scale.

    Shapes: x (N,), N >= 1.
    """
    return encode.encode_flac(loudness.within_full_scale(x), sample_rate, bits=bits)
