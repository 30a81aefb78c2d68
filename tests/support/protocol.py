"""Runs that meet on one bucket, for tests of what keeps them apart: their work, and what must hold of the bucket.

The rules are those of docs/ARCHITECTURE.md, "Two runs, one bucket".
"""

import re
from types import SimpleNamespace

from clean_corpus.pipeline.core import clock
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.corpus import collection, rewriting, versions
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.storage import lease
from tests.support.interleaving import Actor, MemoryStore, World

KEEP = 2
SHARDS = {name: name.encode() * (10 + i) for i, name in enumerate("abcd")}


def objects_of(names):
    """The objects of a version with these shards: keys and bytes."""
    return {f"ledgers/{''.join(names).ljust(24, '0')}.parquet": b"ledger" + b"".join(map(SHARDS.get, names))} | {
        tar(name): SHARDS[name] for name in names
    }


def tar(name):
    """The key of a shard, of the kind that a run gives: any other is a file of others."""
    return f"shards/{name * 24}.tar"


def draft(names):
    ledger, *shards = (Shard(key, "", len(data), 1) for key, data in objects_of(names).items())
    return Manifest(ledger=ledger, shards=shards, rejected=[], run={})


def write(store, names):
    """A run: what exists already is reused, as the stage cache does; then the version, and what is too old goes.

    What is forgotten it does not take in.
    """
    with store.only_run():
        forgotten = complete(store)
        names = [name for name in names if name not in forgotten]
        for key, data in objects_of(names).items():
            if store.size(key) != len(data):
                store.write(key, data)
        made = versions.publish(store, draft(names))
        list(collection.gc(store, KEEP))
    return made


def collect(store):
    with store.only_run():
        complete(store)
        return list(collection.gc(store, KEEP))


def collect_all_but_the_newest(store):
    with store.only_run():
        return list(collection.gc(store, 1))


def roll_back(store, version):
    with store.only_run():
        complete(store)
        versions.rollback(store, version)


def forget(store, name):
    """A shard goes from every version: the request is stored first, then all is rewritten, then it is done."""
    with store.only_run():
        store.write(f"forgotten/{name}", b"")
        complete(store)


def complete(store):
    """Do what a forget that died has left; return the names of all that is forgotten."""
    found = list(store.keys("forgotten"))
    names = {key.removeprefix("forgotten/")[0] for key in found}
    if not {f"forgotten/{name}.done" for name in names} <= set(found):

        def without(manifest):
            left = [key[7] for key in (shard.key for shard in manifest.shards) if key[7] not in names]
            if len(left) == len(manifest.shards):
                return manifest
            for key, data in objects_of(left).items():
                if store.size(key) != len(data):
                    store.write(key, data)
            return draft(left)

        rewriting.rewrite_all(store, without)
        for name in names:
            store.write(f"forgotten/{name}.done", b"")
    return names


class Bucket:
    """A world with its clock in place of the real one, and what must always hold of it."""

    def __init__(self, patch):
        self.world = World()
        patch.setattr(clock, "now_s", lambda: self.world.now_s)
        patch.setattr(lease, "time", SimpleNamespace(sleep=self.world.sleep))
        patch.setattr(lease, "HEARTBEAT_S", 300.0)  # a look at the run before every 30 s
        patch.setattr(lease, "_machine", lambda: None)
        self.keep = KEEP

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

    def newest(self):
        """The shards of the version that a reader takes for the newest."""
        return [shard.key for shard in versions.latest(MemoryStore(self.world)).shards]

    def check(self):
        manifests = self.manifests()
        for number, manifest in manifests.items():
            for named in manifest.objects:
                found = self.world.objects.get(named.key)
                assert found and len(found.data) == named.size, f"{named.key} of version {number} is gone"
        made = [int(key[9:13]) for key in self.world.written if key.endswith("/manifest.json")]
        assert made == list(range(1, len(made) + 1)), f"of one base one version, without a gap: {made}"
        assert list(manifests) == made[len(made) - len(manifests) :], f"of {made} there are {list(manifests)}"
        assert len(manifests) >= min(self.keep, len(made)), f"only {list(manifests)} of {made} are left"
        fences = [manifest.fence for manifest in manifests.values()]
        assert fences == sorted(fences), f"a run that had been taken over committed: {fences}"
        for key in self.world.objects:
            if key.startswith("forgotten/") and key.endswith(".done"):
                gone = tar(key[10])
                holding = [number for number, m in manifests.items() if gone in [shard.key for shard in m.shards]]
                assert not holding, f"{gone} is forgotten, and versions {holding} name it"
        assert len(set(self.world.numbers)) == len(self.world.numbers), (
            f"a number was given twice: {self.world.numbers}"
        )
