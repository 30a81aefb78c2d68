"""Announcements are seen by others until they are taken back, can no longer matter, or are too old."""

from clean_corpus.pipeline.corpus import announcements
from clean_corpus.pipeline.storage.local import LocalStore


def test_a_commit_protects_its_objects_until_its_base_is_not_the_newest_any_more(tmp_path):
    store = LocalStore(tmp_path)
    one = announcements.announce_commit(store, 1, ["shards/a.tar"])
    announcements.announce_commit(store, 2, ["shards/b.tar"])
    assert announcements.announced_commits(store, 1) == {"shards/a.tar", "shards/b.tar"}
    announcements.withdraw(store, one)
    assert announcements.announced_commits(store, 2) == {"shards/b.tar"}
    assert announcements.announced_commits(store, 3) == set()
    assert not list(store.keys(announcements.COMMITS))


def test_a_deletion_is_announced_until_it_is_over_or_can_no_longer_happen(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    announced = announcements.announce_deletion(store, ["shards/a.tar", "shards/b.tar"])
    assert announcements.announced_deletions(store) == {"shards/a.tar", "shards/b.tar"}
    announcements.end_deletion(store, announced, {"shards/b.tar"})
    assert announcements.announced_deletions(store) == {"shards/b.tar"}
    monkeypatch.setattr(LocalStore, "lateness_s", -1.0)
    assert announcements.announced_deletions(store) == set()
    assert not list(store.keys(announcements.DELETIONS))
    announcements.end_deletion(store, announcements.announce_deletion(store, ["shards/a.tar"]), set())
    assert not list(store.keys(announcements.DELETIONS))


def test_deleting_ends_where_it_has_got_late(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(announcements.clock, "now_s", lambda: now[0])
    keys = announcements.while_held(LocalStore(tmp_path), ["a", "b", "c"], 0.0)
    assert [next(keys), next(keys)] == ["a", "b"]
    now[0] = LocalStore.lateness_s
    assert list(keys) == []
