"""Runs that meet on one bucket: what is known to be dangerous, one request apart, and all orders that are found.

The invariants are those of docs/ARCHITECTURE.md, "Two runs, one bucket".
"""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.storage import lease
from clean_corpus.pipeline.storage.base import StorageError
from tests.support.interleaving import LATENESS_S
from tests.support.protocol import SHARDS, Bucket, collect, collect_all_but_the_newest, forget, roll_back, tar, write
from tests.support.protocol_machine import Protocol


@pytest.fixture
def bucket(monkeypatch):
    return Bucket(monkeypatch)


def with_an_unnamed_shard(bucket):
    """Two versions, and a shard that neither names: of a run that died."""
    for names in ("a", "b"):
        bucket.run(write, names)
    bucket.world.put(tar("d"), SHARDS["d"])


# ---- a commit and a deletion


def test_what_a_halted_collector_is_about_to_delete_is_not_committed(bucket):
    bucket.keep = 1
    for names in ("a", "b", "c"):
        bucket.run(write, names)  # version 1, which names a, goes with the third
    late = bucket.actor(collect_all_but_the_newest)
    late.until("try_delete", tar("b"))
    again = bucket.run(write, "b")
    late.step()
    bucket.check()
    assert isinstance(again.error, StorageError) and "is being deleted" in str(again.error)
    late.finish()
    assert bucket.run(write, "b").result.version == 4
    bucket.check()


def test_what_is_about_to_be_committed_is_not_deleted(bucket):
    with_an_unnamed_shard(bucket)
    writer = bucket.actor(write, "d")
    writer.until("create", "versions/0003/manifest.json")
    bucket.world.now_s += 100
    collector = bucket.run(collect)
    writer.step()
    bucket.check()
    assert collector.error is None and tar("d") in bucket.world.objects
    assert list(bucket.manifests()) == [1, 2, 3]


def test_what_has_been_committed_since_the_versions_were_read_is_not_deleted(bucket):
    with_an_unnamed_shard(bucket)
    writer = bucket.actor(write, "d")
    writer.until("create", "versions/0003/manifest.json")
    bucket.world.now_s += 100
    collector = bucket.actor(collect)
    collector.until("list", "fence/commits")
    writer.step()
    writer.step()  # its announcement is gone again
    assert not [key for key in bucket.world.objects if key.startswith("fence/commits")]
    collector.finish()
    bucket.check()
    assert collector.error is None and list(bucket.manifests()) == [1, 2, 3]


def test_what_a_commit_without_an_answer_names_is_not_deleted(bucket):
    with_an_unnamed_shard(bucket)
    writer = bucket.actor(write, "d")
    writer.until("create", "versions/0003/manifest.json")
    writer.step("late")
    writer.finish()
    assert isinstance(writer.error, StorageError)
    assert bucket.run(collect).error is None
    bucket.world.deliver(0)
    bucket.check()
    assert list(bucket.manifests()) == [1, 2, 3]


@pytest.mark.parametrize("later_s", [0, LATENESS_S / 2 - 50])
def test_what_a_deletion_without_an_answer_may_take_is_not_committed(bucket, later_s):
    with_an_unnamed_shard(bucket)
    collector = bucket.actor(collect)
    collector.until("try_delete", tar("d"))
    collector.step("late")
    collector.finish()
    bucket.world.now_s += later_s
    writer = bucket.run(write, "d")
    bucket.world.deliver(0)
    bucket.check()
    assert isinstance(writer.error, StorageError) and f"{tar('d')} is being deleted" in str(writer.error)
    bucket.world.now_s += LATENESS_S + 1
    assert bucket.run(write, "d").result.version == 3
    bucket.check()


def test_a_collector_that_is_slow_deletes_nothing_that_its_announcement_no_longer_covers(bucket):
    with_an_unnamed_shard(bucket)
    collector = bucket.actor(collect)
    collector.until("list", "fence/commits")
    for _ in range(2):  # slow, but no request is late
        bucket.world.now_s += LATENESS_S / 3
        collector.step()
    while not collector.is_over and collector.pending.name != "try_delete":
        collector.step()
    bucket.world.now_s += LATENESS_S / 2 - 1
    assert bucket.run(write, "d").error is None
    if not collector.is_over:
        collector.finish()
    bucket.check()
    assert list(bucket.manifests()) == [2, 3]


@pytest.mark.parametrize("left", [None, b"cut"])
def test_a_version_whose_object_is_gone_or_cut_is_not_committed(bucket, left):
    writer = bucket.actor(write, "ab")
    writer.until("list", "versions")
    del bucket.world.objects[tar("a")]
    if left:
        bucket.world.put(tar("a"), left)
    writer.finish()
    bucket.check()
    assert isinstance(writer.error, StorageError)
    assert f"{tar('a')} has {len(left or b'')} bytes" in str(writer.error)
    assert not bucket.manifests()
    assert bucket.run(write, "ab").result.version == 1


