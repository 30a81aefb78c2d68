"""The flow on a demo corpus with every bad input of tests/hostile.py beside it, on a real Prefect server."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import webdataset
from prometheus_client.parser import text_string_to_metric_families

from clean_corpus.flows import clean_corpus as flow
from clean_corpus.flows import shard_stages, unchanged
from clean_corpus.flows.commands import decisions as review
from clean_corpus.flows.config import RunConfig
from clean_corpus.pipeline.audio import decode, loudness
from clean_corpus.pipeline.core.config_input import override, validate
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.corpus import embeddings, shards, versions
from clean_corpus.pipeline.demo import corpus as demo
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.hostile import write_hostile
from tests.support.inline import Inline, inline  # noqa: F401

pytestmark = pytest.mark.usefixtures("prefect", "inline")


def configured(source: Path, output: Path, *settings: str) -> RunConfig:
    return validate(RunConfig, override({"input": source, "output": output}, list(settings)))


def run(source: Path, output: Path, *settings: str):
    return flow.clean_corpus(configured(source, output, *settings))


def rows(output: Path) -> list[dict]:
    return pq.read_table(output / "ledger.parquet").to_pylist()


def kept_ids(output: Path) -> list[str]:
    return [row["clip_id"] for row in rows(output) if row["verdict"] == "kept"]


def content(output: Path) -> dict[str, str]:
    """Hash of every file a user takes away, by name; run.json and the report hold times."""
    newest = versions.latest(LocalStore(output))
    keys = ["ledger.parquet", *(named.key for named in newest.objects)]
    return {key: hashlib.sha256((output / key).read_bytes()).hexdigest() for key in keys}


def stages(summary) -> dict[str, tuple[int, int]]:
    return {s["name"]: (s["done"], s["reused"]) for s in summary["stages"]}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Where the recordings are, and what must become of the bad ones."""
    source = tmp_path_factory.mktemp("in")
    demo.write_corpus(source / "good", clips=21)
    return source, {f"bad/{name}": end for name, end in write_hostile(source / "bad").items()}


@pytest.fixture(scope="module")
def observed(tmp_path_factory) -> tuple[Path, Path]:
    """The log and the metrics of the run `finished`."""
    folder = tmp_path_factory.mktemp("observed")
    return folder / "run.log", folder / "run.prom"


@pytest.fixture(scope="module")
def finished(corpus, observed, tmp_path_factory, prefect):
    output, (log, metrics) = tmp_path_factory.mktemp("out"), observed
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "open_engine", Inline)
        settings = ("observe.log=json", f"observe.log_file={log}", f"observe.metrics_file={metrics}")
        return output, run(corpus[0], output, *settings)


def test_log_metrics_and_timings_agree_with_the_ledger(finished, observed):
    (output, summary), (log, metrics) = finished, observed
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["run"] for line in lines} == {summary["run"]}
    ended = {line["clip"]: line for line in lines if line["event"] == "clip"}
    ledger = {row["clip_id"]: row for row in rows(output)}
    assert ended.keys() == {clip_id for clip_id, row in ledger.items() if row["verdict"] != "kept"}
    assert all(line["verdict"] == ledger[clip_id]["verdict"] for clip_id, line in ended.items())
    series = {
        (sample.name, *(v for k, v in sorted(sample.labels.items()) if k != "output")): sample.value
        for family in text_string_to_metric_families(metrics.read_text())
        for sample in family.samples
    }
    for verdict in ("kept", "rejected", "failed"):
        clips = [v for k, v in series.items() if k[0] == "clean_corpus_clips_total" and k[-1] == verdict]
        assert sum(clips) == summary["counts"][verdict]
    by_name = {stage["name"]: stage for stage in summary["stages"]}
    wanted_s = sum(row["duration_s"] for row in ledger.values())
    assert by_name["ingest"]["audio_s"] == pytest.approx(wanted_s, abs=0.001)  # rounded to ms
    assert 0 < by_name["enhance"]["audio_s"] < wanted_s, "duplicates and what failed to decode are not enhanced"
    for name in ("ingest", "score before", "enhance", "score after", "publish"):
        assert by_name[name]["audio_s_per_worker_s"] > 0
        assert series["clean_corpus_audio_seconds_total", name] == pytest.approx(by_name[name]["audio_s"], abs=0.01)
        assert series["clean_corpus_stage_seconds_total", name] == pytest.approx(by_name[name]["seconds"], abs=0.01)
    assert series["clean_corpus_queue_depth", "clean"] == 0


