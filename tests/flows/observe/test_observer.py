"""What a run tells: metrics scraped over HTTP while it goes on, the file it leaves, log lines, and no credentials."""

import json
import logging
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from clean_corpus.flows.observe import logs
from clean_corpus.flows.observe import observer as observe
from clean_corpus.flows.observe.config import ObserveConfig
from clean_corpus.flows.observe.observer import Observer
from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.masking import MASK
from clean_corpus.pipeline.core.records import Enhanced, Outcome
from clean_corpus.pipeline.core.types import Clip, Decision, Verdict
from clean_corpus.pipeline.corpus.ledger import Row
from tests.support.prometheus import parsed, scraped

# the examples of AWS's own documentation
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def observer(tmp_path, name="a", **settings) -> Observer:
    settings = {"log": "json", "log_file": tmp_path / f"{name}.log"} | settings
    return Observer(validate(ObserveConfig, settings), run=f"run-{name}", output=f"s3://bucket/{name}", workers=3)


def clips(count: int, duration_s: float = 2.0) -> list[Clip]:
    return [Clip(f"c{i}", f"folder/c{i}.wav", None, duration_s=duration_s) for i in range(count)]


def outcome(seconds: float, reused: bool = False, failed: dict[str, str] | None = None) -> Outcome:
    return Outcome("0123abcd", Enhanced(None, failed or {}), seconds, reused)


def row(clip: Clip, verdict: Verdict, reason: str | None = None, detail: str | None = None) -> Row:
    return Row(clip, Decision(verdict, reason, detail), {}, {})


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def events(path, name: str) -> list[dict]:
    return [line for line in lines(path) if line["event"] == name]


# ---- metrics


def test_a_scrape_during_the_run_sees_what_has_happened_so_far(tmp_path):
    begin = time.time()
    with observer(tmp_path, metrics_port=0) as watched:
        assert watched.address.startswith("http://127.0.0.1:")
        with watched.stage("clean", 3) as ended:
            watched.count_call("enhance", "s0", clips(4), outcome(2.0))
            ended()
            watched.count_call("enhance", "s1", clips(5), outcome(0.25, reused=True))
            ended()
            watched.count_retry("clean", "clean s2", "worker process died")
            during = scraped(watched.address)
            watched.count_failure("clean", "s2", "worker process died")
            ended()
        three = clips(3)
        watched.count_clips("s0", [row(three[0], Verdict.KEPT), row(three[1], Verdict.KEPT)])
        watched.count_clips("s0", [row(three[2], Verdict.REJECTED, "snr_db", "snr_db 3 < 12")])
        after = scraped(watched.address)
    assert during["queue_depth", "clean"] == 1
    assert during["audio_seconds_total", "enhance"] == 8.0, "audio of reused work was not worked on"
    assert during["stage_seconds_total", "enhance"] == 2.25
    assert (during["shards_total", "done", "enhance"], during["shards_total", "reused", "enhance"]) == (1, 1)
    assert during["retries_total", "clean"] == 1
    assert during["workers",] == 3
    assert begin - 1 <= during["run_started_timestamp_seconds",] <= time.time()
    assert ("last_success_timestamp_seconds",) not in during
    assert during["clips_total", "", "kept"] == 0, "series are there before their first clip"
    assert after["queue_depth", "clean"] == 0
    assert after["shards_total", "failed", "clean"] == 1
    assert after["clips_total", "", "kept"] == 2 and after["clips_total", "snr_db", "rejected"] == 1


def test_the_endpoint_ends_with_the_run(tmp_path):
    with observer(tmp_path, metrics_port=0) as watched:
        address = watched.address
    with pytest.raises(OSError):
        scraped(address)
    port = int(address.rpartition(":")[2].partition("/")[0])
    with observer(tmp_path, metrics_port=port) as again:
        assert scraped(again.address)["workers",] == 3


def test_a_port_in_use_is_named_before_anything_starts(tmp_path):
    before = list(logs.LOGGER.handlers)
    with observer(tmp_path, metrics_port=0) as first:
        port = int(first.address.rpartition(":")[2].partition("/")[0])
        with (
            pytest.raises(ConfigError, match=rf"metrics_port {port}: .*Address already in use; choose another port"),
            observer(tmp_path, "b", metrics_port=port),
        ):
            pass
        assert observe._current.get() is first
    assert logs.LOGGER.handlers == before, "a refused observer leaves its log open"


def test_reasons_of_any_number_make_a_bounded_number_of_series(tmp_path):
    with observer(tmp_path, metrics_port=0) as watched:
        watched.count_clips(None, [row(c, Verdict.FAILED, f"reason_{c.clip_id}", "text") for c in clips(1000)])
        watched.count_clips(None, [row(clips(1)[0], Verdict.FAILED, "reason_c0", "text")])
        found = {k: v for k, v in scraped(watched.address).items() if k[0] == "clips_total" and k[1]}
    assert len(found) == observe.MAX_REASONS + 1
    assert found["clips_total", "reason_c0", "failed"] == 2
    assert found["clips_total", "other", "failed"] == 1000 - observe.MAX_REASONS


