"""Runs that meet on one bucket: writers, collectors and rollbacks, halted, killed and late at any single request.

The invariants are those of docs/ARCHITECTURE.md, "Two runs, one bucket". The code under test is the project's own lease
and versions; hypothesis chooses the order of requests, the fate of each, and the clock.
"""

import re
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from clean_corpus.pipeline.core import clock
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.storage import lease
from clean_corpus.pipeline.storage.base import StorageError
from tests.support.interleaving import LATENESS_S, Actor, MemoryStore, World, is_explained

KEEP = 2
SHARDS = {name: name.encode() * (10 + i) for i, name in enumerate("abcd")}


def objects_of(names):
    """The objects of a version with these shards: keys and bytes."""
    return {f"ledgers/{''.join(names)}.parquet": b"ledger" + b"".join(map(SHARDS.get, names))} | {
        f"shards/{name}.tar": SHARDS[name] for name in names
    }


def draft(names):
    ledger, *shards = (Shard(key, "", len(data), 1) for key, data in objects_of(names).items())
    return Manifest(ledger=ledger, shards=shards, rejected=[], run={})


def write(store, names, numbers=None):
    """A run: what exists already is reused, as the stage cache does; then the version, and what is too old goes."""
    with store.only_run():
        if numbers is not None:
            numbers.append(store.lease.number)
        for key, data in objects_of(names).items():
            if store.size(key) != len(data):
                store.write(key, data)
        made = versions.publish(store, draft(names))
        list(versions.gc(store, KEEP))
    return made


def collect(store):
    with store.only_run():
        return list(versions.gc(store, KEEP))


def collect_all_but_the_newest(store):
    with store.only_run():
        return list(versions.gc(store, 1))


def roll_back(store, version):
    with store.only_run():
        versions.rollback(store, version)


class Bucket:
    """A world with its clock in place of the real one, and what must always hold of it."""

    def __init__(self, patch):
        self.world = World()
        patch.setattr(clock, "now_s", lambda: self.world.now_s)
        patch.setattr(lease, "time", SimpleNamespace(sleep=self.world.sleep))
        patch.setattr(lease, "HEARTBEAT_S", 300.0)  # a look at the run before every 30 s
        patch.setattr(lease, "_machine", lambda: None)
        self.numbers, self.keep = [], KEEP

    def actor(self, function, *arguments):
        store = MemoryStore(self.world)
        actor = Actor(self.world, lambda: function(store, *arguments))
        actor.store = store
        return actor

    def run(self, function, *arguments):
        actor = self.actor(function, *arguments)
        actor.finish()
        return actor

    def manifests(self):
        """All versions that are there and were not dropped."""
        found = ((re.fullmatch(r"versions/(\d+)/manifest\.json", key), key) for key in self.world.objects)
        visible = sorted((int(m[1]), k) for m, k in found if m and f"versions/{m[1]}/dropped" not in self.world.objects)
        return {number: Manifest.model_validate_json(self.world.objects[key].data) for number, key in visible}

    def check(self):
        manifests = self.manifests()
        for number, manifest in manifests.items():
            for named in manifest.objects:
                found = self.world.objects.get(named.key)
                assert found and len(found.data) == named.size, f"{named.key} of version {number} is gone"
        made = [int(key[9:13]) for key in self.world.created if key.endswith("/manifest.json")]
        assert made == list(range(1, len(made) + 1)), f"of one base one version, without a gap: {made}"
        assert list(manifests) == made[len(made) - len(manifests) :], f"of {made} there are {list(manifests)}"
        assert len(manifests) >= min(self.keep, len(made)), f"only {list(manifests)} of {made} are left"
        fences = [manifest.fence for manifest in manifests.values()]
        assert fences == sorted(fences), f"a run that had been taken over committed: {fences}"
        assert len(set(self.numbers)) == len(self.numbers), f"a number was given twice: {self.numbers}"


@pytest.fixture
def bucket(monkeypatch):
    return Bucket(monkeypatch)


# ---- cases, one request apart


