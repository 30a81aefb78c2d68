"""Versions of a corpus: one commit each, nothing of an old one taken away before its time, damage found."""

import threading

import pytest

from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.hashing import canonical_json
from clean_corpus.pipeline.corpus import collection, versions
from clean_corpus.pipeline.storage.base import StorageError
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.training.shard_stream import find_shards
from tests.support.versions import draft, row, tar_key


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path)


def test_a_version_is_made_where_something_changed(store):
    first = versions.publish(store, draft(store, row("a")))
    assert (first.version, versions.publish(store, draft(store, row("a"))).version) == (1, 1)
    second = versions.publish(store, draft(store, row("a"), row("b")))
    assert second.version == 2 and versions.numbers(store) == [1, 2] and versions.latest(store) == second
    assert store.read("versions/latest") == b'{"manifest":"versions/0002/manifest.json","version":2}'
    with pytest.raises(ConfigError, match="no version 3; there are: 1, 2"):
        versions.read(store, 3)


def test_the_pointer_is_mended_where_a_run_died_before_it(store):
    again = draft(store, row("a"))
    versions.publish(store, again)
    store.write("versions/latest", b"{}")
    versions.publish(store, again)
    assert b'"version":1' in store.read("versions/latest")


def test_of_runs_that_publish_at_once_one_wins(store, monkeypatch):
    drafts, both = [draft(store, row(name)) for name in "ab"], threading.Barrier(2)
    newest, looks = versions._newest, iter([1, 2])
    monkeypatch.setattr(versions, "_newest", lambda s: (0, both.wait() and None) if next(looks, 0) else newest(s))
    ended = []

    def publish(one):
        try:
            ended.append(versions.publish(store, one).version)
        except ConfigError as error:
            ended.append(str(error))

    threads = [threading.Thread(target=publish, args=[one]) for one in drafts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 in ended and any("another run published version 1" in str(end) for end in ended)


def test_an_old_version_comes_back_as_the_newest(store):
    first = versions.publish(store, draft(store, row("a")))
    versions.publish(store, draft(store, row("b")))
    third = versions.rollback(store, 1)
    assert (third.version, third.again, third.objects) == (3, 1, first.objects)
    assert store.read("ledger.parquet") == store.read(first.ledger.key)
    with pytest.raises(ConfigError, match="newest already"):
        versions.rollback(store, 3)
    store.delete(tar_key("b"))
    with pytest.raises(DataError, match=rf"{tar_key('b')} of version 2 is gone"):
        versions.rollback(store, 2)


def test_what_changed_is_told_by_clip(store):
    one = versions.publish(store, draft(store, row("a"), row("b"), row("c"), row("d")))
    changed = row("b", "rejected", reason="snr_db"), row("c", gain_db=1.0), row("d"), row("e")
    two = versions.publish(store, draft(store, *changed))
    found = versions.difference(store, one, two)
    assert (found.added, found.removed) == (["e"], ["a"])
    assert found.changed == [
        ("b", "kept enhanced", "rejected snr_db enhanced", ""), ("c", "kept enhanced", "kept enhanced", "audio")
    ]  # fmt: skip


CUT = {"offset_s": 1.0, "duration_s": 3.0, "removed_s": 0.0, "channel": "0", "input_gain_db": 6.0, "enhancer": "crn"}


def changed(store, one, two, **runs):
    """The clips that changed, of a kept and a rejected raw, a kept enhanced and a failed one, each with other facts."""
    ends = ("raw", "kept", "raw"), ("bad", "rejected", "raw"), ("better", "kept", "enhanced"), ("lost", "failed", None)
    made = []
    for facts, run in ((one, runs.get("run_1")), (two, runs.get("run_2"))):
        new = draft(store, *(row(clip, verdict, chosen=chosen, **facts) for clip, verdict, chosen in ends))
        made.append(versions.publish(store, new.model_copy(update={"run": new.run | (run or {})})))
    found = versions.difference(store, *made)
    assert not found.added and not found.removed
    assert all(before == after and other == "audio" for _, before, after, other in found.changed)
    return [clip for clip, *_ in found.changed]


@pytest.mark.parametrize("name", ["offset_s", "duration_s", "removed_s", "input_gain_db", "channel"])
def test_a_clip_that_is_cut_otherwise_has_other_audio(store, name):
    other = CUT | {name: "1" if name == "channel" else CUT[name] + 0.04}
    assert changed(store, CUT, other) == ["bad", "better", "lost", "raw"]


def test_clips_of_another_rate_are_other_audio(store):
    rates = {f"run_{n}": {"config": {"audio": {"sample_rate": rate}}} for n, rate in ((1, 24000), (2, 16000))}
    assert changed(store, CUT, CUT | {"detail": "s"}, **rates) == ["bad", "better", "raw"]


def test_other_networks_change_the_clips_that_they_made(store):
    assert changed(store, CUT, CUT | {"weights_sha256": "v"}) == ["better"]
    without = CUT | {"weights_sha256": None}
    assert changed(store, without, without | {"enhancer": "gate"}) == ["better"]
    bands = {"run_1": {"upper_band": None}, "run_2": {"upper_band": "x.safetensors", "upper_band_sha256": "u"}}
    assert changed(store, CUT | {"detail": "s"}, CUT | {"detail": "t"}, **bands) == ["better"]


def test_other_facts_of_manifests_are_told(store):
    said = {"text": "a", "speaker": "s", "licence": "CC0", "consent": "yes", "language": "en"}
    names = ("text", "speaker", "licence", "consent", "language")
    one = versions.publish(
        store, draft(store, row("same", **said), row("all", **said), row("none", **said), row("new"))
    )
    other, without = {name: "other" for name in names}, {"text": None, "speaker": None}
    clips = row("same", **said), row("all", **other), row("none", **said | without), row("new", text="now")
    two = versions.publish(store, draft(store, *clips))
    told = {clip: words for clip, _, _, words in versions.difference(store, one, two).changed}
    assert told == {"all": ", ".join(names), "none": "text, speaker", "new": "text"}


def test_what_an_older_release_did_not_write_is_no_change(store):
    now = {"config": {"audio": {"sample_rate": 24000}}, "upper_band": None}
    assert changed(store, {}, CUT, run_2=now) == []
    assert changed(store, CUT, CUT | {"enhancer": "a path to the same"}, run_2=now) == []


def test_damage_is_found(store):
    manifests = [versions.publish(store, draft(store, *map(row, names))) for names in ("a", "ab", "c")]
    assert all(problem is None for _, problem in versions.verify(store, manifests))
    whole = store.read(tar_key("a", "b"))
    store.write(tar_key("a", "b"), whole[:600] + b"x" + whole[601:])
    store.write(tar_key("c"), whole[:-512])
    store.delete(manifests[0].ledger.key)
    found = {key: problem for key, problem in versions.verify(store, manifests) if problem}
    assert found.keys() == {tar_key("a", "b"), tar_key("c"), manifests[0].ledger.key}
    assert found[tar_key("a", "b")].startswith("has sha256") and found[tar_key("c")].startswith("has 9728 bytes")
    assert found[manifests[0].ledger.key] == "is gone"
    short = manifests[1].model_copy(update={"run": {"counts": {"in": 2, "kept": 3}}})
    assert ("versions/0002/manifest.json", "says that 3 clips are kept, its tars hold 2") in list(
        versions.verify(store, [short])
    )


def test_old_versions_go_with_what_no_other_names(store):
    for names in ("a", "b", "bc", "b"):
        versions.publish(store, draft(store, *map(row, names)))
    assert versions.numbers(store) == [1, 2, 3, 4]
    gone = set(collection.gc(store, 2))
    assert versions.numbers(store) == [3, 4]
    assert tar_key("a") in gone and tar_key("b") not in gone and len(gone) == 4  # two manifests, a tar, a ledger
    assert set(store.keys("shards")) == {tar_key("b", "c"), tar_key("b")}
    with pytest.raises(ConfigError, match="at least 1"):
        list(collection.gc(store, 0))


def test_a_version_of_which_something_is_gone_is_not_published(store):
    wanted = draft(store, row("a"), row("b"))
    whole = store.read(tar_key("a", "b"))
    store.write(tar_key("a", "b"), whole[:-512])
    with pytest.raises(StorageError, match=rf"{tar_key('a', 'b')} has 9728 bytes, 10240 were written"):
        versions.publish(store, wanted)
    store.delete(tar_key("a", "b"))
    with pytest.raises(StorageError, match=rf"{tar_key('a', 'b')} has 0 bytes"):
        versions.publish(store, wanted)
    assert versions.numbers(store) == [] and not list(store.walk("fence"))
    store.write(tar_key("a", "b"), whole)
    assert versions.publish(store, wanted).version == 1


def test_a_manifest_of_an_older_release_is_read_and_followed(store):
    first = versions.publish(store, draft(store, row("a")))
    old = first.model_dump(mode="json", exclude={"fence"})
    store.write("versions/0001/manifest.json", canonical_json(old))
    assert versions.latest(store) == first
    assert versions.publish(store, draft(store, row("b"))).version == 2


def test_the_number_of_a_dropped_version_stays_taken_for_a_while(store, monkeypatch):
    for names in ("a", "b", "c"):
        versions.publish(store, draft(store, *map(row, names)))
    list(collection.gc(store, 1))
    assert not store.create("versions/0001/manifest.json", b"")
    with pytest.raises(ConfigError, match="no version 1; there are: 3"):
        versions.read(store, 1)
    monkeypatch.setattr(LocalStore, "lateness_s", -1.0)
    list(collection.gc(store, 1))
    assert list(store.walk("versions")) == ["versions/0003/manifest.json", "versions/latest"]


def test_a_training_reads_the_newest_version_alone(store):
    for names in ("a", "b"):
        versions.publish(store, draft(store, *map(row, names)))
    assert len(list(store.keys("shards"))) == 2
    assert find_shards([store.root / "shards"], "SHARDS") == [store.path(tar_key("b"))]
    versions.rollback(store, 1)
    assert find_shards([str(store.root / "shards")], "SHARDS") == [store.path(tar_key("a"))]


def test_emptying_work_leaves_the_versions(store):
    versions.publish(store, draft(store, row("a")))
    store.write("work/raw/x.tar", b"x")
    assert list(collection.empty_work(store)) == ["work/raw/x.tar"]
    assert all(problem is None for _, problem in versions.verify(store, [versions.read(store, 1)]))
