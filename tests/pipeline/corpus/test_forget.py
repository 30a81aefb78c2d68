"""Forgetting: clips go from every version and from all else, nothing brings them back, and a death costs nothing."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clean_corpus.flows.commands import forget as command
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.corpus import collection, decisions, embeddings, forget, forgotten, shards, versions
from clean_corpus.pipeline.corpus.embeddings import Embedding
from clean_corpus.pipeline.corpus.forget_selection import Asked, read_list
from clean_corpus.pipeline.discover import find, hidden
from clean_corpus.pipeline.export.config import ExportConfig
from clean_corpus.pipeline.export.export import export
from clean_corpus.pipeline.quality import voice
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.forgettable import Take, write_corpus

BUCKET = "forgets"
BOB, ANNE = Take("bob/1.wav", "bob", clips=3), Take("anne/1.wav", "anne")
GROUPS = (
    [ANNE, BOB],
    [Take("anne/2.wav", "anne"), Take("bob/low.wav", "bob", end="rejected"), Take("bob/bad.wav", "bob", end="failed")],
    [Take("carl/1.wav", "carl"), Take("carl/2.wav", "carl", end="rejected")],
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two versions, and all that runs leave beside them."""
    store = LocalStore(tmp_path_factory.mktemp("made"))
    store.prepare()
    write_corpus(store, GROUPS[0], extra=False)
    write_corpus(store, *GROUPS)
    return store.root


@pytest.fixture
def corpus(made, tmp_path):
    """A copy of the two versions."""
    return LocalStore(Path(shutil.copytree(made, tmp_path / "corpus")))


@pytest.fixture
def bare(corpus):
    """The two versions, and nothing to write a report of."""
    corpus.delete("run.json")
    return corpus


@pytest.fixture
def store(tmp_path):
    store = LocalStore(tmp_path / "store")
    store.prepare()
    return store


def forget_now(store, **asked):
    return command.forget(store, Asked(**asked), reference="T-1", allow_unmatched=False, confirm=lambda selection: None)


def rows(store, version=None):
    manifest = versions.read(store, version) if version else versions.latest(store)
    with store.opened(manifest.ledger.key) as file:
        return pq.ParquetFile(file).read().to_pylist()


def members(store, tars):
    return {sample["__key__"] for tar in tars for sample in shards.read_shard(store, tar)}


def holding(store):
    """Every object that still holds a forgotten recording."""
    return [f"{key} {problem}" for key, problem in forget.check(store) if problem]


def test_a_speaker_goes_from_every_version_and_from_all_else(corpus):
    store = corpus
    whole = {key: store.read(key) for key in store.walk("") if "carl" in key and key.startswith("work/raw")}
    ended = forget_now(store, speakers=("bob",))
    request = ended.request
    assert (request.clips, request.recordings, request.reference) == (5, 3, "T-1")
    assert versions.numbers(store) == [3, 4] and [m.rewrites for m in ended.done.made] == [1, 2]
    assert not holding(store)
    for key in store.walk(""):
        if not key.startswith(("forgotten/", "fence/")):
            data = store.read(key)
            assert b"bob" not in data and "bob" not in key, key
    manifest = versions.latest(store)
    assert all(problem is None for _, problem in versions.verify(store, [versions.read(store, 3), manifest]))
    assert members(store, manifest.shards) == {*ANNE.clip_ids(), *GROUPS[1][0].clip_ids(), *GROUPS[2][0].clip_ids()}
    table = rows(store)
    left = [row for row in table if row["reason"] == "forgotten"]
    assert len(left) == 3 and {row["verdict"] for row in left} == {"rejected"}
    assert {row["detail"] for row in left} == {f"forgotten: request {request.id} of {request.made[:10]}"}
    assert all(row[name] is None for row in left for name in ("text", "speaker", "source_sha256", "shard"))
    assert table == sorted(table, key=lambda row: (row["source"], row["offset_s"], row["clip_id"]))
    assert {row["shard"] for row in table} <= {None, *(tar.key for tar in (*manifest.shards, *manifest.rejected))}
    assert manifest.run["counts"] == {"in": 7, "kept": 3, "rejected": 4, "failed": 0}
    assert json.loads(store.read("run.json"))["version"] == 4
    assert store.read("ledger.parquet") == store.read(manifest.ledger.key)
    assert whole and all(store.read(key) == data for key, data in whole.items()), "the cache of others stays"
    assert store.size("report/index.html") and not list(store.walk("export"))
    assert len(list(store.keys("variants/raw"))) == 3


def test_what_is_asked_for_again_is_done_already(bare):
    store = bare
    first = forget_now(store, speakers=("bob",))
    again = forget_now(store, speakers=("bob",))
    assert again.request == first.request and again.done is None and versions.numbers(store) == [3, 4]
    write_corpus(store, [*GROUPS[0], Take("bob/new.wav", "bob")], extra=False)
    assert forget_now(store, speakers=("bob",)).request.id != first.request.id