@pytest.fixture(scope="module")
def good_wav(corpus, finished) -> Path:
    """A recording that the run kept."""
    kept = sorted(r["source"] for r in rows(finished[0]) if r["verdict"] == "kept" and r["source"].endswith(".wav"))
    return corpus[0] / kept[0]


def test_every_bad_input_ends_as_expected(corpus, finished):
    from clean_corpus.pipeline.discover.recordings import printable

    by_source: dict[str, list[dict]] = {}
    for row in rows(finished[0]):
        by_source.setdefault(row["source"], []).append(row)
    for name, expected in corpus[1].items():
        found = by_source.pop(printable(name))
        assert {row["verdict"] for row in found} <= expected.verdicts, (name, found)
        if expected.reason and found[0]["verdict"] != "kept":
            assert expected.reason == found[0]["reason"], (name, found)
    assert all(source.startswith("good/") for source in by_source), "a file that is not there has a row"


def test_every_good_recording_is_treated(corpus, finished):
    good = [row for row in rows(finished[0]) if row["source"].startswith("good/")]
    failed = [row["source"] for row in good if row["verdict"] == "failed"]
    assert len({row["source"] for row in good}) >= 20
    assert len(failed) == 2 and all("unsorted" in source for source in failed), failed
    assert sum(row["verdict"] == "kept" for row in good) >= 5
    assert {"duplicate", "near_duplicate"} <= {row["reason"] for row in good}


def test_in_is_kept_and_rejected_and_failed(finished):
    output, summary = finished
    counts, ledger = summary["counts"], rows(output)
    assert counts["in"] == len(ledger) == counts["kept"] + counts["rejected"] + counts["failed"]
    assert json.loads((output / "run.json").read_text())["counts"] == counts
    for row in ledger:
        assert (row["verdict"] == "kept") == (row["reason"] is None)
        assert row["reason"] is None or Reason(row["reason"]) is not Reason.OTHER_ERROR, row
        assert row["detail"] or row["verdict"] == "kept"


def test_kept_shards_open_with_plain_webdataset(finished):
    output, _ = finished
    kept = {row["clip_id"]: row for row in rows(output) if row["verdict"] == "kept"}
    urls = sorted(map(str, (output / "shards").glob("*.tar")))
    samples = {s["__key__"]: s for s in webdataset.WebDataset(urls, shardshuffle=False)}
    assert samples.keys() == kept.keys()
    for clip_id, row in kept.items():
        x, rate = decode.decode(samples[clip_id]["flac"])
        facts = json.loads(samples[clip_id]["json"])
        assert rate == 24000 and len(x) == round(row["duration_s"] * rate)
        assert facts["text"] == row["text"] and facts["chosen"] == row["chosen"]
        assert row["shard"] in {str(Path(url).relative_to(output)) for url in urls}
        assert loudness.true_peak_db(x, rate) <= -1 + 0.1  # 16-bit rounding may lift a peak a little
        # at the wanted level, unless the true peak held it back
        assert abs(loudness.loudness_lufs(x, rate) + 23) < 0.2 or loudness.true_peak_db(x, rate) > -1.2


def test_rejected_audio_can_be_listened_to(finished):
    output, _ = finished
    urls = sorted(map(str, (output / "rejected").glob("*.tar")))
    samples = {s["__key__"] for s in webdataset.WebDataset(urls, shardshuffle=False)}
    rejected = {r["clip_id"] for r in rows(output) if r["verdict"] == "rejected" and r["shard"]}
    assert samples == rejected and len(rejected) > 3


def test_metadata_reaches_ledger(finished):
    taken = [row for row in rows(finished[0]) if row["text"] and row["speaker"] and row["licence"]]
    assert len(taken) >= 15


def test_again_does_nothing_twice(corpus, finished):
    output, _ = finished
    before = content(output)
    times = {f: f.stat().st_mtime_ns for f in output.rglob("*.tar")}
    again = stages(run(corpus[0], output))
    assert all(again[name][0] == 0 for name in ("ingest", "score before", "enhance", "score after", "publish")), again
    assert content(output) == before and {f: f.stat().st_mtime_ns for f in output.rglob("*.tar")} == times


