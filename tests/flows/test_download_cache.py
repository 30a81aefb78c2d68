"""Weights of a bucket are downloaded once per state."""

from pathlib import Path

import pytest

from clean_corpus.flows import download_cache
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.storage import staging

BUCKET = "weights"


def test_weights_are_fetched_once_for_each_etag(client, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("best.safetensors", "best.json", "best.recordings.json"):
        client.put_object(Bucket=BUCKET, Key=f"voice/{name}", Body=name.encode())
    voice = f"s3://{BUCKET}/voice"
    weights = download_cache.weights.__wrapped__  # as in a new process
    first = weights(voice)
    assert first == weights(f"{voice}/best.safetensors") and Path(first).read_bytes() == b"best.safetensors"
    for name in ("best.json", "best.recordings.json"):
        assert Path(first).with_name(name).read_bytes() == name.encode()
    with monkeypatch.context() as patch:
        patch.setattr(staging, "download_objects", None)
        assert weights(voice) == first
    client.put_object(Bucket=BUCKET, Key="other/a.safetensors", Body=b"1")
    with pytest.raises(ConfigError, match=r"other/a\.json: no such weights"):
        weights(f"s3://{BUCKET}/other/a.safetensors")
    assert len(list((tmp_path / "clean-corpus" / "weights").iterdir())) == 1
    client.put_object(Bucket=BUCKET, Key="other/a.json", Body=b"{}")
    before = weights(f"s3://{BUCKET}/other/a.safetensors")
    client.put_object(Bucket=BUCKET, Key="other/a.safetensors", Body=b"2")
    after = weights(f"s3://{BUCKET}/other/a.safetensors")
    assert [Path(path).read_bytes() for path in (before, after)] == [b"1", b"2"]
    assert weights("default-causal") == "default-causal"
    assert weights(f"sgmse+:s3://{BUCKET}/other/a.json").startswith(f"sgmse+:{tmp_path}")
