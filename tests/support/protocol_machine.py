"""All orders in which runs can meet on one bucket: writing, collecting, rolling back, forgetting; halted, killed, late.

The code under test is the project's own lease and versions; hypothesis chooses the order of requests, the fate of
each, and the clock.
"""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from clean_corpus.pipeline.corpus import versions
from tests.support.interleaving import LATENESS_S, is_explained
from tests.support.protocol import Bucket, collect, forget, objects_of, roll_back, write

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
FORGOTTEN = st.sampled_from(["a", "d"])
PROGRAMS = st.one_of(
    NAMES.map(lambda names: (write, names)),
    st.sampled_from([(collect,), (roll_back,)]),
    FORGOTTEN.map(lambda name: (forget, name)),
)


class Protocol(RuleBasedStateMachine):
    """Up to three processes at a time."""

    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.bucket = Bucket(self.patch)
        self.actors = []
        for names in ("a", "b", "c"):
            self.bucket.run(write, names)
        for key, data in objects_of("d").items():  # of a run that died
            self.bucket.world.put(key, data)

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
        self._start(write, names)

    @precondition(_has_room)
    @rule()
    def start_collector(self):
        self._start(collect)

    @precondition(_has_room)
    @rule(name=FORGOTTEN)
    def start_forget(self, name):
        self._start(forget, name)

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
    @rule(
        one=PROGRAMS,
        point=st.sampled_from(POINTS),
        fate=st.sampled_from(["done", "done", "late", "unanswered"]),
        others=st.lists(PROGRAMS, min_size=1, max_size=2),
        seconds=st.sampled_from([0, 100]),
    )
    def overtake(self, one, point, fate, others, seconds):
        """One process is halted at a point, or its request is lost there, for as long as others take for their work."""
        self._start_program(one)
        halted = self.actors[-1]
        self._run(halted, 400, point)
        if fate != "done" and halted.pending and halted.pending.changes:
            halted.step(fate)
            self._run(halted, 400)
        self.bucket.world.now_s += seconds
        for other in others:
            if self._has_room():
                self._start_program(other)
                self._run(self.actors[-1], 400)
        self._run(halted, 400)
        if self.bucket.world.in_flight:
            self.deliver(0)

    def _start_program(self, program):
        function, *arguments = program
        self._start(function, *([min(self.bucket.manifests())] if function is roll_back else arguments))

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