def test_what_a_halted_collector_is_about_to_delete_is_not_committed(bucket):
    bucket.keep = 1
    for names in ("a", "b", "c"):
        bucket.run(write, names)  # version 1, which names a, goes with the third
    late = bucket.actor(collect_all_but_the_newest)
    late.until("try_delete", "shards/b.tar")
    again = bucket.run(write, "b")
    assert isinstance(again.error, StorageError) and "is being deleted" in str(again.error)
    late.step()
    bucket.check()
    late.finish()
    assert bucket.run(write, "b").result.version == 4
    bucket.check()


def test_what_is_about_to_be_committed_is_not_deleted(bucket):
    for names in ("a", "b"):
        bucket.run(write, names)
    bucket.world.put("shards/d.tar", SHARDS["d"])  # of a run that died
    writer = bucket.actor(write, "d")
    writer.until("create", "versions/0003/manifest.json")
    bucket.world.now_s += 100
    collector = bucket.run(collect)
    assert collector.error is None and "shards/d.tar" in bucket.world.objects
    writer.step()
    bucket.check()
    assert list(bucket.manifests()) == [1, 2, 3]


def test_a_halted_writer_finds_its_number_taken_although_that_version_was_dropped(bucket):
    bucket.run(write, "a")
    halted = bucket.actor(write, "b")
    halted.until("create", "versions/0002/manifest.json")
    for names in ("c", "d", "ac", "ad"):
        bucket.run(write, names)
    assert list(bucket.manifests()) == [4, 5]
    halted.finish()
    assert isinstance(halted.error, ConfigError) and "another run published version 2" in str(halted.error)
    bucket.check()


def test_a_number_is_never_given_again(bucket):
    halted = bucket.actor(write, "a", bucket.numbers)
    halted.until("create", "work/lease/00000001.json")
    bucket.run(write, "b", bucket.numbers)
    holder = bucket.actor(write, "c", bucket.numbers)
    holder.until("put", "shards/c.tar")
    halted.finish()
    assert isinstance(halted.error, ConfigError) and bucket.numbers == [1, 2]
    holder.finish()
    assert holder.error is None
    bucket.check()


def test_a_run_that_was_taken_over_publishes_and_collects_nothing(bucket):
    bucket.keep = 1
    for names in ("a", "b"):
        bucket.run(write, names)
    one, other = bucket.actor(write, "c"), bucket.actor(collect_all_but_the_newest)
    one.until("put", "shards/c.tar")
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


def test_a_version_whose_object_is_gone_is_not_committed(bucket):
    writer = bucket.actor(write, "ab")
    writer.until("list", "versions")
    del bucket.world.objects["shards/a.tar"]
    writer.finish()
    assert isinstance(writer.error, StorageError) and "shards/a.tar has 0 bytes" in str(writer.error)
    assert not bucket.manifests()
    assert bucket.run(write, "ab").result.version == 1


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


# ---- all orders


POINTS = (  # a request that decides something: what others do right before it is most telling
    "create versions/",
    "create versions/",
    "try_delete ",
    "try_delete ",
    "list fence/commits",
    "list fence/deletions",
    "put fence/deletions",
    "put fence/commits",
    "create work/lease",
    "create fence/",
    "list versions",
    "put versions/",
)


NAMES = st.sampled_from(["a", "b", "c", "ab", "bc", "d"])
PROGRAMS = st.one_of(NAMES.map(lambda names: (write, names)), st.sampled_from([(collect,), (roll_back,)]))


