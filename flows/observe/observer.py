"""What a run tells the outside while it goes on: structured log lines, Prometheus metrics, time and audio per stage.

Workers return what they did, and all of it is told from the flow's process: one log, one endpoint, one file a run.
"""

import logging
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families
from pydantic import Field, field_validator
from rich.console import Console

from clean_corpus.flows.observe import logs
from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.records import Outcome
from clean_corpus.pipeline.core.types import Clip, Verdict

if TYPE_CHECKING:
    from clean_corpus.pipeline.corpus.ledger import Row

STAGES = ("ingest", "clean", "publish", "variant", "report")  # whose calls are made again when they fail
MAX_REASONS = 32  # of clips, in metrics; texts of exceptions come in any number, series must not


class ObserveConfig(Section):
    """Logs and metrics of the flow's process."""

    log: Literal["text", "json"] = Field("text", description="a line for people, or one JSON object per line")
    log_file: Path | None = Field(
        None, description="local file that lines are appended to; null: standard error, as text only warnings"
    )
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="serve Prometheus metrics while the run goes on; 0 takes a free port"
    )
    metrics_host: str = Field("127.0.0.1", description="address that metrics_port listens at; 0.0.0.0 in a container")
    metrics_file: Path | None = Field(
        None, description="local .prom file for node_exporter's textfile collector; holds the last run's end"
    )
    metrics_file_every_s: float = Field(15.0, gt=0, description="how often metrics_file is replaced, seconds")

    @field_validator("log_file", "metrics_file")
    @classmethod
    def _local(cls, path: Path | None) -> Path | None:
        if path is not None and str(path).partition("/")[0].endswith(":"):
            raise ValueError("must be a local file")
        return path

    @field_validator("metrics_file")
    @classmethod
    def _collected(cls, path: Path | None) -> Path | None:
        if path is not None and path.suffix != ".prom":
            raise ValueError("must end in .prom, the collector reads no other")
        return path


@dataclass
class _Stage:
    """What calls of one stage took; `audio_s` and `made_s` leave out what was found done."""

    seconds: float = 0.0
    made_s: float = 0.0
    audio_s: float = 0.0
    done: int = 0
    reused: int = 0
    failed: int = 0

    def entry(self, name: str) -> dict[str, Any]:
        rate = round(self.audio_s / self.made_s, 2) if self.audio_s and self.made_s else None
        return {
            "name": name,
            "seconds": round(self.seconds, 3),
            "done": self.done,
            "reused": self.reused,
            "failed": self.failed,
            "audio_s": round(self.audio_s, 3),
            "audio_s_per_worker_s": rate,
        }


class _Metrics:
    """The series of one run, each labelled with its output, so that files of several runs can lie side by side."""

    def __init__(self, output: str) -> None:
        self.output, self.registry = output, CollectorRegistry()
        self.clips = self._of(Counter, "clips", "clips that ended", "verdict", "reason")
        self.audio = self._of(Counter, "audio_seconds", "audio that a stage worked on, reused work left out", "stage")
        self.seconds = self._of(Counter, "stage_seconds", "time that workers spent in a stage", "stage")
        self.shards = self._of(Counter, "shards", "calls that ended: done, reused or failed", "stage", "outcome")
        self.retries = self._of(Counter, "retries", "calls made again after a failure", "stage")
        self.queue = self._of(Gauge, "queue_depth", "calls that wait for a worker or are worked on", "stage")
        self.workers = self._of(Gauge, "workers", "workers of the engine")
        self.started = self._of(Gauge, "run_started_timestamp_seconds", "when this run began")
        self.finished = self._of(Gauge, "run_finished_timestamp_seconds", "when this run ended, well or not")
        self.success = self._of(Gauge, "last_success_timestamp_seconds", "when a run last ended well")

    def _of(self, kind: Callable[..., Any], name: str, about: str, *labels: str) -> Callable[..., Any]:
        metric = kind(f"clean_corpus_{name}", about, ("output", *labels), registry=self.registry)
        return lambda *values: metric.labels(self.output, *values)

    def write(self, path: Path) -> None:
        """Replace a file by the series as they are.

        Raises: OSError.
        """
        write_to_textfile(str(path), self.registry)