@pytest.fixture
def other_output(corpus):
    """What is logged of the output of another run in the input."""
    folder = corpus[0] / "earlier" / "versions" / "0001"
    folder.mkdir(parents=True)
    (folder / "manifest.json").touch()
    yield f"{corpus[0]}: passed over what other runs wrote there: earlier/"
    shutil.rmtree(corpus[0] / "earlier")


def test_a_run_that_changes_nothing_needs_no_server_and_no_worker(
    corpus, finished, other_output, tmp_path, monkeypatch
):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(flow, "open_engine", None)
    output = Path(shutil.copytree(finished[0], tmp_path / "out"))
    before, log = content(output), tmp_path / "run.log"
    settings = ("observe.log=json", f"observe.log_file={log}", f"observe.metrics_file={tmp_path / 'run.prom'}")
    summary = unchanged.rerun(configured(corpus[0], output, *settings))
    assert json.loads((output / "run.json").read_text()) == json.loads(json.dumps(summary))
    assert all(done == 0 for name, (done, _) in stages(summary).items() if name in ("ingest", "enhance", "publish"))
    differs = {"run", "started", "finished", "wall_s", "output", "stages", "workers"}
    assert {k: v for k, v in summary.items() if k not in differs} == {
        k: v for k, v in finished[1].items() if k not in differs
    }
    assert content(output) == before and versions.latest(LocalStore(output)).version == summary["version"]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [lines[0]["event"], lines[-1]["event"]] == ["run_started", "run_finished"]
    assert {line["run"] for line in lines} == {summary["run"]} and lines[-1]["kept"] == summary["counts"]["kept"]
    assert [line["message"] for line in lines if "message" in line] == [other_output]
    assert "clean_corpus_last_success" in (tmp_path / "run.prom").read_text()


