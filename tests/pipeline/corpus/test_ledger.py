"""The ledger: a fixed order, equal bytes for equal runs, sums that add up."""

import io

import pyarrow.parquet as pq
import pytest

from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Clip, Decision, Metadata, Verdict
from clean_corpus.pipeline.corpus import ledger
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.corpus.run_state import RunState

KEPT = Decision(Verdict.KEPT, chosen="enhanced")
LOW = Decision(Verdict.REJECTED, "snr_db", "snr_db 3 < 15", "raw", "damage: dnsmos_sig 3 -> 2, allowed -0.5")
LOST = Decision(Verdict.FAILED, "not_audio", "not audio: format not recognised")
CONSTANTS = {name: name[0] for name in ledger.CONSTANTS}


def rows():
    text = Metadata(text="zwei Wörter", speaker="s1", licence="CC0")
    yield Row(Clip("b", "b.wav", "0" * 64, 0.0, 2.0, 48000, 2, 1.5, "h", text), KEPT, {"snr_db": 9.0}, {"snr_db": 30.0})
    yield Row(Clip("a-2", "a.wav", "1" * 64, 7.0, 3.0), LOW, {"snr_db": 3.0}, {"snr_db": None})
    recorded = {"channel": "1", "channel_why": "0 is silent", "input_gain_db": 31.5, "bandwidth_hz": 8000.0}
    yield Row(Clip("a-1", "a.wav", "1" * 64, 0.0, 5.0, **recorded), KEPT, {}, {}, gain_db=-2.5, shard="shards/x.tar")
    yield Row(Clip("c", "c.txt", None), LOST, {}, {})


@pytest.fixture
def written(tmp_path):
    """Rows -> the ledger that they become by way of the state of a run."""

    def write(some):
        path = tmp_path / "ledger.parquet"
        with scratch_database() as database, path.open("wb") as file:
            state = RunState(database)
            state.add_rows(None, some)
            ledger.write(state.rows(), file, constants=CONSTANTS)
        return path

    return write


def test_rows_come_back_in_a_fixed_order_with_everything_known(written):
    found = pq.read_table(written(rows())).to_pylist()
    assert [row["clip_id"] for row in found] == ["a-1", "a-2", "b", "c"]
    assert (found[2]["text"], found[2]["speaker"], found[2]["before_snr_db"], found[2]["after_snr_db"]) == (
        "zwei Wörter", "s1", 9.0, 30.0,
    )  # fmt: skip
    assert (found[0]["gain_db"], found[0]["shard"]) == (-2.5, "shards/x.tar")
    assert (found[0]["channel"], found[0]["channel_why"], found[0]["input_gain_db"]) == ("1", "0 is silent", 31.5)
    assert (found[0]["bandwidth_hz"], found[0]["clipping_ratio"]) == (8000.0, None)
    assert (found[1]["reason"], found[1]["detail"], found[1]["chosen"]) == ("snr_db", "snr_db 3 < 15", "raw")
    assert found[1]["chosen_why"].startswith("damage: dnsmos_sig 3") and found[1]["after_snr_db"] is None
    assert {(row["enhancer"], row["dnsmos_windows"]) for row in found} == {("e", "d")}


def test_the_order_of_work_does_not_show_in_the_bytes(written):
    assert written(rows()).read_bytes() == written(reversed(list(rows()))).read_bytes()


def test_rows_in_another_order_or_twice_are_refused():
    for some in (list(rows()), [next(rows())] * 2):
        with pytest.raises(ValueError, match="comes after"):
            ledger.write(some, io.BytesIO(), constants=CONSTANTS)


def test_row_groups_follow_each_other(monkeypatch, written):
    monkeypatch.setattr(ledger, "ROWS_PER_GROUP", 3)
    file = pq.ParquetFile(written(rows()))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [3, 1]
    assert [row["clip_id"] for row in file.read().to_pylist()] == ["a-1", "a-2", "b", "c"]


def test_counts_and_seconds_add_up(written):
    summary = ledger.summary(written(rows()))
    assert summary["counts"] == {"in": 4, "kept": 2, "rejected": 1, "failed": 1}
    assert summary["seconds"] == {"kept": 7.0, "rejected": 3.0, "failed": 0.0}
    assert summary["reasons"] == {
        "not_audio": {"clips": 1, "seconds": 0.0}, "snr_db": {"clips": 1, "seconds": 3.0},
    }  # fmt: skip


def test_an_empty_run_has_an_empty_ledger(written):
    summary = ledger.summary(written([]))
    assert summary["counts"] == {"in": 0, "kept": 0, "rejected": 0, "failed": 0}


def test_a_ledger_is_read_from_its_own_folder_whatever_that_is_called(written, tmp_path):
    for folder, some in (("corpus 1", []), ("corpus [1]", rows()), ("corpus *", rows())):
        written(some).rename((tmp_path / folder).mkdir() or tmp_path / folder / "ledger.parquet")
    for folder, clips in (("corpus 1", 0), ("corpus [1]", 4), ("corpus *", 4)):
        assert ledger.summary(tmp_path / folder / "ledger.parquet")["counts"]["in"] == clips, folder
