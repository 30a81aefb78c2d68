"""WebDataset shards whose bytes depend on their content alone: write, read, verify."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import webdataset
from webdataset.tariterators import group_by_keys, tar_file_expander

from pipeline.errors import DataError
from pipeline.records import Shard
from pipeline.storage import Store, sha256_file

Sample = dict[str, Any]


def write_shard(store: Store, key: str, samples: Iterable[Sample]) -> Shard | None:
    """Write samples (`__key__` and extension -> bytes) as one tar, in their order; None and no file if there are none.

    Source: webdataset.TarWriter with fixed mtime and owner, so equal samples give equal bytes.
    Raises: DataError if a sample's key has a dot or a slash or comes twice (WebDataset would merge or misread it).
    """
    seen: set[str] = set()
    with store.writer(key) as file:
        with webdataset.TarWriter(file, encoder=False, mtime=0) as tar:
            for sample in samples:
                name = sample["__key__"]
                if "." in name or "/" in name or name in seen:
                    raise DataError(f"shard {key}: sample key {name!r} has a dot or a slash, or comes twice")
                seen.add(name)
                tar.write(sample)
        file.flush()
        digest, size = sha256_file(Path(file.name)), file.tell()
    if not seen:
        store.delete(key)
        return None
    return Shard(key, digest, size, len(seen))


def read_shard(store: Store, shard: Shard) -> Iterator[Sample]:
    """Samples of a tar as bytes, one at a time; nothing is unpickled.

    Raises: DataError if the tar is missing, has other bytes than it was written with, or names outside it.
    """
    found = store.size(shard.key)
    if found != shard.size:
        raise DataError(f"shard {shard.key}: {found} bytes, written were {shard.size}; delete it and run again")
    digest = sha256_file(store.path(shard.key))
    if digest != shard.sha256:
        raise DataError(
            f"shard {shard.key}: sha256 {digest[:12]}, written was {shard.sha256[:12]}; delete it, run again"
        )
    with store.path(shard.key).open("rb") as stream:
        for sample in group_by_keys(tar_file_expander([{"url": shard.key, "stream": stream}])):
            name = sample["__key__"]
            if name.startswith("/") or ".." in name.split("/"):
                raise DataError(f"shard {shard.key}: member {name!r} points outside the shard")
            yield sample