# ---- numbers


def test_a_halted_writer_finds_its_number_taken_although_that_version_was_dropped(bucket):
    bucket.run(write, "a")
    halted = bucket.actor(write, "b")
    halted.until("create", "versions/0002/manifest.json")
    for names in ("c", "d", "ac", "ad"):
        bucket.run(write, names)
    assert list(bucket.manifests()) == [4, 5]
    halted.finish()
    bucket.check()
    assert isinstance(halted.error, ConfigError) and "another run published version 2" in str(halted.error)


def test_of_two_writers_with_one_base_one_commits(bucket):
    for names in ("a", "b"):
        bucket.run(write, names)
    halted = bucket.actor(write, "a")
    halted.until(None, "versions/0003/manifest.json")
    bucket.world.now_s += 100
    assert bucket.run(roll_back, 1).result is None
    halted.finish()
    bucket.check()
    assert isinstance(halted.error, ConfigError) and bucket.manifests()[3].again == 1


def test_a_number_is_never_given_again(bucket):
    halted = bucket.actor(write, "a")
    halted.until("create", "work/lease/00000001.json")
    bucket.run(write, "b")
    holder = bucket.actor(write, "c")
    holder.until("put", tar("c"))
    halted.finish()
    bucket.check()
    assert isinstance(halted.error, ConfigError) and bucket.world.numbers == [1, 2]
    holder.finish()
    assert holder.error is None
    bucket.check()


def test_of_two_runs_that_begin_at_one_moment_one_is_refused(bucket):
    one, other = bucket.actor(write, "a"), bucket.actor(write, "b")
    for actor in (one, other):
        actor.until("create", "work/lease/00000001.json")
    one.step()
    other.finish()
    one.finish()
    bucket.check()
    assert one.error is None and isinstance(other.error, ConfigError) and bucket.world.numbers == [1]


# ---- runs that were taken over


def test_a_run_that_was_taken_over_publishes_and_collects_nothing(bucket):
    bucket.keep = 1
    for names in ("a", "b"):
        bucket.run(write, names)
    one, other = bucket.actor(write, "c"), bucket.actor(collect_all_but_the_newest)
    one.until("put", tar("c"))
    other.until("sleep", "")
    other.finish()  # it waits until the first is taken for dead
    assert list(bucket.manifests()) == [2]
    one.finish()
    assert isinstance(one.error, lease.LeaseLost) and list(bucket.manifests()) == [2]
    late = bucket.actor(collect_all_but_the_newest)
    late.until("list", "versions")
    bucket.run(write, "d")
    late.finish()
    assert isinstance(late.error, lease.LeaseLost)
    bucket.check()


def test_a_run_that_was_taken_over_commits_nothing_on_top_of_its_successor(bucket):
    bucket.run(write, "a")
    halted = bucket.actor(write, "a")
    halted.until("list", "versions")
    bucket.world.now_s += 100
    assert bucket.run(write, "c").error is None
    halted.finish()
    bucket.check()
    assert isinstance(halted.error, lease.LeaseLost) and list(bucket.manifests()) == [1, 2]


def test_a_collector_that_was_taken_over_deletes_no_more(bucket):
    with_an_unnamed_shard(bucket)
    halted = bucket.actor(collect)
    halted.until("list", "fence/commits")
    bucket.world.now_s += 100
    assert isinstance(bucket.run(write, "d").error, StorageError)
    halted.finish()
    assert tar("d") in bucket.world.objects, "a run that had been taken over deleted"
    assert isinstance(halted.error, lease.LeaseLost)


def test_a_version_that_a_rollback_is_about_to_bring_back_keeps_its_objects(bucket):
    for names in ("a", "b"):
        bucket.run(write, names)
    back = bucket.actor(roll_back, 1)
    back.until("create", "versions/0003/manifest.json")
    bucket.world.now_s += 100
    bucket.keep = 1
    assert bucket.run(collect_all_but_the_newest).error is None  # version 1 and what only it names are too old
    back.finish()
    bucket.check()
    assert list(bucket.manifests()) == [2, 3]


def test_a_lease_of_an_older_release_is_respected(bucket):
    for names in ("a", "c"):
        bucket.run(write, names)
    bucket.world.put("work/lease/00000001.json", b'{"pid": 1}')  # there numbers began anew after each release
    other = bucket.actor(write, "b")
    other.until("sleep", "")
    bucket.world.put("work/lease/00000001.json", b'{"pid": 1, "beats": 1}')
    other.finish()
    assert isinstance(other.error, ConfigError) and "another run is writing" in str(other.error)
    bucket.world.now_s += 100
    assert bucket.run(write, "b").result.fence == 3


