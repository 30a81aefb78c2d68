"""Groups depend on names; who was grouped stays so, and new recordings cost nobody else's work."""

import tracemalloc
from itertools import zip_longest

import pyarrow.parquet as pq
import pytest

from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.discover import find
from clean_corpus.pipeline.discover import groups as grouping
from clean_corpus.pipeline.discover.groups import KEY, cut_groups, group_recordings
from clean_corpus.pipeline.storage import s3_objects
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.storage.s3_objects import S3Object


def recording(name, size=1):
    return Recording(f"{name}.wav", f"{name}.wav", size, None)


MANY = [recording(f"{i:05d}") for i in range(1000)]


class Folder:
    """Recordings in a folder, and a store for their groups."""

    def __init__(self, folder):
        self.root, self.store, self.kept = folder / "in", LocalStore(folder / "out"), folder / "out" / KEY
        self.root.mkdir()

    def add(self, recordings):
        for one in recordings:
            (self.root / one.path).touch()

    def groups(self, max_clips=64):
        """Paths of each group."""
        with scratch_database() as db:
            found = group_recordings(self.store, find(self.root, db, exclude=None), max_clips)
            result = paths(flat(found))
            assert len(found) == len(result) and paths(flat(found)) == result
            return result

    def parts(self):
        """Paths of each part of each group that was joined."""
        with scratch_database() as db:
            found = group_recordings(self.store, find(self.root, db, exclude=None), 64)
            return [paths(parts) for parts in found if len(parts) > 1]

    def numbers(self):
        """Source -> group, as kept for the next run."""
        table = pq.read_table(self.kept)
        return dict(zip(table["source"].to_pylist(), table["group"].to_pylist(), strict=True))


def flat(groups):
    return [[r for part in parts for r in part] for parts in groups]


def paths(groups):
    return [[r.path for r in group] for group in groups]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_cuts_depend_on_names_so_that_additions_stay_local():
    first = list(cut_groups(MANY, 64))
    assert [r for group in first for r in group] == MANY and max(map(len, first)) <= 64
    second = cut_groups([*MANY[:500], recording("00499b"), *MANY[500:]], 64)
    old = {tuple(r.path for r in group) for group in first}
    assert len([group for group in second if tuple(r.path for r in group) not in old]) <= 2


def test_a_group_ends_at_64_mib():
    assert [len(group) for group in cut_groups([recording(f"a{i}", 40 * 2**20) for i in range(4)], 64)] == [2, 2]


def test_who_was_grouped_stays_so_and_new_ones_come_into_groups_of_their_own(folder):
    folder.add(MANY[::2])
    first = folder.groups()
    assert first == paths(cut_groups(MANY[::2], 64))
    folder.add(MANY)
    second = folder.groups()
    assert second == first + paths(cut_groups(MANY[1::2], 64))
    stamp = folder.kept.stat().st_mtime_ns
    assert folder.groups() == second and folder.kept.stat().st_mtime_ns == stamp
    some = next(i for i, group in enumerate(second) if len(group) > 1)
    (folder.root / second[some][0]).unlink()
    left = [*second[:some], second[some][1:], *second[some + 1 :]]
    assert folder.groups() == left, "one that is gone costs its own group"
    assert second[some][0] not in folder.numbers()


def test_another_size_cuts_anew(folder):
    folder.add(MANY[::2])
    folder.groups()
    folder.add(MANY)
    assert folder.groups(32) == paths(cut_groups(MANY, 32))


def test_a_group_of_which_nobody_is_left_goes_and_the_others_keep_their_numbers(folder):
    folder.add(MANY)
    first, numbers = folder.groups(), folder.numbers()
    for path in first[1]:
        (folder.root / path).unlink()
    assert folder.groups() == [first[0], *first[2:]]
    assert folder.numbers() == {source: number for source, number in numbers.items() if number != 1}
    folder.add([recording("new")])
    assert folder.groups()[-1] == ["new.wav"] and folder.numbers()["new.wav"] == len(first)


def test_groups_are_kept_and_read_in_parts(folder, monkeypatch):
    monkeypatch.setattr(grouping, "_ROWS", 7)
    folder.add(MANY[:100])
    first = folder.groups()
    assert pq.ParquetFile(folder.kept).num_row_groups == 15
    assert folder.groups() == first and folder.numbers().keys() == {r.source for r in MANY[:100]}


def test_small_groups_of_many_nights_are_joined_and_remember_their_parts(folder):
    folder.add(MANY[:200])
    first, nights = folder.groups(), 0
    while not folder.parts():
        apart = folder.groups()
        folder.add([recording(f"n{nights:02d}-{i}") for i in range(3)])
        joined, nights = folder.groups(), nights + 1
    assert 8 < nights < 18 and len(apart) > len(first) + 8
    order = [path for group in [*apart, joined[-1][-3:]] for path in group]
    assert [path for group in joined for path in group] == order, "the order of recordings stays"
    assert len(joined) <= len(first) + 2 and max(map(len, joined)) <= 64 and joined[: len(first) - 1] == first[:-1]
    parts = folder.parts()
    assert all(part in [*apart, order[-3:]] for group in parts for part in group)
    assert folder.groups() == joined and folder.parts() == parts, "nothing new: nothing is joined"
    folder.add([recording("zz")])
    assert folder.groups() == [*joined, ["zz.wav"]] and folder.parts() == parts


def test_groups_that_a_release_without_parts_has_kept_are_read(folder):
    folder.add(MANY[:100])
    first = folder.groups()
    table = pq.read_table(folder.kept)
    pq.write_table(table.drop(["part"]), folder.kept)
    assert folder.groups() == first


def test_no_recordings_make_no_groups_and_keep_nothing(folder):
    assert folder.groups() == [] and not folder.kept.exists()


def test_groups_can_be_iterated_side_by_side(folder):
    folder.add(MANY[:200])
    with scratch_database() as db:
        groups = group_recordings(folder.store, find(folder.root, db, exclude=None), 64)
        assert all(one == other for one, other in zip_longest(groups, groups))


def test_memory_does_not_grow_with_the_recordings(tmp_path, monkeypatch):
    def peak(count):
        listing = (S3Object("b", f"in/{i // 100:05d}/{i:09d}.wav", f"{i:032x}", 160_000) for i in range(count))
        monkeypatch.setattr(s3_objects, "list_objects", lambda *_, **__: listing)
        tracemalloc.start()
        with scratch_database() as db:
            groups = group_recordings(
                LocalStore(tmp_path / str(count)), find(S3Folder("b", "in"), db, exclude=None), 64
            )
            assert sum(len(part) for parts in groups for part in parts) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    monkeypatch.setattr(grouping, "_ROWS", 100)
    peak(100)  # what is loaded at the first call
    assert peak(4000) < peak(1000) + 50_000, "of 3000 more"
