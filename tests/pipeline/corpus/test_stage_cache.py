"""Results of stages: found again while all they rest on is there, computed anew otherwise."""

import importlib.metadata

import pytest

from clean_corpus.pipeline.core.records import Enhanced, Published, Scored, Shard
from clean_corpus.pipeline.corpus.stage_cache import NotRecorded, cached, find, library_versions, only_recorded, record
from clean_corpus.pipeline.storage.local import LocalStore


def test_a_result_is_computed_once(tmp_path):
    store, computed = LocalStore(tmp_path), []
    result = Scored({"a": {"snr_db": 12.5, "stoi": None}}, {"b": "score: too short"})
    for reused in (False, True):
        outcome = cached(store, "score", "name", Scored, lambda: computed.append(1) or result)
        assert (outcome.name, outcome.result, outcome.reused) == ("name", result, reused)
    assert len(computed) == 1 and cached(store, "score", "other", Scored, lambda: result).reused is False


def test_a_result_whose_tar_is_gone_or_cut_is_missing(tmp_path):
    store = LocalStore(tmp_path)
    store.write("shards/a.tar", b"12345")
    store.write("rejected/a.tar", b"123")
    result = Published(Shard("shards/a.tar", "0" * 64, 5, 1), Shard("rejected/a.tar", "1" * 64, 3, 1), {"a": -1.5})
    record(store, "publish", "name", Published, result)
    assert find(store, "publish", "name", Published) == result
    store.write("rejected/a.tar", b"12")
    assert find(store, "publish", "name", Published) is None
    store.write("rejected/a.tar", b"123")
    store.delete("shards/a.tar")
    assert find(store, "publish", "name", Published) is None


def test_where_only_what_is_recorded_counts_nothing_is_computed(tmp_path):
    store, result = LocalStore(tmp_path), Scored({}, {})
    with only_recorded(), pytest.raises(NotRecorded, match=r"work/score/name\.json"):
        cached(store, "score", "name", Scored, lambda: pytest.fail("computed"))
    cached(store, "score", "name", Scored, lambda: result)
    with only_recorded():
        assert cached(store, "score", "name", Scored, lambda: pytest.fail("computed")).reused


def test_a_computation_that_fails_records_nothing(tmp_path):
    store = LocalStore(tmp_path)

    def fail():
        raise RuntimeError("out of memory")

    for _ in range(2):
        try:
            cached(store, "enhance", "name", Enhanced, fail)
        except RuntimeError:
            assert find(store, "enhance", "name", Enhanced) is None


def test_versions_of_libraries_are_those_installed():
    soxr, torch = library_versions("soxr", "torch")
    assert soxr == f"soxr {importlib.metadata.version('soxr')}" and torch.startswith("torch ")