# ---- forgetting


def test_what_is_forgotten_goes_from_every_version_and_the_newest_stays_the_newest(bucket):
    for names in ("ab", "ac"):
        bucket.run(write, names)
    one = bucket.actor(forget, "a")
    seen = []
    while not one.is_over:
        one.step()
        bucket.check()
        if not seen or seen[-1] != bucket.newest():
            seen.append(bucket.newest())
    assert one.error is None and seen == [[tar("a"), tar("c")], [tar("c")]]
    kept = bucket.manifests()
    assert {number: (m.rewrites, len(m.shards)) for number, m in kept.items()} == {3: (1, 1), 4: (2, 1)}
    assert tar("a") not in bucket.world.objects
    assert bucket.run(write, "ad").error is None and bucket.newest() == [tar("d")]


@pytest.mark.parametrize("halted_at", ["create versions/0003/manifest.json", f"put {tar('d')}"])
@pytest.mark.parametrize("names", ["ab", "bc"])
def test_a_halted_run_does_not_bring_back_what_was_forgotten_since(bucket, halted_at, names):
    for one in (names[0], names):
        bucket.run(write, one)
    halted = bucket.actor(write, "ad")
    halted.until(*halted_at.split(" "))
    bucket.world.now_s += 100
    assert bucket.run(forget, "a").error is None
    halted.finish()
    bucket.check()
    assert bucket.manifests()[4 if "a" in names else 3].rewrites == 2
    assert isinstance(halted.error, ConfigError | StorageError)
    assert bucket.run(write, "ad").error is None
    assert bucket.newest() == [tar("d")] and tar("a") not in bucket.world.objects


def test_a_halted_rollback_does_not_bring_back_what_was_forgotten_since(bucket):
    for names in ("a", "b"):
        bucket.run(write, names)
    back = bucket.actor(roll_back, 1)
    back.until("create", "versions/0003/manifest.json")
    bucket.world.now_s += 100
    assert bucket.run(forget, "a").error is None
    back.finish()
    bucket.check()
    assert isinstance(back.error, ConfigError) and "another run published version 3" in str(back.error)
    assert isinstance(bucket.run(roll_back, 1).error, ConfigError)
    assert bucket.run(roll_back, 3).error is None and bucket.newest() == []


@pytest.mark.parametrize("later", [(forget, "a"), (write, "ac"), (collect,)])
def test_a_forget_that_dies_at_any_request_is_completed_by_what_comes_after(monkeypatch, later):
    step, is_over = 0, False
    while not is_over:
        bucket = Bucket(monkeypatch)
        for names in ("ab", "ac"):
            bucket.run(write, names)
        one = bucket.actor(forget, "a")
        for _ in range(step):
            if not one.is_over:
                one.step()
        is_over, is_asked = one.is_over, "forgotten/a" in bucket.world.objects
        one.kill()
        assert bucket.newest() in ([tar("a"), tar("c")], [tar("c")])
        bucket.world.now_s += LATENESS_S  # the lease and what was announced are over
        assert bucket.run(*later).error is None
        bucket.check()
        assert bucket.newest() == [tar("c")] or not is_asked
        assert tar("a") not in bucket.world.objects or not is_asked
        step += 7


def test_a_forget_whose_deletion_got_no_answer_is_not_over(bucket):
    for names in ("ab", "ac"):
        bucket.run(write, names)
    one = bucket.actor(forget, "a")
    one.until("try_delete", tar("a"))
    one.step("late")
    one.finish()
    assert isinstance(one.error, StorageError) and "1 objects are not deleted yet" in str(one.error)
    assert "forgotten/a.done" not in bucket.world.objects
    assert bucket.run(forget, "a").error is None
    bucket.world.deliver(0)
    bucket.check()


def test_a_collector_leaves_the_newest_version_while_a_rewriting_is_not_over(bucket):
    for names in ("ab", "ac"):
        bucket.run(write, names)
    one = bucket.actor(forget, "a")
    one.until("create", "versions/0004/manifest.json")
    bucket.world.now_s += 100
    assert bucket.run(collect_all_but_the_newest).error is None
    assert list(bucket.manifests()) == [2, 3] and bucket.newest() == [tar("a"), tar("c")]
    one.finish()
    bucket.check()
    assert bucket.run(forget, "a").error is None and bucket.newest() == [tar("c")]


# ---- all orders


def test_the_invariants_hold_in_every_order_that_hypothesis_finds():
    run_state_machine_as_test(
        Protocol,
        settings=settings(
            max_examples=100, stateful_step_count=20, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],  # to shorten an example: Phase.shrink
        ),
    )  # fmt: skip
