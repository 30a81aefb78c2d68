"""Metrics of a run: series by their labels, served over HTTP, and a file that is whole at every moment."""

import fcntl
import os
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from clean_corpus.flows.observe.metrics import Metrics
from clean_corpus.pipeline.core.errors import ConfigError
from tests.support.prometheus import parsed, scraped

OUTPUT = "s3://bucket/a"


@pytest.fixture
def metrics():
    made = Metrics(OUTPUT)
    made.workers().set(3)
    return made


def ignore(_: OSError) -> None:
    raise AssertionError("the file could be written")


def test_series_are_told_apart_by_their_labels(metrics, tmp_path):
    metrics.clips("kept", "").inc()
    metrics.clips("rejected", "snr_db").inc(2)
    metrics.audio("enhance").inc(1.5)
    metrics.queue("clean").set(4)
    metrics.queue("clean").dec()
    metrics.write(tmp_path / "run.prom")
    text = (tmp_path / "run.prom").read_text()
    found = parsed(text)
    assert (found["clips_total", "", "kept"], found["clips_total", "snr_db", "rejected"]) == (1, 2)
    assert (found["audio_seconds_total", "enhance"], found["queue_depth", "clean"], found["workers",]) == (1.5, 3, 3)
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert samples and all(line.startswith("clean_corpus_") and f'output="{OUTPUT}"' in line for line in samples)


def test_two_runs_of_one_process_have_series_of_their_own(metrics, tmp_path):
    Metrics("s3://bucket/b").workers().set(7)
    metrics.write(tmp_path / "run.prom")
    assert parsed((tmp_path / "run.prom").read_text())["workers",] == 3


def test_series_are_served_in_the_block_alone(metrics):
    with metrics.served("127.0.0.1", 0) as address:
        assert address.startswith("http://127.0.0.1:") and address.endswith("/metrics")
        metrics.retries("clean").inc()
        assert scraped(address)["retries_total", "clean"] == 1
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=10)


def test_a_port_in_use_is_refused_with_the_remedies(metrics):
    with metrics.served("127.0.0.1", 0) as address:
        port = int(address.rpartition(":")[2].partition("/")[0])
        refused = metrics.served("127.0.0.1", port)
        words = (
            rf"observe\.metrics_port {port}: cannot listen at 127\.0\.0\.1:{port}: Address already in use; "
            r"choose another port, 0 for any free one, or null for none \(observe\.metrics_file needs none\)"
        )
        with pytest.raises(ConfigError, match=words):
            refused.__enter__()


def test_the_file_is_whole_at_every_moment_and_holds_the_end(metrics, tmp_path):
    path, seen = tmp_path / "metrics" / "run.prom", []
    with metrics.written(path, 0.001, ignore):
        reading = threading.Event()

        def read() -> None:
            while not reading.is_set():
                text = path.read_text()
                assert text.endswith("\n") and "clean_corpus_workers{" in text
                seen.append(parsed(text).get(("shards_total", "done", "enhance"), 0))

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(300):
            metrics.shards("enhance", "done").inc()
        deadline = time.monotonic() + 20
        while (not seen or seen[-1] < 300) and reader.is_alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        reading.set()
        reader.join()
        metrics.shards("enhance", "done").inc()
    assert seen == sorted(seen) and seen[-1] == 300, "a reader met half a file or old numbers"
    assert parsed(path.read_text())["shards_total", "done", "enhance"] == 301
    assert [p.name for p in path.parent.iterdir()] == ["run.prom"], "no temporary file is left"


def test_the_last_success_of_an_earlier_run_to_the_same_output_is_kept(tmp_path):
    path = tmp_path / "run.prom"
    earlier = Metrics(OUTPUT)
    earlier.success().set(1234.5)
    earlier.write(path)
    with Metrics(OUTPUT).written(path, 60, ignore):
        pass
    assert parsed(path.read_text())["last_success_timestamp_seconds",] == 1234.5
    with Metrics("s3://bucket/other").written(path, 60, ignore):
        pass
    assert successes(path) == {OUTPUT: 1234.5}, "that was another output's"


