"""Stores for the tests of this folder."""

import boto3
import pytest

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.storage import open_store


@pytest.fixture(scope="session")
def bucket(s3_server):
    boto3.client("s3").create_bucket(Bucket="store")
    return "store"


@pytest.fixture(params=["folder", "bucket"])
def store(request, tmp_path, bucket):
    where = tmp_path if request.param == "folder" else S3Folder(bucket, f"{tmp_path.name}/corpus")
    return open_store(where, S3Config())