_current: ContextVar["Observer | None"] = ContextVar("clean_corpus_observer", default=None)


def count_retry(stage: str, call: str, error: object) -> None:
    """Count a call that will be made again, at the observer of the run that it belongs to, if there is one.

    Prefect decides over retries in the thread of the task, which runs in a copy of the flow's context.
    """
    if observer := _current.get():
        observer.retried(stage, call, error)


class Observer:
    """Made once a run, entered around all of its work; what it is told becomes log lines, metrics and timings.

    Raises: ConfigError, on entering, if the log or the metrics cannot go where they should.
    """

    def __init__(self, config: ObserveConfig, *, run: str, output: object, workers: int = 0) -> None:
        self.config, self.run = config, run
        self.address: str | None = None
        """Where metrics are served, URL."""
        self._output = logs.mask(str(output))
        self._metrics = _Metrics(self._output)
        self._stages: dict[str, _Stage] = {}
        self._verdicts: Tally[str] = Tally()
        self._reasons: set[str] = set()
        self._retries = 0
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._begin = time.monotonic()
        self.workers(workers)

    @property
    def console(self) -> Console:
        """For progress: silent where standard error belongs to JSON lines."""
        return Console(stderr=True, quiet=self.config.log == "json" and self.config.log_file is None)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start_log(stack)
            self._metrics.started().set_to_current_time()
            for verdict in Verdict:
                self._metrics.clips(verdict.value, "")
            for stage in STAGES:  # a series that begins with its first retry has no increase to alert on
                self._metrics.retries(stage)
            self._start_file(stack)
            self._start_server(stack)
            token = _current.set(self)
            stack.callback(_current.reset, token)
            self._stack = stack.pop_all()
        self.event("run_started", output=self._output, metrics=self.address)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        facts = {
            "seconds": round(time.monotonic() - self._begin, 3),
            "retries": self._retries,
            **{verdict.value: self._verdicts[verdict.value] for verdict in Verdict},
        }
        self._metrics.finished().set_to_current_time()
        if kind is None:
            self._metrics.success().set_to_current_time()
            self.event("run_finished", **facts)
        else:
            self.event("run_failed", logging.ERROR, error=f"{kind.__name__}: {error}", **facts)
        self._stack.close()

    # ---- told by the flow

    def event(self, event: str, level: int = logging.INFO, **fields: object) -> None:
        """One log line."""
        logs.LOGGER.log(level, event, extra={"run": self.run, "fields": logs.masked(fields)})

    def workers(self, count: int) -> None:
        """How many workers the engine has now."""
        self._metrics.workers().set(count)

    @contextmanager
    def stage(self, name: str, calls: int) -> Iterator[Callable[[], None]]:
        """A stage of so many calls; what is yielded is called at each one's end, whatever that was."""
        start, queue = time.monotonic(), self._metrics.queue(name)
        queue.set(calls)
        self.event("stage_started", stage=name, calls=calls)
        try:
            yield queue.dec
            self.event("stage_finished", stage=name, calls=calls, seconds=round(time.monotonic() - start, 3))
        finally:
            queue.set(0)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """A stage that is one call within the block."""
        start = time.perf_counter()
        yield
        self._stages[name] = _Stage(seconds=time.perf_counter() - start, done=1)
        self._metrics.seconds(name).inc(self._stages[name].seconds)

    def account(self, stage: str, shard: str, clips: Iterable[Clip], outcome: Outcome[Any]) -> None:
        """What a worker did for one shard: the clips it was given, or made of recordings."""
        seen, how = list(clips), "reused" if outcome.reused else "done"
        audio_s = sum(clip.duration_s for clip in seen)
        entry = self._stages.setdefault(stage, _Stage())
        entry.seconds += outcome.seconds
        setattr(entry, how, getattr(entry, how) + 1)
        if not outcome.reused:
            entry.made_s += outcome.seconds
            entry.audio_s += audio_s
            self._metrics.audio(stage).inc(audio_s)
        self._metrics.seconds(stage).inc(outcome.seconds)
        self._metrics.shards(stage, how).inc()
        self.event(
            "shard",
            stage=stage,
            shard=shard,
            result=outcome.name,
            clips=len(seen),
            failed_clips=len(getattr(outcome.result, "failed", ())),
            seconds=round(outcome.seconds, 3),
            audio_s=round(audio_s, 3),
            reused=outcome.reused,
        )

    def failed(self, stage: str, shard: str, error: object) -> None:
        """A call that gave nothing after its retries."""
        self._stages.setdefault(stage, _Stage()).failed += 1
        self._metrics.shards(stage, "failed").inc()
        self.event("shard_failed", logging.ERROR, stage=stage, shard=shard, error=str(error))

    def retried(self, stage: str, call: str, error: object) -> None:
        """A call that failed and will be made again. May be called from any thread."""
        with self._lock:
            self._retries += 1
        self._metrics.retries(stage).inc()
        self.event("retry", logging.WARNING, stage=stage, call=call, error=str(error))

    def ended(self, shard: str | None, rows: "Iterable[Row]") -> None:
        """Clips at their end, all of one shard or of none; those not kept get a log line each."""
        for row in rows:
            clip, decision = row.clip, row.decision
            verdict, reason = decision.verdict.value, decision.reason or ""
            self._verdicts[verdict] += 1
            self._metrics.clips(verdict, self._bounded(reason)).inc()
            if decision.verdict is not Verdict.KEPT:
                self.event(
                    "clip",
                    shard=shard,
                    clip=clip.clip_id,
                    source=clip.source,
                    verdict=verdict,
                    reason=reason,
                    detail=decision.detail,
                )

    def stages(self) -> list[dict[str, Any]]:
        """For run.json, in the order they began: worker seconds, calls, audio seconds and their ratio."""
        return [entry.entry(name) for name, entry in self._stages.items()]

    # ---- where it goes

    def _bounded(self, reason: str) -> str:
        if reason and len(self._reasons) < MAX_REASONS:
            self._reasons.add(reason)
        return logs.mask(reason) if not reason or reason in self._reasons else "other"

    def _start_log(self, stack: ExitStack) -> None:
        def ours(record: logging.LogRecord) -> bool:
            run = getattr(record, "run", None)  # set on events; lines of other modules belong to the run around them
            return run == self.run if run else _current.get() in (None, self)

        handler = logs.handler(self.config.log, self.config.log_file, self.run, ours)
        stack.callback(handler.close)
        logs.LOGGER.addHandler(handler)
        stack.callback(logs.LOGGER.removeHandler, handler)

    def _start_server(self, stack: ExitStack) -> None:
        host, port = self.config.metrics_host, self.config.metrics_port
        if port is None:
            return
        try:
            server, thread = start_http_server(port, host, self._metrics.registry)
        except OSError as error:
            raise ConfigError(
                f"observe.metrics_port {port}: cannot listen at {host}:{port}: {error.strerror}; choose another port, "
                "0 for any free one, or null for none (observe.metrics_file needs none)"
            ) from None
        self.address = f"http://{host}:{server.server_port}/metrics"
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)

    def _start_file(self, stack: ExitStack) -> None:
        path = self.config.metrics_file
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if (before := self._last_success(path)) is not None:
                self._metrics.success().set(before)
            self._metrics.write(path)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"observe.metrics_file {path}: {getattr(error, 'strerror', None) or 'holds something else'}; "
                "choose another, or null for none"
            ) from None
        stop = threading.Event()

        def write() -> None:
            try:
                self._metrics.write(path)
            except OSError as error:  # a run of hours does not end over its metrics
                self.event("metrics_not_written", logging.WARNING, file=str(path), error=str(error))

        def keep_writing() -> None:
            while not stop.wait(self.config.metrics_file_every_s):
                write()

        thread = threading.Thread(target=keep_writing, name="metrics-file", daemon=True)
        thread.start()
        stack.callback(write)
        stack.callback(thread.join)
        stack.callback(stop.set)

    def _last_success(self, path: Path) -> float | None:
        """What an earlier run left for this output: a run that fails must not hide when one last ended well."""
        if not path.exists():
            return None
        for family in text_string_to_metric_families(path.read_text()):
            for sample in family.samples:
                if sample.name == "clean_corpus_last_success_timestamp_seconds" and sample.labels == {
                    "output": self._output
                }:
                    return sample.value
        return None