def samples(path):
    """(name, output, other labels) -> value, of a file in which no family and no series comes twice."""
    text = path.read_text()
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads)), "node_exporter refuses a file that names a family twice"
    listed = [
        ((sample.name, sample.labels["output"], *sorted(v for k, v in sample.labels.items() if k != "output")), value)
        for family in text_string_to_metric_families(text)
        for sample, value in ((sample, sample.value) for sample in family.samples)
    ]
    assert len(listed) == len(dict(listed)), "a series comes twice"
    return dict(listed)


def successes(path):
    name = "clean_corpus_last_success_timestamp_seconds"
    return {output: value for (found, output, *_), value in samples(path).items() if found == name}


def test_deployments_of_a_machine_share_a_file_and_none_hides_when_another_last_ended_well(tmp_path):
    path = tmp_path / "machine.prom"
    for output, at_s in (("night", 100.0), ("other", None), ('qu"o\\te', 300.0), ("night", None), ("other", None)):
        run = Metrics(output)
        with run.written(path, 60, ignore):
            run.clips("kept", "").inc(7)
            if at_s is not None:
                run.success().set(at_s)
    assert successes(path) == {"night": 100.0, 'qu"o\\te': 300.0}
    kept = {output: value for (name, output, *_), value in samples(path).items() if name == "clean_corpus_clips_total"}
    assert kept == {"night": 7, "other": 7, 'qu"o\\te': 7}
    assert any(name == "clean_corpus_clips_created" and output == "other" for name, output, *_ in samples(path))


def test_runs_that_write_at_once_lose_nothing_of_each_other(tmp_path):
    path, code = tmp_path / "machine.prom", (
        "import sys; from pathlib import Path; from clean_corpus.flows.observe.metrics import Metrics\n"
        "run = Metrics(sys.argv[1]); input()\n"
        "for n in range(1, 101): run.success().set(n); run.write(Path(sys.argv[2]))\n"
    )  # fmt: skip
    runs = [
        subprocess.Popen([sys.executable, "-c", code, f"out{n}", path], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for n in range(3)
    ]
    for run in runs:
        run.stdin.write(b"\n")
        run.stdin.flush()
    for run in runs:
        assert run.communicate(timeout=300)[1] == b""
    assert successes(path) == {f"out{n}": 100.0 for n in range(3)}
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_another_process_keeps_is_told_and_waited_for_no_longer(metrics, tmp_path, monkeypatch):
    monkeypatch.setattr("clean_corpus.flows.observe.metrics.TURN_S", 0.05)
    problems, folder = [], os.open(tmp_path, os.O_RDONLY)
    with metrics.written(tmp_path / "run.prom", 60, problems.append):
        fcntl.flock(folder, fcntl.LOCK_EX)
    os.close(folder)
    assert [str(problem) for problem in problems] == ["[Errno 110] another process keeps its folder locked"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file/run.prom", r"observe\.metrics_file .*; choose another, or null for none"),
        ("other.prom", r"observe\.metrics_file .*: holds something else; choose another"),
        ("binary.prom", r"observe\.metrics_file .*: holds something else; choose another"),
    ],
)
def test_a_file_that_cannot_be_written_or_is_another_is_refused(metrics, tmp_path, name, words):
    (tmp_path / "file").write_text("x")
    (tmp_path / "other.prom").write_text("{ this is not\nPrometheus' text")
    (tmp_path / "binary.prom").write_bytes(b"\xff\xfe\x00")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=words):
        metrics.written(tmp_path / name, 60, ignore).__enter__()
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_that_can_no_longer_be_written_is_reported_and_ends_nothing(metrics, tmp_path):
    folder, problems = tmp_path / "metrics", []
    with metrics.written(folder / "run.prom", 60, problems.append):
        (folder / "run.prom").unlink()
        folder.rmdir()
    assert [type(problem) for problem in problems] == [FileNotFoundError]