def test_the_file_follows_the_run_as_often_as_the_settings_say(tmp_path):
    path, done = tmp_path / "metrics" / "run.prom", ("shards_total", "done", "enhance")
    with observer(tmp_path, metrics_file=path, metrics_file_every_s=0.01) as watched:
        watched.count_call("enhance", "s0", clips(1), outcome(0.01))
        deadline = time.monotonic() + 20
        while done not in parsed(path.read_text()):
            assert time.monotonic() < deadline, "the file still is that of the start"
            time.sleep(0.01)


def test_a_failed_run_does_not_hide_when_one_last_ended_well(tmp_path):
    path = tmp_path / "run.prom"
    with observer(tmp_path, metrics_file=path):
        pass
    before = parsed(path.read_text())
    assert before["last_success_timestamp_seconds",] > time.time() - 60
    with pytest.raises(ZeroDivisionError), observer(tmp_path, metrics_file=path):
        raise ZeroDivisionError
    after = parsed(path.read_text())
    assert after["last_success_timestamp_seconds",] == before["last_success_timestamp_seconds",]
    assert after["run_finished_timestamp_seconds",] > before["run_finished_timestamp_seconds",]


def test_places_that_cannot_be_written_are_named(tmp_path):
    before = list(logs.LOGGER.handlers)
    (tmp_path / "file").write_text("x")
    (tmp_path / "other.prom").write_text("{ this is not\nPrometheus' text")
    for settings, words in (
        ({"log_file": tmp_path / "file" / "x.log"}, "observe.log_file .*cannot be written: "),
        ({"metrics_file": tmp_path / "file" / "x.prom"}, "observe.metrics_file .*; choose another"),
        ({"metrics_file": tmp_path / "other.prom"}, "observe.metrics_file .*holds something else"),
    ):
        with pytest.raises(ConfigError, match=words), observer(tmp_path, **settings):
            pass
    assert logs.LOGGER.handlers == before and observe._current.get() is None


def test_two_observers_in_one_process_do_not_meet(tmp_path):
    folder = tmp_path / "textfiles"
    barrier, failures = threading.Barrier(2), []

    def one(name: str, count: int) -> None:
        try:
            path = folder / f"{name}.prom"
            with observer(tmp_path, name, metrics_port=0, metrics_file=path) as watched:
                barrier.wait(20)
                for i in range(count):
                    watched.count_call("enhance", f"{name}{i}", clips(1), outcome(0.1))
                observe.count_retry("clean", f"clean {name}", "again")
                logging.getLogger("clean_corpus.storage").warning("slow %s", name)
                barrier.wait(20)
                assert scraped(watched.address)["shards_total", "done", "enhance"] == count
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=one, args=pair) for pair in (("a", 5), ("b", 7))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for name, count in (("a", 5), ("b", 7)):
        path = tmp_path / f"{name}.log"
        assert {line["run"] for line in lines(path)} == {f"run-{name}"}
        assert len(events(path, "shard")) == count and len(events(path, "retry")) == 1
        assert [line["message"] for line in events(path, "message")] == [f"slow {name}"]
    # node_exporter reads both files at once and refuses a series that two of them hold
    names = [
        (sample.name, *sorted(sample.labels.items()))
        for path in folder.iterdir()
        for family in text_string_to_metric_families(path.read_text())
        for sample in family.samples
    ]
    assert len(names) == len(set(names))


# ---- log lines


def test_lines_are_json_with_run_shard_and_clip(tmp_path):
    with observer(tmp_path) as watched:
        with watched.stage("clean", 1) as ended:
            watched.count_call("enhance", "s0", clips(3), outcome(1.5, failed={"c1": "boom"}))
            ended()
        some = clips(3)
        watched.count_clips("s0", [row(some[0], Verdict.KEPT), row(some[1], Verdict.FAILED, "boom", "boom: a\nb")])
        watched.count_clips(None, [row(some[2], Verdict.REJECTED, "duplicate", "same audio as c0")])
    path = tmp_path / "a.log"
    assert [line["event"] for line in lines(path)] == [
        "run_started", "stage_started", "shard", "stage_finished", "clip", "clip", "run_finished"
    ]  # fmt: skip
    for text, line in zip(path.read_text().splitlines(), lines(path), strict=True):
        assert list(line) == sorted(line), text
        assert line["run"] == "run-a" and line["time"].endswith("+00:00") and line["level"] == "info"
    shard = events(path, "shard")[0]
    wanted = {"stage": "enhance", "shard": "s0", "clips": 3, "failed_clips": 1, "seconds": 1.5, "audio_s": 6.0}
    assert wanted.items() <= shard.items() and shard["reused"] is False
    failed, rejected = events(path, "clip")
    assert (failed["shard"], failed["clip"], failed["source"]) == ("s0", "c1", "folder/c1.wav")
    assert (failed["verdict"], failed["reason"], failed["detail"]) == ("failed", "boom", "boom: a\nb")
    assert (rejected["verdict"], rejected["shard"]) == ("rejected", None)
    end = events(path, "run_finished")[0]
    assert (end["kept"], end["rejected"], end["failed"], end["retries"]) == (1, 1, 1, 0)


