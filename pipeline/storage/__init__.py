"""Local folders and S3 buckets behind one interface."""

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.locations import Location, S3Folder
from clean_corpus.pipeline.storage.base import Store
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.storage.s3 import S3Store


def open_store(root: Location, s3: S3Config) -> Store:
    """Return the store of a location: a folder's or a bucket's."""
    return S3Store(root, s3) if isinstance(root, S3Folder) else LocalStore(root)
