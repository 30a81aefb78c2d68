"""The flow from bucket to bucket: as from folder to folder, nothing twice, and what the network and others do to it."""

import io
import json
import os
import shutil
import tempfile
from itertools import islice

import boto3
import pyarrow.parquet as pq
import pytest
from boto3.s3.transfer import TransferConfig

from clean_corpus.flows import clean_corpus as flow
from clean_corpus.flows.commands.enhance_folder import enhance_folder
from clean_corpus.flows.commands.forget import forget
from clean_corpus.flows.commands.score_folder import score_folder
from clean_corpus.flows.config import RunConfig
from clean_corpus.pipeline.core.config import PipelineConfig, S3Config
from clean_corpus.pipeline.core.config_input import override, validate
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder, parse_location
from clean_corpus.pipeline.corpus import enhance as enhance_stage
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.corpus.forget import check
from clean_corpus.pipeline.corpus.forget_selection import Asked
from clean_corpus.pipeline.corpus.ingest import ingest_group
from clean_corpus.pipeline.demo import corpus as demo
from clean_corpus.pipeline.discover import find_all, manifests
from clean_corpus.pipeline.discover import s3 as s3_discovery
from clean_corpus.pipeline.discover.fetch import local_group
from clean_corpus.pipeline.storage import open_store, s3_client
from clean_corpus.pipeline.storage.base import StorageError
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.faults import FaultyProxy
from tests.support.inline import Inline

CLIPS = 4

pytestmark = pytest.mark.usefixtures("prefect")


@pytest.fixture(autouse=True)
def inline(monkeypatch):
    monkeypatch.setattr(flow, "open_engine", Inline)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder, corpus = tmp_path_factory.mktemp("recordings"), tmp_path_factory.mktemp("corpus")
    demo.write_corpus(corpus, clips=21)
    takes = (path for path in sorted(corpus.rglob("*.wav")) if path.parent.name != "unsorted")
    for i, path in enumerate(islice(takes, CLIPS)):
        (folder / str(i % 2)).mkdir(exist_ok=True)
        shutil.copy(path, folder / str(i % 2) / path.name)
    (folder / "bad.wav").write_bytes(b"no audio")
    (folder / ".hidden.wav").write_bytes(b"")
    return folder


def put(client, folder, bucket):
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        client.upload_file(str(path), bucket, f"in/{path.relative_to(folder).as_posix()}")


@pytest.fixture
def client(s3_server, recordings, request):
    made = boto3.client("s3")
    made.bucket = request.node.name.replace("_", "-").lower()[:60].strip("-")
    made.create_bucket(Bucket=made.bucket)
    put(made, recordings, made.bucket)
    return made


def run(source, output, *settings):
    return flow.clean_corpus(validate(RunConfig, override({"input": str(source), "output": str(output)}, settings)))


def done(summary):
    return {s["name"]: s["done"] for s in summary["stages"] if s["name"] in ("ingest", "enhance", "publish")}


def rows(store):
    return pq.read_table(io.BytesIO(store.read("ledger.parquet"))).to_pylist()


def test_a_bucket_gives_what_a_folder_gives_and_later_runs_do_only_what_is_new(client, recordings, tmp_path):
    local = run(recordings, tmp_path / "out")
    source, output = f"s3://{client.bucket}/in", f"s3://{client.bucket}/out"
    summary = run(source, output)
    store = open_store(parse_location(output), S3Config())
    assert rows(store) == rows(LocalStore(tmp_path / "out"))
    assert summary["counts"] == local["counts"] and summary["counts"]["failed"] == 1
    mine, theirs = versions.read(store, 1), versions.read(LocalStore(tmp_path / "out"), 1)
    assert mine.objects == theirs.objects, "the same bytes under the same names"
    assert all(problem is None for _, problem in versions.verify(store, [mine]))
    assert {"report/index.html", "run.json"} <= {*store.walk("report"), "run.json"} and store.size("run.json")
    assert not list(store.walk("work/lease"))

    again = run(source, output)
    assert set(done(again).values()) == {0} and again["version"] == 1

    first = sorted(p for p in recordings.rglob("*.wav") if p.stat().st_size > 10_000)[0]
    client.upload_file(str(first), client.bucket, "in/new.wav")  # a copy: a duplicate, but a clip of its own
    more = run(source, output)
    assert more["counts"]["in"] == summary["counts"]["in"] + 1 and more["version"] == 2
    assert done(more) == {"ingest": 1, "enhance": 1, "publish": 1}, "the new clip and no other"
    found = versions.difference(store, mine, versions.read(store, 2))
    assert [clip.rpartition("-")[0] for clip in found.added] == ["new"] and not found.removed

    before = client.head_object(Bucket=client.bucket, Key="in/new.wav")["ETag"]
    client.upload_file(str(first), client.bucket, "in/new.wav", Config=TransferConfig(multipart_threshold=1))
    assert client.head_object(Bucket=client.bucket, Key="in/new.wav")["ETag"] != before
    assert set(done(run(source, output)).values()) == {0}, "the same content, whatever the listing says"
    assert versions.rollback(store, 1).version == 3
    assert rows(store) == rows(LocalStore(tmp_path / "out"))

    asked = Asked(patterns=(first.relative_to(recordings).as_posix(),))
    store.delete("run.json")  # so that no report is written
    gone = forget(store, asked, reference=None, allow_unmatched=False, confirm=lambda _: None)
    assert gone.request.recordings == 2, "the copy goes too"
    assert versions.numbers(store) == [4, 5, 6] and store.remark_on_deletions() is None
    client.upload_file(str(first), client.bucket, "in/third.wav")  # known by its content, once it is downloaded
    last = run(source, output)
    assert last["reasons"]["forgotten"]["clips"] == 3 and last["counts"]["in"] == more["counts"]["in"] + 1
    assert not [problem for _, problem in check(store) if problem]
    assert not [row for row in rows(store) if row["source"] in ("new.wav", "third.wav")]
    client.put_bucket_versioning(Bucket=client.bucket, VersioningConfiguration={"Status": "Enabled"})
    assert "keeps deleted objects (its versioning is on" in store.remark_on_deletions()