@pytest.mark.parametrize(
    ("asked", "gone"),
    [
        ({"patterns": ("bob/*",)}, 3),
        ({"patterns": ("*/1.wav",)}, 3),
        ({"listed": {"bob/1.wav": 1}, "speakers": ("carl",)}, 3),
    ],
)
def test_patterns_and_lists_name_sources_and_may_be_combined(bare, asked, gone):
    assert forget_now(bare, **asked).request.recordings == gone and not holding(bare)


@pytest.mark.parametrize(
    "asked", [{"speakers": ("bob", "bop")}, {"patterns": ("bop/*",)}, {"listed": {"bob/1.wav": 1, "bop/1.wav": 7}}]
)
def test_what_matches_nothing_is_refused_before_anything_changes(bare, asked):
    with pytest.raises(ConfigError, match=r"nothing here matches (--speaker bop|--source bop/\*|line 7); nothing was"):
        forget_now(bare, **asked)
    assert versions.numbers(bare) == [1, 2] and not list(bare.keys(forgotten.REQUESTS))


def test_a_list_is_utf8_with_a_source_a_line():
    assert read_list("\ufeffa.wav\r\n\n  b c.wav\né.wav".encode(), "l") == {"a.wav": 1, "  b c.wav": 3, "é.wav": 4}
    with pytest.raises(DataError, match="l line 2: not UTF-8"):
        read_list(b"a.wav\n\xe9.wav\n", "l")


def test_copies_of_what_goes_go_too_whoever_sent_them(store):
    groups = (
        [Take("bob/1.wav", "bob", copy_of="dora/best.wav"), Take("dora/best.wav", "dora")],
        [Take("erik/3.wav", "erik", copy_of="dora/best.wav"), Take("erik/4.wav", "erik")],
        [Take("old/x.wav", content="bob/1.wav"), Take("bob/1.mp3")],
    )
    write_corpus(store, *groups, extra=False)
    selection = command.plan(store, Asked(speakers=("bob",)))
    assert selection.request.recordings == 5 and selection.named == ["bob/1.wav"]
    assert selection.copies == ["bob/1.mp3", "dora/best.wav", "erik/3.wav", "old/x.wav"]
    assert selection.labels == ["bob", "dora", "erik"]
    forget_now(store, speakers=("bob",))
    assert {row["source"] for row in rows(store) if row["reason"] != "forgotten"} == {"erik/4.wav"}


@pytest.mark.parametrize(
    ("pattern", "takes"),
    [
        ("take [1].wav", ["take [1].wav"]),  # names of recordings have brackets: they are no class of characters
        ("take [!2].wav", []),
        ("take [?].wav", ["take [1].wav"]),
        ("take*1*.wav", ["take 1.wav", "take [1].wav", "take/[1/1.wav"]),
        ("take/[*", ["take/[1/1.wav"]),
    ],
)
def test_a_pattern_knows_stars_and_question_marks_and_nothing_else(pattern, takes, store):
    names = ("take [1].wav", "take 1.wav", "take 2.wav", "take/[1/1.wav")
    write_corpus(store, [Take(name) for name in names], extra=False)
    if not takes:
        with pytest.raises(ConfigError, match=r"nothing here matches --source take \[!2\]\.wav"):
            command.plan(store, Asked(patterns=(pattern,)))
        return
    assert command.plan(store, Asked(patterns=(pattern,))).named == takes


def discovered(store, folder):
    """What a run finds below a folder once the forgotten is hidden: source -> error."""
    known = forget.prepare(store)
    with scratch_database() as db:
        recordings = find(folder, db, exclude=None)
        hidden.hide(db, known.hidden)
        return {recording.source: recording for recording in recordings}


