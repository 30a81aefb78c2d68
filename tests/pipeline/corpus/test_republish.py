"""A version made of decisions: what changes and what stays, as a run would make it, and back again."""

import json

import pyarrow.parquet as pq
import pytest

from clean_corpus.flows.commands import decisions as command
from clean_corpus.flows.commands.forget import forget
from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError, DataError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import decisions, shards, versions
from clean_corpus.pipeline.corpus.forget_selection import Asked
from clean_corpus.pipeline.corpus.reviewed import NO_REVIEWS, Reviews
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.commands import invoke
from tests.support.forgettable import Take, write_corpus

ANNE, BOB, LOW = Take("anne/1.wav", "anne"), Take("bob/1.wav", "bob", clips=3), Take("anne/low.wav", end="rejected")
COPY = Take("anne/copy.wav", "anne", copy_of="anne/1.wav")
SILENT = Take("carl/still.wav", "carl", end="silent")
CARL = [Take("carl/1.wav", "carl"), Take("carl/bad.wav", "carl", end="failed"), SILENT]
LINES = [
    {"clip_id": ANNE.clip_ids()[0], "what": "reject", "value": "a door slams"},
    {"clip_id": BOB.clip_ids()[0], "what": "use_raw"},
    {"clip_id": BOB.clip_ids()[1], "what": "text", "value": "Other  words."},
    {"clip_id": BOB.clip_ids()[1], "what": "speaker", "value": "bert", "by": "cleo"},
    {"clip_id": LOW.clip_ids()[0], "what": "keep"},
    {"clip_id": COPY.clip_ids()[0], "what": "note", "value": "hear again"},
]


BUCKET = "republished"
ANYWHERE = pytest.mark.parametrize("store", ["folder", "bucket"], indirect=True)


@pytest.fixture
def store(tmp_path, request):
    if getattr(request, "param", "folder") == "folder":
        store = LocalStore(tmp_path / "out")
    else:
        request.getfixturevalue("client")
        store = open_store(S3Folder(BUCKET, request.node.originalname), S3Config())
    store.prepare()
    write_corpus(store, [ANNE, BOB, LOW, COPY], CARL, extra=False, reviews=NO_REVIEWS)
    return store


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "decided.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return path


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr(command, "write_report", lambda store, manifest: None)


def rows(store):
    with store.opened("ledger.parquet") as file:
        return {row["clip_id"]: row for row in pq.read_table(file).to_pylist()}


@ANYWHERE
def test_a_file_of_decisions_becomes_the_next_version_and_a_run_comes_to_the_same(store, lines, tmp_path):
    first = versions.read(store, 1)
    said = invoke("decisions", store.root, "--apply", lines, "--by", "anna")
    assert "version: 2" in said.stdout and "5 pending, +0.0000 h kept" in said.stdout
    second, found = versions.latest(store), rows(store)
    rejected, raw, text, low, copy = (found[line["clip_id"]] for line in (*LINES[:3], *LINES[4:]))
    assert (rejected["verdict"], rejected["reason"]) == ("rejected", "reviewed")
    assert rejected["detail"] == "reviewed by anna: a door slams" and rejected["gate_verdict"] == "kept"
    assert (raw["verdict"], raw["chosen"], raw["chosen_why"]) == ("kept", "raw", "reviewed: by anna")
    assert (text["text"], text["text_source"], text["speaker"]) == ("Other words.", "reviewed", "bert")
    assert (text["given_text"], text["given_speaker"]) == ("words of bob/1.wav 1", "bob")
    assert (text["reviewed"], text["reviewed_by"], text["text_rate"]) == ("text, speaker", "cleo", 10 / 0.4)
    assert (low["verdict"], low["gate_reason"], low["detail"]) == ("kept", "snr_db", "reviewed by anna: snr_db 3 < 10")
    assert (copy["verdict"], copy["reviewed"], copy["review_note"]) == ("rejected", None, "hear again")
    kept = {s["__key__"]: json.loads(s["json"]) for tar in second.shards for s in shards.read_shard(store, tar)}
    assert kept.keys() == {clip_id for clip_id, row in found.items() if row["verdict"] == "kept"}
    assert kept[text["clip_id"]]["text"] == "Other words." and kept[raw["clip_id"]]["version"] == "raw"
    assert len(set(first.shards) & set(second.shards)) == 1, "the tar without a changed clip stays"
    changed = {clip: (before, after) for clip, before, after, _ in versions.difference(store, first, second).changed}
    assert changed[low["clip_id"]] == ("rejected snr_db enhanced", "kept enhanced (keep by anna)")
    assert changed.keys() == {line["clip_id"] for line in LINES}
    assert second.run["counts"] == {"in": 9, "kept": 5, "rejected": 3, "failed": 1}
    assert not [wrong for _, wrong in versions.verify(store, [second]) if wrong]

    other = LocalStore(tmp_path / "other")
    other.prepare()
    reviews = Reviews(decisions.load(store))
    assert write_corpus(other, [ANNE, BOB, LOW, COPY], CARL, extra=False, reviews=reviews).objects == second.objects

    with pytest.raises(ConfigError, match="version 2 has all decisions already"):
        command.publish(store)
    undone = [e for row in found.values() for e in decisions.load(store).entries_of(*place(row))]
    decisions.append(store, [e.model_copy(update={"id": e.id[::-1], "what": "undo", "value": e.id}) for e in undone])
    assert command.publish(store).manifest.objects == first.objects