def test_a_run_that_changes_something_is_left_to_the_flow(corpus, finished, good_wav, tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    output = Path(shutil.copytree(finished[0], tmp_path / "out"))
    store, log = LocalStore(output), tmp_path / "run.log"

    def rerun(*settings: str):
        return unchanged.rerun(configured(corpus[0], output, f"observe.log_file={log}", *settings))

    told = (output / "run.json").read_bytes()
    assert rerun("gate.snr_db_min=12") is None and rerun("enhancer=none") is None
    hook = RunConfig.model_validate({"input": corpus[0], "output": output, "hooks": {"on_failure": {"command": ["x"]}}})
    assert unchanged.rerun(hook) is None, "somebody waits to be told by the flow run"
    with monkeypatch.context() as patch:
        patch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
        assert rerun() is None, "a run on a server that others see is a run there"
    added = corpus[0] / "good" / "zz-new.wav"
    added.write_bytes(good_wav.read_bytes())
    try:
        assert rerun() is None
    finally:
        added.unlink()
    shutil.copy(finished[0] / "work/groups.parquet", output / "work")  # instead of that with the new one
    for key in (next(iter(store.keys("shards"))), next(iter(store.keys("work/raw"))), "report/index.html"):
        kept = store.read(key)
        store.delete(key)
        assert rerun() is None and store.size(key) is None
        store.write(key, kept)
    (tmp_path / "decided.jsonl").write_text(json.dumps({"what": "reject", "clip_id": next(iter(kept_ids(output)))}))
    review.add_file(store, tmp_path / "decided.jsonl", by="anna")
    assert rerun() is None
    assert (output / "run.json").read_bytes() == told and not log.exists(), "what is not done is not told"


def test_voices_are_looked_at_once_all_clips_are_judged(corpus, finished, tmp_path):
    output = Path(shutil.copytree(finished[0], tmp_path / "out"))
    store, settings = LocalStore(output), ("speakers.embed=true", "speakers.min_clips=3")
    summary = run(corpus[0], output, *settings)
    assert all(stages(summary)[name][0] == 0 for name in ("ingest", "score before", "enhance", "score after"))
    assert [name for name in stages(summary) if name in ("embed", "speakers", "publish")] == [
        "embed",
        "speakers",
        "publish",
    ]
    newest, table = versions.latest(store), rows(output)
    assert summary["counts"]["in"] == finished[1]["counts"]["in"] == len(table)
    kept = {row["clip_id"]: row for row in table if row["verdict"] == "kept"}
    voices = {clip.clip_id: clip for clip in embeddings.read(store, newest.embeddings.key)}
    assert kept.keys() <= voices.keys() and newest.embeddings.samples == len(voices)
    for clip_id, row in kept.items():
        assert (row["speaker"] is None) == (row["speaker_auto"] is not None) and row["voice_likeness"] > 0.4
        assert (voices[clip_id].speaker_auto, voices[clip_id].version) == (row["speaker_auto"], row["chosen"])
    assert any(row["voice_match"] for row in kept.values()) and summary["rulers"]["voice"].startswith("resemblyzer ")
    facts = [json.loads(s["json"]) for shard in newest.shards for s in shards.read_shard(store, shard)]
    assert {f["clip_id"]: f.get("speaker_auto") for f in facts} == {i: row["speaker_auto"] for i, row in kept.items()}
    assert all(problem is None for _, problem in versions.verify(store, [newest]))
    assert (output / "report/speakers/index.html").exists()
    before = content(output)
    run(corpus[0], output, *settings)
    assert content(output) == before and versions.latest(store).version == newest.version


def test_decisions_are_published_without_a_run_and_a_run_comes_to_the_same(corpus, finished, tmp_path):
    output = Path(shutil.copytree(finished[0], tmp_path / "out"))
    store, table = LocalStore(output), rows(output)
    kept = [row for row in table if row["verdict"] == "kept" and row["text"]]
    unheard = next(r for r in table if r["verdict"] == "rejected" and r["raw_shard"] and not r["enhanced_shard"]
                   and r["reason"] != "duplicate")  # fmt: skip
    lines = [
        {"what": "reject", "value": "a door slams", "clip_id": kept[0]["clip_id"]},
        {"what": "use_raw", "clip_id": next(r["clip_id"] for r in kept[1:] if r["chosen"] == "enhanced")},
        {"what": "text", "value": f"{kept[-1]['text']}!", "clip_id": kept[-1]["clip_id"]},
        {"what": "keep", "clip_id": next(r["clip_id"] for r in table if r["reason"] == "dnsmos_sig")},
        {"what": "keep", "clip_id": unheard["clip_id"]},
    ]
    (tmp_path / "decided.jsonl").write_text("\n".join(map(json.dumps, lines)))
    review.add_file(store, tmp_path / "decided.jsonl", by="anna")
    done = review.publish(store)
    assert len(done.applied) == 5 and not done.left and done.manifest.version == finished[1]["version"] + 1
    before, told = content(output), json.loads((output / "run.json").read_text())
    summary = run(corpus[0], output)
    assert all(
        stages(summary)[name][0] == 0 for name in ("ingest", "score before", "enhance", "score after", "publish")
    )
    assert content(output) == before and versions.latest(store).version == summary["version"] == told["version"]
    assert summary["counts"] == told["counts"] and summary["counts"]["kept"] == finished[1]["counts"]["kept"] + 1
    found = {row["clip_id"]: row for row in rows(output)}
    ends = [(found[line["clip_id"]]["verdict"], found[line["clip_id"]]["chosen"]) for line in lines]
    assert ends[1] == ends[4] == ("kept", "raw") and [end for end, _ in ends[2:]] == ["kept"] * 3
    assert found[lines[0]["clip_id"]]["reason"] == "reviewed" and found[lines[2]["clip_id"]]["text"].endswith("!")


def test_a_changed_threshold_redoes_only_the_gate(corpus, finished, tmp_path):
    output, summary = finished
    before = content(output)
    again = run(corpus[0], output, "gate.dnsmos_ovrl_min=3.0", "gate.dnsmos_sig_min=3.3")
    assert all(stages(again)[name][0] == 0 for name in ("ingest", "score before", "enhance", "score after"))
    assert stages(again)["publish"][0] > 0 and again["counts"]["kept"] < summary["counts"]["kept"]
    kept = {row["shard"] for row in rows(output) if row["shard"]}
    newest = versions.latest(LocalStore(output))
    assert {shard.key for shard in (*newest.shards, *newest.rejected)} == kept and newest.version > 1
    old = versions.read(LocalStore(output), 1)
    assert all(problem is None for _, problem in versions.verify(LocalStore(output), [old])), "readers of it go on"
    run(corpus[0], output)
    assert content(output) == before


def test_a_new_file_costs_its_own_group_only(corpus, finished, good_wav):
    source, _ = corpus
    output, _ = finished
    added = source / "good" / "zz-added.wav"  # of equal samples the first in order stays
    added.write_bytes(good_wav.read_bytes())
    try:
        did = stages(run(source, output))
        for name in ("ingest", "enhance", "score after", "publish"):
            assert did[name][0] == 1 and did[name][1] > 0, (name, did)
        copies = [r for r in rows(output) if r["reason"] == "duplicate" and r["detail"]]
        assert any("added" in r["source"] or "added" in r["detail"] for r in copies)
    finally:
        added.unlink()
        run(source, output)


def test_a_recording_that_kills_its_worker_fails_alone(corpus, tmp_path, monkeypatch):
    source = tmp_path / "in"
    source.mkdir()
    wavs = sorted((corpus[0] / "good").rglob("*.wav"))[:4]
    for wav in wavs:
        (source / wav.name).write_bytes(wav.read_bytes())
    monkeypatch.setattr(Inline, "poison", frozenset([wavs[1].name]))
    monkeypatch.setattr(Inline, "attempts", 0)
    summary = run(source, tmp_path / "out", "shards.max_clips=4")
    failed = [row for row in rows(tmp_path / "out") if row["verdict"] == "failed" and "worker" in row["detail"]]
    assert [row["source"] for row in failed] == [wavs[1].name]
    assert summary["counts"]["in"] == 4
    assert Inline.attempts == 6  # three tries as a group, three alone


def test_output_inside_input_is_left_out(good_wav, tmp_path):
    (tmp_path / good_wav.name).write_bytes(good_wav.read_bytes())
    first = run(tmp_path, tmp_path / "out", "export.layout=hf", "export.split=1")
    assert first["export"]["clips"]["clips"] == first["counts"]["kept"] == 1 and not first["export"]["remarks"]
    (exported,) = (tmp_path / "out/export/hf/train").glob("*.flac")
    assert decode.length(exported.read_bytes())[1] == first["export"]["sample_rate"]
    assert first["counts"]["in"] == run(tmp_path, tmp_path / "out")["counts"]["in"] == 1


def test_one_file_as_input(good_wav, tmp_path):
    assert run(good_wav, tmp_path / "out")["counts"]["in"] == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["gate.dnsmos_ovrl_min=4.2"], "cannot be reached"),
        (["enhancer=default-casual"], "did you mean"),
    ],
)
def test_settings_that_cannot_work_stop_before_anything_is_read(corpus, tmp_path, settings, words):
    with pytest.raises(ConfigError, match=words):
        run(corpus[0], tmp_path / "out", *settings)
    assert not (tmp_path / "out").exists()