class Protocol(RuleBasedStateMachine):
    """Up to three processes at a time."""

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.bucket = Bucket(self.patch)
        self.actors = []
        for names in ("a", "b", "c"):
            self.bucket.run(write, names)

    def _start(self, function, *arguments):
        self._settle()
        self.actors.append(self.bucket.actor(function, *arguments))

    def _settle(self):
        for actor in self.actors:
            assert is_explained(actor.error), repr(actor.error)
        self.actors = [actor for actor in self.actors if not actor.is_over]

    def _chosen(self, index):
        return self.actors[index % len(self.actors)]

    def _has_room(self):
        return sum(not actor.is_over for actor in self.actors) < 3

    def _is_busy(self):
        return any(not actor.is_over for actor in self.actors)

    @precondition(_has_room)
    @rule(names=NAMES)
    def start_writer(self, names):
        self._start(write, names, self.bucket.numbers)

    @precondition(_has_room)
    @rule()
    def start_collector(self):
        self._start(collect)

    @precondition(lambda self: self._has_room() and len(self.bucket.manifests()) > 1)
    @rule(back=st.integers(2, 3))
    def start_rollback(self, back):
        self._start(roll_back, [*self.bucket.manifests()][-back:][0])

    @precondition(_is_busy)
    @rule(index=st.integers(0, 2), steps=st.integers(1, 60))
    def go_on(self, index, steps):
        self._settle()
        self._run(self._chosen(index), steps)

    @precondition(_has_room)
    @rule(one=PROGRAMS, point=st.sampled_from(POINTS), other=PROGRAMS)
    def overtake(self, one, point, other):
        """One process is halted at a point for as long as another takes for all of its work."""
        for program in (one, other):
            function, *arguments = program
            if function is roll_back:
                arguments = [min(self.bucket.manifests())]
            self._start(function, *arguments)
            if program is one:
                self._run(self.actors[-1], 400, point)
        self._run(self.actors[-1], 400)

    def _run(self, actor, steps, point=None):
        """Run on, to the end or to a request that begins with `point`."""
        for _ in range(steps):
            if actor.is_over:
                return
            actor.step()
            self.bucket.check()
            if point and actor.pending and f"{actor.pending.name} {actor.pending.key}".startswith(point):
                return

    @precondition(_is_busy)
    @rule(index=st.integers(0, 2), point=st.sampled_from(POINTS))
    def go_on_until(self, index, point):
        self._settle()
        self._run(self._chosen(index), 400, point)

    @precondition(_is_busy)
    @rule(index=st.integers(0, 2))
    def finish(self, index):
        self.go_on(index, 400)

    @precondition(_is_busy)
    @rule(index=st.integers(0, 2), fate=st.sampled_from(["unanswered", "late", "twice"]))
    def lose(self, index, fate):
        self._settle()
        actor = self._chosen(index)
        if actor.pending.changes:
            actor.step(fate)

    @precondition(_is_busy)
    @rule(index=st.integers(0, 2), is_sent=st.booleans())
    def kill(self, index, is_sent):
        self._settle()
        actor = self._chosen(index)
        if is_sent and actor.pending.changes:
            self.bucket.world.in_flight.append(actor.pending)
        actor.kill()
        self.actors.remove(actor)

    @precondition(lambda self: self.bucket.world.in_flight)
    @rule(index=st.integers(0, 9))
    def deliver(self, index):
        self.bucket.world.deliver(index % len(self.bucket.world.in_flight))

    @precondition(_is_busy)
    @rule(index=st.integers(0, 2))
    def renew(self, index):
        self._settle()
        held = self._chosen(index).store.lease
        if held and self._has_room():
            self._start(lambda store: held.renew())

    @rule(seconds=st.sampled_from([1, 70, 150]))
    def wait(self, seconds):
        self.bucket.world.now_s += seconds

    @invariant()
    def holds(self):
        self.bucket.check()

    def teardown(self):
        try:
            for actor in self.actors:
                actor.kill()
            while self.bucket.world.in_flight:
                self.bucket.world.deliver(0)
                self.bucket.check()
            self._nothing_stays_in_the_way()
        finally:
            self.patch.undo()

    def _nothing_stays_in_the_way(self):
        """Once late requests are over, a run publishes, and nothing is left but what its versions name."""
        self.bucket.world.now_s += 2 * LATENESS_S
        for names in ("abcd", "abc"):
            last = self.bucket.run(write, names)
            assert last.error is None, repr(last.error)
            self.bucket.check()
        named = {shard.key for manifest in self.bucket.manifests().values() for shard in manifest.objects}
        assert {key for key in self.bucket.world.objects if key.startswith(versions.FOLDERS)} == named
        assert not [key for key in self.bucket.world.objects if key.startswith("work/lease/")]


def test_the_invariants_hold_in_every_order_that_hypothesis_finds():
    run_state_machine_as_test(
        Protocol,
        settings=settings(
            max_examples=100, stateful_step_count=20, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate],  # to shorten an example: Phase.shrink
        ),
    )  # fmt: skip