def test_an_object_or_a_manifest_alone_is_an_input(client, recordings):
    name = sorted(p for p in recordings.rglob("*.wav") if p.stat().st_size > 10_000)[0].relative_to(recordings)
    found = find_all(parse_location(f"s3://{client.bucket}/in/{name}"), exclude=None)
    assert [r.path for r in found] == [name.name] and found[0].etag and found[0].sha256 is None
    lines = [{"audio_filepath": str(name), "text": "hello"}, {"audio_filepath": "gone.wav"}]
    client.put_object(Bucket=client.bucket, Key="in/m.jsonl", Body="\n".join(map(json.dumps, lines)).encode())
    where = parse_location(f"s3://{client.bucket}/in/m.jsonl")
    found = {r.path: r for r in find_all(where, exclude=None)}
    assert found.keys() == {str(name), "gone.wav"} and found[str(name)].metadata.text == "hello"
    assert "not found" in found["gone.wav"].error
    with local_group(where, [found[str(name)]], S3Config()) as (folder, [there]):
        assert (folder / there.path).read_bytes() == (recordings / name).read_bytes() and there.sha256
    with pytest.raises(ConfigError, match="no such object"):
        find_all(parse_location(f"s3://{client.bucket}/in/nothing"), exclude=None)


def test_metadata_beside_recordings_is_read_and_the_output_is_not_an_input(client, recordings):
    client.put_object(Bucket=client.bucket, Key="in/out/shards/x.tar", Body=b"x")
    client.put_object(Bucket=client.bucket, Key="in/bad.txt", Body=b"spoken words")
    client.put_object(Bucket=client.bucket, Key="in/../up.wav", Body=b"x")
    root = parse_location(f"s3://{client.bucket}/in")
    found = {r.path: r for r in find_all(root, exclude=root / "out")}
    assert found["bad.wav"].metadata.text == "spoken words" and "bad.txt" not in found
    assert not any(path.startswith("out/") or path.startswith(".h") for path in found)
    assert "outside" in found["../up.wav"].error
    local = {r.path: r for r in find_all(recordings, exclude=None)}
    assert {path: r.key for path, r in found.items() if path in local} == {path: r.key for path, r in local.items()}


def test_manifests_of_a_bucket_are_fetched_a_few_at_a_time(client, tmp_path, monkeypatch):
    root = parse_location(f"s3://{client.bucket}/many")
    for i in range(5):
        client.put_object(Bucket=client.bucket, Key=f"many/{i}/a.wav", Body=b"x")
        client.put_object(Bucket=client.bucket, Key=f"many/{i}/a.txt", Body=f"text {i}".encode())
    client.put_object(Bucket=client.bucket, Key="many/metadata.csv", Body=b"0/a|overruled\ngone|lost")
    lying, fetch = [], s3_discovery.fetch_objects

    def watched(*arguments):
        result = fetch(*arguments)
        lying.append(sorted(path.name for path in tmp_path.rglob("*") if path.is_file()))
        return result

    monkeypatch.setattr(s3_discovery, "fetch_objects", watched)
    monkeypatch.setattr(manifests, "_WINDOW", 2)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = {r.path: r for r in find_all(root, exclude=None)}
    assert {path: r.metadata.text for path, r in found.items()} == {
        **{f"{i}/a.wav": f"text {i}" for i in range(5)},
        "gone": None,
    }
    assert (found["4/a.wav"].size, found["gone"].size) == (1, 0) and found["4/a.wav"].etag
    assert lying == [["a.txt", "metadata.csv"], ["a.txt"] * 2, ["a.txt"] * 2] and not list(tmp_path.iterdir())


