"""Nights that bring a recording each: their small groups are joined, nothing is computed anew, and no clip changes."""

import json
import shutil
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clean_corpus.flows import checks, unchanged
from clean_corpus.flows.commands import forget as forgetting
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.corpus_run import CorpusRun
from clean_corpus.flows.observe.observer import Observer
from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.corpus import forget, joined, versions
from clean_corpus.pipeline.corpus.forget_selection import Asked
from clean_corpus.pipeline.discover import groups
from clean_corpus.pipeline.storage.local import LocalStore

NIGHTS = 4
MOVED = {"shard", "raw_shard", "enhanced_shard"}
STAGES = ("ingest", "score before", "enhance", "score after")


class Here(unchanged._Recorded):
    """Work in this process, computed where it is not recorded, without a report."""

    def begin(self, groups):
        pass

    def before_commit(self, draft):
        pass

    def once(self, name, function):
        assert name == "report"


def run(source: Path, output: Path):
    config = validate(RunConfig, {"input": source, "output": output, "audio": {"sample_rate": 16000}})
    networks, store = checks.check(config), checks.prepared_store(config)
    observer = Observer(config.observe, run="night", output=output)
    with store.only_run(), scratch_database() as database:
        work = Here(store, observer)
        return CorpusRun(config, networks, store, unchanged._Here(), observer, database, work).all_stages()


def rows(output: Path) -> dict[str, dict]:
    return {row["clip_id"]: row for row in pq.read_table(output / "ledger.parquet").to_pylist()}


def members(output: Path) -> dict[str, bytes]:
    """Every file in the newest version's tars, kept and rejected."""
    newest, found = versions.latest(LocalStore(output)), {}
    for shard in (*newest.shards, *newest.rejected):
        with tarfile.open(output / shard.key) as tar:
            found |= {member.name: tar.extractfile(member).read() for member in tar}
    return found


def tars(output: Path) -> int:
    newest = versions.latest(LocalStore(output))
    return len(newest.shards) + len(newest.rejected)


@pytest.fixture
def takes(demo_corpus) -> list[Path]:
    found = sorted(path for path in demo_corpus.rglob("*.wav") if path.stem[-1].isdigit())
    return found[: NIGHTS + 1]


def nights(takes: list[Path], source: Path, output: Path, monkeypatch) -> dict:
    """Clean one recording more each night, and join small groups in the last; return what the night before says."""
    source.mkdir()
    for number, take in enumerate(takes[:-1]):
        shutil.copy(take, source / f"{number}-{take.name}")
        before = run(source, output)
    monkeypatch.setattr(groups, "FEWEST_JOINED", 2)
    shutil.copy(takes[-1], source / f"{len(takes) - 1}-{takes[-1].name}")
    return before


def test_small_groups_of_nights_are_joined_without_computing_anything(takes, tmp_path, monkeypatch):
    source, output = tmp_path / "in", tmp_path / "out"
    before = nights(takes, source, output, monkeypatch)
    old_rows, old_members, old_tars = rows(output), members(output), tars(output)
    after = run(source, output)
    did = {stage["name"]: stage["done"] for stage in after["stages"]}
    assert all(did[name] <= 1 for name in STAGES), did  # the new one's
    new_rows, new_members = rows(output), members(output)
    for clip_id, row in old_rows.items():
        assert {k: v for k, v in row.items() if k not in MOVED} == {
            k: v for k, v in new_rows[clip_id].items() if k not in MOVED
        }
    assert {name: new_members.get(name) for name in old_members} == old_members, "the same bytes"
    assert tars(output) < old_tars
    store = LocalStore(output)
    old = versions.read(store, before["version"])
    assert after["version"] == before["version"] + 1 and not any(wrong for _, wrong in versions.verify(store, [old]))
    versions.rollback(store, before["version"])
    assert rows(output) == old_rows and members(output) == old_members
    again = run(source, output)
    assert not any(stage["done"] for stage in again["stages"] if stage["name"] in (*STAGES, "publish"))
    assert rows(output) == new_rows and members(output) == new_members
    assert json.loads((output / "versions/latest").read_text())["version"] == again["version"] == after["version"] + 2


def test_forgetting_reaches_into_joined_groups(takes, tmp_path, monkeypatch):
    source, output = tmp_path / "in", tmp_path / "out"
    nights(takes[:3], source, output, monkeypatch)
    run(source, output)
    store, old_rows, old_members = LocalStore(output), rows(output), members(output)
    assert list(store.walk(joined.FOLDER.rstrip("/")))
    gone = f"1-{takes[1].name}"
    of_gone = {clip_id for clip_id, row in old_rows.items() if row["source"] == gone}
    assert of_gone and of_gone != old_rows.keys()
    asked = Asked(patterns=(gone,))
    forgetting.forget(store, asked, reference=None, allow_unmatched=False, confirm=lambda selection: None)
    assert not any(words for _, words in forget.check(store))
    run(source, output)
    assert not any(words for _, words in forget.check(store))
    sources = {row["source"] for row in old_rows.values()}
    new_rows = {clip_id: row for clip_id, row in rows(output).items() if row["source"] in sources}
    assert new_rows.keys() == old_rows.keys() - of_gone
    assert all(new_rows[i]["reason"] == old_rows[i]["reason"] for i in new_rows)
    left = {name: data for name, data in old_members.items() if name.split(".")[0] not in of_gone}
    assert left.items() <= members(output).items() and of_gone.isdisjoint(n.split(".")[0] for n in members(output))