def test_standard_error_gets_warnings_as_text_and_everything_as_json(tmp_path, capsys):
    for style in ("text", "json"):
        with pytest.raises(ZeroDivisionError), observer(tmp_path, log=style, log_file=None) as watched:
            assert watched.console.quiet == (style == "json")
            watched.count_call("enhance", "s0", clips(1), outcome(1.0))
            watched.count_retry("clean", "clean s0", "worker process died")
            raise ZeroDivisionError("x")
        said = capsys.readouterr().err.splitlines()
        if style == "text":
            assert len(said) == 1 and " WARNING retry " in said[0], "the error itself is printed by who started the run"
        else:
            assert [json.loads(text)["event"] for text in said] == ["run_started", "shard", "retry", "run_failed"]
            assert json.loads(said[-1])["error"] == "ZeroDivisionError: x"


def test_a_later_run_appends(tmp_path):
    for _ in range(2):
        with observer(tmp_path):
            pass
    assert len(events(tmp_path / "a.log", "run_finished")) == 2


# ---- timings


def test_timings_hold_audio_seconds_per_worker_second_of_what_was_made(tmp_path):
    with observer(tmp_path) as watched:
        with watched.timed("discover"):
            time.sleep(0.01)
        watched.count_call("enhance", "s0", clips(10), outcome(4.0))
        watched.count_call("enhance", "s1", clips(10), outcome(1.0))
        watched.count_call("enhance", "s2", clips(90), outcome(0.5, reused=True))
        watched.count_call("publish", "s2", clips(90), outcome(0.5, reused=True))
        watched.count_failure("clean", "s3", "worker process died")
        discover, enhance, publish, clean = watched.stages()
    assert discover["name"] == "discover" and discover["done"] == 1 and discover["seconds"] >= 0.01
    assert enhance == {
        "name": "enhance", "seconds": 5.5, "done": 2, "reused": 1, "failed": 0,
        "audio_s": 40.0, "audio_s_per_worker_s": 8.0,
    }  # fmt: skip
    assert publish["audio_s_per_worker_s"] is None, "nothing was made, so nothing is known of its speed"
    assert (clean["name"], clean["failed"], clean["done"]) == ("clean", 1, 0)


# ---- credentials


def test_no_line_and_no_series_holds_a_credential(tmp_path):
    """Through every way in: fields, errors, clips, reasons, the output's name, other modules, tracebacks."""
    secret = f"aws_secret_access_key={SECRET_KEY}"
    config = validate(
        ObserveConfig, {"log": "json", "log_file": tmp_path / "a.log", "metrics_file": tmp_path / "a.prom"}
    )
    with (
        pytest.raises(OSError),
        Observer(config, run="r", output=f"https://me:{SECRET_KEY}@host/out") as watched,
    ):
        watched.event("x", password=SECRET_KEY, nested={"a": [secret]}, other=ValueError(secret))
        watched.count_failure("clean", "s0", OSError(secret))
        watched.count_retry("clean", "s0", secret)
        watched.count_clips("s0", [row(clips(1)[0], Verdict.FAILED, secret, f"failed: {secret}")])
        logging.getLogger("clean_corpus.engine").warning("url https://u:%s@h", SECRET_KEY)
        try:
            raise RuntimeError(secret)
        except RuntimeError:
            logging.getLogger("clean_corpus").exception("broke with %s", ACCESS_KEY)
        raise OSError(secret)
    for path in (tmp_path / "a.log", tmp_path / "a.prom"):
        text = path.read_text()
        assert SECRET_KEY not in text and ACCESS_KEY not in text and MASK in text
    assert len(lines(tmp_path / "a.log")) == 8
    assert "RuntimeError" in events(tmp_path / "a.log", "message")[1]["exception"]


# ---- inside Prefect


def test_calls_made_again_reach_the_observer_of_their_run(prefect, tmp_path):
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    from clean_corpus.flows.calls import call_with_retries

    class Here:
        def run(self, function, *args, limit_s=None):
            return function(*args)

    tries: dict[str, int] = {}

    def work(shard: str) -> int:
        tries[shard] = tries.get(shard, 0) + 1
        if shard == "poison" or (shard == "flaky" and tries[shard] == 1):
            raise RuntimeError(f"worker process died in {shard}")
        if shard == "setting":
            raise ConfigError("wrong")
        return 1

    @task(cache_policy=NO_CACHE)
    def clean(shard: str) -> None:
        call_with_retries(Here(), "clean", shard, work, shard)

    @flow
    def whole() -> dict:
        with observer(tmp_path, metrics_port=0) as watched:
            for future in [clean.submit(shard) for shard in ("fine", "flaky", "poison", "setting")]:
                future.wait()
            return scraped(watched.address)

    found = whole()
    assert tries == {"fine": 1, "flaky": 2, "poison": 3, "setting": 1}
    assert found["retries_total", "clean"] == 3
    said = sorted((line["call"], line["error"]) for line in events(tmp_path / "a.log", "retry"))
    assert said == [
        ("flaky", "worker process died in flaky"),
        ("poison", "worker process died in poison"),
        ("poison", "worker process died in poison"),
    ]