def test_what_changes_or_goes_between_listing_and_reading_fails_alone(client, tmp_path):
    root = parse_location(f"s3://{client.bucket}/in")
    config = PipelineConfig()
    group = find_all(root, exclude=None)
    wavs = [r for r in group if r.path.endswith(".wav") and r.size > 10_000][:2]
    client.put_object(Bucket=client.bucket, Key=f"in/{wavs[0].path}", Body=b"other")
    client.delete_object(Bucket=client.bucket, Key=f"in/{wavs[1].path}")
    store = LocalStore(tmp_path)
    found = ingest_group(store, root, group, config).result
    failed = {clip.source: clip.error for clip in found.rest if clip.error}
    assert failed.keys() == {wavs[0].source, wavs[1].source, "bad.wav"}
    assert all("source changed" in failed[r.source] for r in wavs)
    assert len([clip for shard in found.shards for clip in shard.clips]) >= CLIPS - 3
    assert not list(store.keys("work/listed")), "what others did is no result: the next run reads anew"


def test_a_file_that_changes_after_it_was_found_fails_alone(recordings, tmp_path):
    shutil.copytree(recordings, tmp_path / "in")
    group = find_all(tmp_path / "in", exclude=None)
    changed = next(r for r in group if r.path.endswith(".wav") and r.size > 10_000)
    (tmp_path / "in" / changed.path).write_bytes((tmp_path / "in" / changed.path).read_bytes()[:-2])
    found = ingest_group(LocalStore(tmp_path / "out"), tmp_path / "in", group, PipelineConfig()).result
    assert "source changed" in {clip.source: clip.error for clip in found.rest}[changed.source]
    shutil.copy(recordings / changed.path, tmp_path / "in" / changed.path)
    again = ingest_group(LocalStore(tmp_path / "out"), tmp_path / "in", group, PipelineConfig()).result
    assert changed.source not in {clip.source for clip in again.rest}, "what came back is no failure"


@pytest.mark.slow
def test_a_run_through_a_failing_network_gives_the_same(client):
    """One request in five fails."""
    source, output = f"s3://{client.bucket}/in", f"s3://{client.bucket}/"
    run(source, f"{output}calm")
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL_S3"], share=0.2, stall_s=0.2, seed=11) as proxy:
        run(source, f"{output}rough", f"s3.endpoint_url={proxy.url}")
    calm, rough = (
        versions.read(open_store(parse_location(output + name), S3Config()), 1) for name in ("calm", "rough")
    )
    assert calm.objects == rough.objects
    assert sum(proxy.seen.values()) - proxy.seen["ok"] >= 10, proxy.seen


@pytest.mark.slow
def test_a_service_that_goes_away_stops_the_run_and_leaves_it_resumable(client, monkeypatch):
    monkeypatch.setattr(s3_client, "RETRY_S", 0)
    output = f"s3://{client.bucket}/out"
    with FaultyProxy(os.environ["AWS_ENDPOINT_URL_S3"], share=0, seed=0) as proxy:
        s3_client._client_of.cache_clear()
        enhance = enhance_stage.enhance_shard

        def then_gone(*args, **named):
            result = enhance(*args, **named)
            proxy.share, proxy.faults = 1.0, ("refuse",)
            return result

        monkeypatch.setattr(enhance_stage, "enhance_shard", then_gone)
        with pytest.raises((StorageError, ConfigError), match=r"run the same command again|SlowDown"):
            run(f"s3://{client.bucket}/in", output, f"s3.endpoint_url={proxy.url}")
        proxy.share = 0.0
        monkeypatch.setattr(enhance_stage, "enhance_shard", enhance)
        s3_client._client_of.cache_clear()
        monkeypatch.setattr(s3_client, "RETRY_S", 150)
        summary = run(f"s3://{client.bucket}/in", output, f"s3.endpoint_url={proxy.url}")
    assert done(summary)["ingest"] == 0 and done(summary)["enhance"] == 0 and summary["version"] == 1


def test_enhance_and_score_read_and_write_buckets(client, recordings):
    from rich.console import Console

    quiet = Console(quiet=True)
    source = parse_location(f"s3://{client.bucket}/in/single")
    name = sorted(p for p in recordings.rglob("*.wav") if p.stat().st_size > 10_000)[0]
    client.upload_file(str(name), client.bucket, "in/single/a.wav")
    count, failed = enhance_folder(source, parse_location(f"s3://{client.bucket}/clean"), "default-causal", 1, quiet)
    assert (failed, count) == ({}, 1)
    assert list(open_store(S3Folder(client.bucket), S3Config()).walk("clean")) == ["clean/a.wav"]
    scores, failed = score_folder(parse_location(f"s3://{client.bucket}/clean/a.wav"), None, 1, quiet)
    assert not failed and scores["a.wav"]["dnsmos_ovrl"] > 1
