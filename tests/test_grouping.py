"""Groups depend on names; who was grouped stays so, and new recordings cost nobody else's work."""

from pipeline.clip import Recording
from pipeline.grouping import KEY, cut, grouped, regrouped
from pipeline.storage import LocalStore


def recording(name, size=1):
    return Recording(f"{name}.wav", f"{name}.wav", size, None)


MANY = [recording(f"{i:05d}") for i in range(1000)]


def test_cuts_depend_on_names_so_that_additions_stay_local():
    first = cut(MANY, 64)
    assert [r for group in first for r in group] == MANY and max(map(len, first)) <= 64
    second = cut([*MANY[:500], recording("00499b"), *MANY[500:]], 64)
    old = {tuple(r.path for r in group) for group in first}
    assert len([group for group in second if tuple(r.path for r in group) not in old]) <= 2


def test_a_group_ends_at_64_mib():
    assert [len(group) for group in cut([recording(f"a{i}", 40 * 2**20) for i in range(4)], 64)] == [2, 2]


def test_who_was_grouped_stays_so_and_new_ones_come_into_groups_of_their_own(tmp_path):
    store = LocalStore(tmp_path)
    first = grouped(store, MANY[::2], 64)
    second = grouped(store, MANY, 64)
    assert second[: len(first)] == first
    assert [r for group in second[len(first) :] for r in group] == MANY[1::2]
    stamp = (tmp_path / KEY).stat().st_mtime_ns
    assert grouped(store, MANY, 64) == second and (tmp_path / KEY).stat().st_mtime_ns == stamp
    third = grouped(store, MANY[1:], 64)
    assert third[0] == first[0][1:] and third[1:] == second[1:], "one that is gone costs its own group"


def test_another_size_cuts_anew(tmp_path):
    grouped(LocalStore(tmp_path), MANY[::2], 64)
    assert grouped(LocalStore(tmp_path), MANY, 32) == cut(MANY, 32)


def test_groups_of_whom_nobody_is_left_are_gone():
    assert regrouped(MANY[:2], {"00000.wav": 3, "00001.wav": 1, "gone.wav": 0}, 64) == [[MANY[1]], [MANY[0]]]
