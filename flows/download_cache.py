"""Weights and recorded rooms that a command names in a bucket, downloaded once per state into the user's cache."""

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from clean_corpus.enhancers import checkpoints
from clean_corpus.pipeline.core.child_processes import temporary_folder
from clean_corpus.pipeline.core.config import DEFAULT_S3, S3Config
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import SCHEME, S3Folder, parse_location
from clean_corpus.pipeline.core.surroundings import user_cache
from clean_corpus.pipeline.storage import s3_objects, staging
from clean_corpus.pipeline.storage.base import explain_disk_errors
from clean_corpus.pipeline.storage.s3_objects import S3Object
from clean_corpus.pipeline.training import recording_list

WEIGHTS = ".safetensors"


def folder() -> Path:
    """Return the folder where downloads stay for all later commands of this user."""
    return user_cache() / "weights"


@cache
def weights(name: str, config: S3Config = DEFAULT_S3) -> str:
    """Return a name or path of weights that `enhancers` and `vocoder` can load; download those that lie in a bucket.

    In a bucket: --out of a training, or a .safetensors file, whose card and list of recordings are downloaded too, or
    sgmse+:s3://BUCKET/FILE. Within a process a name stands for the same weights for good.

    Raises: ConfigError if the weights or their card are absent; DataError if they cannot be read.

    >>> weights("default-causal")
    'default-causal'
    """
    system, found, rest = name.partition(SCHEME)
    if not found or system not in ("", f"{checkpoints.SGMSE}:"):
        return name
    where = parse_location(found + rest)
    if not system and not where.name.endswith(WEIGHTS):
        where = where / "best.safetensors"
    files = [where.prefix] if system else [where.prefix, f"{where.prefix.removesuffix(WEIGHTS)}.json"]
    objects = {o.name: o for o in (_existing(where.bucket, key, config) for key in files)}
    if not system:
        listed = _found(where.bucket, where.prefix.removesuffix(WEIGHTS) + recording_list.SUFFIX, config)
        objects |= {listed.name: listed} if listed else {}
    return system + str(_cached(objects, config) / where.name)


def upper_band(enhancer: str, asked: str | None, config: S3Config = DEFAULT_S3) -> str | None:
    """Return a name or path of weights for the band above an enhancer's own, downloaded as `weights`; None for none.

    Raises: ConfigError and DataError as `weights`; ConfigError if the weights are not for a band above.
    """
    name = checkpoints.upper_band(enhancer, asked)
    if name is None:
        return None
    checkpoints.require_upper_band(found := weights(name, config))
    return found


def rooms(name: str) -> str:
    """Return a value of a training's `mix.rirs` that is local; download recorded rooms that lie in a bucket.

    Raises: ConfigError if nothing lies there; DataError if it cannot be read.

    >>> rooms("simulated")
    'simulated'
    """
    if not isinstance(where := parse_location(name), S3Folder):
        return name
    if not (objects := staging.objects_below(where)):
        raise ConfigError(f"mix.rirs {where}: no such folder; give one, or 'simulated'")
    return str(_cached(objects, DEFAULT_S3))


def _cached(objects: Mapping[str, S3Object], config: S3Config) -> Path:
    """Return the cache's folder of these objects, downloaded if need be; its name depends on their keys and etags."""
    digest = hashlib.sha256(repr([(str(o), o.etag) for o in objects.values()]).encode()).hexdigest()
    target = folder() / digest[:32]
    if not target.is_dir():
        with explain_disk_errors(f"cache {target.parent}"):
            target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder("tmp-", parent=str(target.parent)) as temporary:
            staging.download_objects(objects, Path(temporary, "whole"), config)
            try:
                os.rename(Path(temporary, "whole"), target)
            except OSError:
                if not target.is_dir():  # else another process was faster
                    raise
    return target


def _existing(bucket: str, key: str, config: S3Config) -> S3Object:
    found = _found(bucket, key, config)
    if found is None:
        raise ConfigError(
            f"{S3Object(bucket, key)}: no such weights; give the --out of a training, or a .safetensors file with its "
            "card beside it"
        )
    return found


def _found(bucket: str, key: str, config: S3Config) -> S3Object | None:
    found = s3_objects.head(bucket, key, config)
    return found and S3Object(bucket, key, found.etag, found.size)