def place(row):
    return row["source_sha256"], row["offset_s"], row["offset_s"] + row["duration_s"]


def test_what_is_pending_is_listed_and_what_nobody_can_keep_says_why(store, lines, tmp_path):
    invoke("decisions", store.root, "--apply", lines)
    failed = {"clip_id": "x", "source": "carl/bad.wav", "source_sha256": "f" * 64, "offset_s": 0, "end_s": 1}
    more = [{"clip_id": LOW.clip_ids()[0], "what": "reject"}, failed | {"what": "keep"}]
    more.append(failed | {"what": "keep", "source_sha256": SILENT.sha256, "clip_id": SILENT.clip_ids()[0], "end_s": 0})
    (tmp_path / "more.jsonl").write_text("".join(json.dumps(line) + "\n" for line in more))
    command.add_file(store, tmp_path / "more.jsonl", by="anna")
    (change,) = json.loads(invoke("decisions", store.root, "--json").stdout)
    assert change["effect"] == ["rejected instead of kept"] and change["hours"] == pytest.approx(-0.5 / 3600)
    shown = invoke("decisions", store.root, "--publish", "--json")
    assert json.loads(shown.stdout) == [change], "nothing but JSON, for what reads it"
    assert "version: 3" in shown.stderr and "x: keep, by anna: version 2 lacks it" in shown.stderr
    said = invoke("decisions", store.root).stdout
    assert "x: keep, by anna: version 3 lacks it" in said
    assert f"{SILENT.clip_ids()[0]}: nobody can keep it: it has no audio: speech_s 0 < 0.3" in said


def test_the_file_may_lie_in_a_bucket_and_is_named_as_what_it_is(store, client):
    line = json.dumps({"clip_id": LOW.clip_ids()[0], "what": "keep"})
    client.put_object(Bucket=BUCKET, Key="lists/good.jsonl", Body=line.encode())
    client.put_object(Bucket=BUCKET, Key="lists/bad.jsonl", Body=b"[]")
    assert "1 clips changed" in invoke("decisions", store.root, "--apply", f"s3://{BUCKET}/lists/good.jsonl").stderr
    with pytest.raises(DataError, match=f"^s3://{BUCKET}/lists/bad.jsonl:1: is no JSON object"):
        invoke("decisions", store.root, "--apply", f"s3://{BUCKET}/lists/bad.jsonl")
    for name in ("s3://" + BUCKET + "/lists/none.jsonl", "none.jsonl"):
        with pytest.raises(ConfigError, match=rf"{name}: (no such object|No such file)"):
            invoke("decisions", store.root, "--apply", name)