def test_a_later_run_does_not_bring_it_back(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("input")
    files = {"bob/1.wav": b"one", "bob/2.wav": b"two", "anne/1.wav": b"three"}
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    found = discovered(store, folder)
    takes = [Take(name, "bob" if name == "bob/2.wav" else None) for name in files]
    write_corpus(store, takes, extra=False)
    real = {name: recording.sha256 for name, recording in found.items()}
    request = forget_now(store, patterns=("bob/1.wav",), speakers=("bob",)).request
    digest = forgotten.load(store).digest("content", real["bob/1.wav"])
    with_content = request.model_copy(update={"contents": [digest]})
    store.write(f"forgotten/requests/{request.id}.json", with_content.model_dump_json().encode())
    forgotten._loaded.clear()
    (folder / "renamed.wav").write_bytes(b"one")  # the same bytes
    (folder / "bob/1.flac").write_bytes(b"coded anew")
    (folder / "later.wav").write_bytes(b"a new recording of that speaker")
    (folder / "later.json").write_text('{"speaker": "bob"}')
    left = discovered(store, folder)
    assert [name for name in left if not name.startswith("forgotten-")] == ["anne/1.wav"]
    assert len(left) == len(files) + 3
    for recording in left.values():
        if recording.source != "anne/1.wav":
            assert recording.error == request.words and recording.path == recording.source
            assert recording.sha256 is None and recording.metadata.speaker is None
    assert forgotten.load(store).pseudonym("bob/1.wav") in {row["source"] for row in rows(store)}


def test_a_request_stores_no_name(bare):
    forget_now(bare, speakers=("bob",), patterns=("carl/1*",))
    stored = b"".join(bare.read(key) for key in bare.walk("forgotten"))
    assert b"bob" not in stored and b"carl" not in stored and BOB.sha256.encode() not in stored
    assert BOB.clip_ids()[0].rpartition("-")[0].encode() not in stored


class Dead(BaseException):
    pass


class Dying(LocalStore):
    """A store whose process dies before one of its changes."""

    left = 0

    def _count(self):
        self.left -= 1
        if self.left == 0:
            raise Dead

    def writer(self, key):
        self._count()
        return super().writer(key)

    def create(self, key, data):
        self._count()
        return super().create(key, data)

    def delete(self, key):
        self._count()
        super().delete(key)


def test_a_forget_that_dies_anywhere_is_completed_by_the_next_forget_run_or_gc(bare, tmp_path):
    for number in range(100):
        store = Dying(Path(shutil.copytree(bare.root, tmp_path / str(number))))
        store.left = 4 + 14 * number
        try:
            forget_now(store, speakers=("bob",))
            break
        except Dead:
            store.left = 0
        newest, is_stored = versions.latest(store), bool(list(store.keys(forgotten.REQUESTS)))
        assert all(problem is None for _, problem in versions.verify(store, [newest]))
        assert is_stored or newest.version == 2
        if number % 3 == 0:
            forget.prepare(store)
        else:
            command.complete_alone(store)
            if number % 3 == 1:
                list(collection.gc(store, 1))
        assert holding(store) == [] and not forgotten.open_requests(store)[0]
        assert len(rows(store)) == (7 if is_stored else 9) and versions.latest(store).follow == 0
        assert not is_stored or {row["reason"] for row in rows(store)} >= {"forgotten"}
        shutil.rmtree(store.root)
    assert number > 2


def test_what_a_halted_run_writes_late_is_found_and_swept(bare, monkeypatch):
    stale = {key: bare.read(key) for key in bare.walk("work/raw") if "bob" in key}
    forget_now(bare, speakers=("bob",))
    for key, data in stale.items():
        bare.write(key, data)
    assert holding(bare) and all("work/raw" in problem for problem in holding(bare))
    monkeypatch.setattr(LocalStore, "lateness_s", -1.0)
    before = versions.numbers(bare)
    monkeypatch.setattr("clean_corpus.pipeline.corpus.announcements.while_held", lambda store, keys, start_s: keys)
    forget.prepare(bare)
    assert not holding(bare) and versions.numbers(bare) == before
    assert not forgotten.open_requests(bare)[1]


def test_a_rollback_to_a_rewritten_version_brings_nothing_back(bare):
    forget_now(bare, speakers=("bob",))
    with pytest.raises(ConfigError, match="no version 1; there are: 3, 4"):
        versions.rollback(bare, 1)
    back = versions.rollback(bare, 3)
    assert (back.version, back.rewrites, back.follow) == (5, None, 0) and not holding(bare)
    assert versions.difference(bare, versions.read(bare, 3), back).changed == []


def test_other_objects_are_looked_into_or_named(bare):
    bare.write("mine/notes.csv", f"{BOB.clip_ids()[0]},loud\n".encode())
    bare.write("mine/other.csv", f"{ANNE.clip_ids()[0]},loud\n".encode())
    bare.write("mine/weights.bin", b"x")
    bare.write("shards/notes.csv", f"{BOB.clip_ids()[0]},no run of ours put it there\n".encode())
    done = forget_now(bare, speakers=("bob",)).done
    assert done.swept.unknown == ["mine/weights.bin"]
    assert list(bare.walk("mine")) == ["mine/other.csv", "mine/weights.bin"]
    assert "shards/notes.csv" not in bare.walk("shards")


FINDERS = ("decisions/._a.jsonl", "forgotten/requests/.DS_Store", "forgotten/.DS_Store", "work/raw/._a.json")


def test_what_a_file_manager_leaves_in_our_folders_stops_nothing(bare):
    """Finder writes these wherever it shows a folder of a share."""
    for key in FINDERS:
        bare.write(key, b"Bud1\xff\x00")
    forget_now(bare, speakers=("bob",))
    for key in FINDERS:
        bare.write(key, b"Bud1\xff\x00")
    assert not holding(bare) and forgotten.open_requests(bare) == ([], []) and not len(decisions.load(bare))
    forget_now(bare, speakers=("carl",))
    assert not holding(bare)


def test_a_damaged_request_is_named_with_what_to_do(bare):
    request = forget_now(bare, speakers=("bob",)).request
    bare.write(key := f"{forgotten.REQUESTS}/{request.id}x.json", b"{")
    with pytest.raises(DataError, match=rf"{key}: is no request to forget: .*; restore it from a backup, or remove"):
        forgotten.load(bare)


def exported(store, to, **settings):
    """An export that names speakers and texts in its page, its card and its lists."""
    options = ExportConfig(**{"layout": "piper", "sample_rate": 16000} | settings)
    return export(store, versions.latest(store), to, options, DEFAULT_S3)


def test_an_export_below_the_output_goes_whole_wherever_it_lies(bare):
    exported(bare, bare.root / "voice/piper")
    exported(bare, bare.root / "lists", layout="kaldi", speakers=("anne",))
    bare.write("voice/notes.csv", f"{ANNE.clip_ids()[0]},loud\n".encode())
    bare.write("voice/piper/wavs/cached.spec.pt", b"of a training")
    done = forget_now(bare, speakers=("bob",)).done
    assert done.swept.exports == ["export", "lists", "voice/piper"] and not done.swept.unknown
    assert list(bare.walk("voice")) == ["voice/notes.csv"] and not (bare.root / "lists").exists()
    assert not holding(bare) and versions.numbers(bare) == [3, 4]


@pytest.mark.parametrize("asked", [{"speakers": ("bob",)}, {"patterns": ("bob/*",)}])
def test_an_export_elsewhere_has_no_name_any_more_and_nobody_gets_the_number(bare, tmp_path, asked):
    def numbers(*more):
        write_corpus(bare, [*GROUPS[0], *GROUPS[2], *more], extra=False)
        exported(bare, tmp_path / "x", layout="nemo")
        return json.loads((tmp_path / "x/speakers.json").read_text())

    assert numbers() == {"anne": 0, "bob": 1, "carl": 2}
    forget_now(bare, **asked)
    exported(bare, tmp_path / "x", layout="nemo")
    every = [path for path in (tmp_path / "x").rglob("*") if path.is_file()]
    assert every and not any("bob" in path.name or b"bob" in path.read_bytes() for path in every)
    assert json.loads((tmp_path / "x/speakers.json").read_text()) == {"anne": 0, "carl": 2}
    write_corpus(bare, [ANNE, Take("dora/1.wav", "dora")], extra=False)
    exported(bare, tmp_path / "x", layout="nemo")
    write_corpus(bare, [ANNE, Take("carl/3.wav", "carl"), Take("dora/1.wav", "dora")], extra=False)
    exported(bare, tmp_path / "x", layout="nemo")
    assert json.loads((tmp_path / "x/speakers.json").read_text()) == {"anne": 0, "carl": 2, "dora": 3}


def test_an_export_that_was_half_dropped_is_known_as_one(bare):
    exported(bare, bare.root / "voice")
    deleted = []

    class Halting(LocalStore):
        def delete(self, key):
            if key.startswith("voice/"):
                deleted.append(key)
                if len(deleted) == 3:
                    raise Dead
            super().delete(key)

    with pytest.raises(Dead):
        forget_now(Halting(bare.root), speakers=("bob",))
    assert list(bare.walk("voice"))
    command.complete_alone(bare)
    assert not list(bare.walk("voice")) and not forgotten.open_requests(bare)[0]


def test_an_export_in_a_bucket_goes_too(client):
    place = S3Folder(BUCKET, "out")
    store = open_store(place, DEFAULT_S3)
    store.prepare()
    write_corpus(store, GROUPS[0], extra=False)
    exported(store, place / "voice/piper")
    assert store.size("voice/piper/.export/speakers.json")
    forget_now(store, speakers=("bob",))
    assert not list(store.walk("voice"))


def test_the_voices_of_the_forgotten_go(bare):
    store, values = bare, bytes(2 * voice.SIZE)
    clips = [Embedding(r["clip_id"], r["source"], r["speaker"], None, "raw", values) for r in rows(store)]
    clips.sort(key=lambda clip: clip.clip_id)
    named = embeddings.put(store, clips, {"ruler": "r"})
    versions.publish(store, versions.latest(store).model_copy(update={"embeddings": named}))
    forget_now(store, speakers=("bob",))
    left = versions.latest(store).embeddings
    found = [*embeddings.read(store, left.key)]
    assert found == [clip for clip in clips if clip.speaker != "bob"] and left.samples == len(found) < len(clips)
    assert not holding(store) and [*store.keys("embeddings")] == [left.key]
    assert embeddings.facts_of(store, left.key) == {"ruler": "r"}