def test_a_second_run_on_the_same_output_is_refused(corpus, tmp_path):
    with LocalStore(tmp_path).only_run(), pytest.raises(ConfigError, match="another run"):
        run(corpus[0], tmp_path)


def test_a_lost_clip_is_a_bug_that_stops_the_run(good_wav, tmp_path, monkeypatch):
    whole = shard_stages.finish_shard
    monkeypatch.setattr(shard_stages, "finish_shard", lambda *args: [replace(part, rows=[]) for part in whole(*args)])
    with pytest.raises(CleanCorpusError, match="lacks 1 of 1 recordings"):
        run(good_wav, tmp_path / "out")


def test_variants_of_the_kept_clips_are_written_when_asked_for(corpus, finished, tmp_path):
    """Same keys as the kept; each at the published loudness; what was published is one of the two."""
    source, output = corpus[0], Path(shutil.copytree(finished[0], tmp_path / "out"))
    summary = run(source, output, "variants=true")

    def clips(folder: str) -> dict[str, bytes]:
        tars = sorted(str(p) for p in (output / folder).glob("*.tar"))
        return {s["__key__"]: s["flac"] for s in webdataset.WebDataset(tars, shardshuffle=False)}

    kept, raw, enhanced = clips("shards"), clips("variants/raw"), clips("variants/enhanced")
    assert kept
    assert kept.keys() == raw.keys() == enhanced.keys() and len(kept) == summary["counts"]["kept"]
    for row in rows(output):
        if row["verdict"] == "kept":
            key = row["clip_id"]
            assert kept[key] == (raw if row["chosen"] == "raw" else enhanced)[key]
            x, rate = decode.decode(raw[key])
            assert (
                loudness.loudness_lufs(x, rate) == pytest.approx(-23, abs=0.1) or loudness.true_peak_db(x, rate) > -1.1
            )
    assert stages(run(source, output, "variants=true"))["variant"][0] == 0, "a second run writes nothing anew"
    run(source, output)
    assert not list((output / "variants").rglob("*.tar")), "variants that were not asked for are of another run"