def test_a_wrong_line_stores_nothing(store, tmp_path):
    for line, message in (
        ({"clip_id": "nobody", "what": "keep"}, "2: clip_id: the newest version has no clip 'nobody'"),
        ({"clip_id": ANNE.clip_ids()[0], "what": "love"}, "2: what: Input should be 'keep'"),
        ({"clip_id": ANNE.clip_ids()[0], "what": "keep", "by": "a\x1b[2J"}, "2: by: String should match"),
    ):
        (tmp_path / "bad.jsonl").write_text(f"{json.dumps(LINES[0])}\n{json.dumps(line)}\n")
        with pytest.raises(DataError, match=message):
            command.add_file(store, tmp_path / "bad.jsonl", by="anna")
    assert not list(store.keys("decisions"))


def test_without_the_audio_in_work_nothing_is_published(store, lines):
    command.add_file(store, lines, by="anna")
    for key in list(store.walk("work/enhanced")):
        store.delete(key)
    with pytest.raises(CleanCorpusError, match="5 clips in work/ is gone"):
        command.publish(store)
    assert versions.numbers(store) == [1]


@ANYWHERE
def test_a_death_before_the_report_is_made_good_by_the_next_publishing(store, lines, monkeypatch):
    command.add_file(store, lines, by="anna")
    old = store.read("ledger.parquet")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(command, "write_report", lambda *_: throw(KeyboardInterrupt))
        command.publish(store)
    store.write("ledger.parquet", old)  # as if it had died before that too
    assert versions.numbers(store) == [1, 2] and store.size("run.json") is None
    done = command.publish(store)
    assert (done.manifest.version, done.applied, done.left) == (2, [], [])
    assert store.read("ledger.parquet") == store.read(done.manifest.ledger.key)
    assert json.loads(store.read("run.json"))["version"] == 2 and versions.numbers(store) == [1, 2]
    with pytest.raises(ConfigError, match="has all decisions already"):
        command.publish(store)


def throw(error):
    raise error


def test_a_speaker_is_forgotten_by_the_label_that_was_given_too(store, lines):
    command.add_file(store, lines, by="anna")
    command.publish(store)
    for key in list(store.walk("work")):
        store.delete(key)
    store.delete("versions/0001/manifest.json")
    asked = Asked(speakers=("bob",))
    gone = forget(store, asked, reference=None, allow_unmatched=False, confirm=lambda _: None).request
    assert (gone.clips, gone.recordings) == (3, 1)
    with store.opened("ledger.parquet") as file:
        assert not {"bob", "bert"} & set(pq.read_table(file)["given_speaker"].to_pylist())
    with pytest.raises(DataError, match=r"decided.jsonl:2: clip_id: the newest version has no clip"):
        command.add_file(store, lines, by="anna")
    by_content = {"what": "keep", "source_sha256": BOB.sha256, "offset_s": 0, "end_s": 0.5}
    lines.write_text(json.dumps(by_content))
    with pytest.raises(DataError, match=r"decided.jsonl:1: forgotten: request .*; remove the line"):
        command.add_file(store, lines, by="anna")


def test_forgetting_takes_decisions_with_it(store, lines):
    command.add_file(store, lines, by="anna")
    store.write("decisions/odd.jsonl", b"no decision")
    store.write("decisions/old.jsonl", f'{{"was": "{BOB.clip_ids()[0]}"'.encode())
    asked = Asked(speakers=("bob",))
    done = forget(store, asked, reference=None, allow_unmatched=False, confirm=lambda selection: None).done
    assert done.swept.unknown == ["decisions/odd.jsonl"] and store.size("decisions/old.jsonl") is None
    store.delete("decisions/odd.jsonl")
    stored = b"".join(store.read(key) for key in store.walk("decisions"))
    assert b"bob" not in stored and b"Other" not in stored and b"door" in stored
    pending = json.loads(invoke("decisions", store.root, "--json").stdout)
    assert [change["clip_id"] for change in pending] == [LINES[n]["clip_id"] for n in (0, 5, 4)]
