"""Events of a run, counted in one place: log lines, Prometheus metrics, time and audio for each stage.

Workers return what they did, and the flow's process counts all of it: one log, one endpoint, one file for each run.
"""

import logging
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console

from clean_corpus.flows.observe import logs
from clean_corpus.flows.observe.config import ObserveConfig
from clean_corpus.flows.observe.metrics import Metrics
from clean_corpus.pipeline.core.masking import mask, masked
from clean_corpus.pipeline.core.records import Outcome
from clean_corpus.pipeline.core.types import Clip, Verdict

if TYPE_CHECKING:
    from clean_corpus.pipeline.corpus.ledger import Row

STAGES = ("ingest", "score before", "clean", "embed", "transcribe", "publish", "variant", "report")
"""Those whose calls are made again when they fail."""
MAX_REASONS = 64  # of clips, in metrics; there are fewer, and series must not become many


@dataclass
class _Stage:
    """Time, audio and number of the calls of one stage; `audio_s` and `made_s` leave out results that were reused."""

    seconds: float = 0.0
    made_s: float = 0.0
    audio_s: float = 0.0
    done: int = 0
    reused: int = 0
    failed: int = 0

    def entry(self, name: str) -> dict[str, Any]:
        """Return what run.json says of the stage."""
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


_current: ContextVar["Observer | None"] = ContextVar("clean_corpus_observer", default=None)


def count_retry(stage: str, call: str, error: object) -> None:
    """Count a call that will be made again, at the observer of the run that it belongs to, if there is one.

    Retries happen in the thread of a task, which runs in a copy of the flow's context.
    """
    if observer := _current.get():
        observer.count_retry(stage, call, error)


class Observer:
    """Counts what happens in one run, as log lines, metrics and timings; entered around all of its work.

    What happens before it is entered becomes log lines then.
    Raises: ConfigError, on entering, if the log or the metrics cannot go where they should.
    """

    def __init__(self, config: ObserveConfig, *, run: str, output: object, workers: int = 0) -> None:
        self.config, self.run = config, run
        self.address: str | None = None
        """URL at which metrics are served."""
        self._output = mask(str(output))
        self._metrics = Metrics(self._output)
        self._stages: dict[str, _Stage] = {}
        self._verdicts: Tally[str] = Tally()
        self._reasons: set[str] = set()
        self._retries = 0
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._held: list[tuple[str, int, dict[str, object]]] | None = []
        self._begin = time.monotonic()
        self.set_workers(workers)

    @property
    def console(self) -> Console:
        """The console for progress; it is silent where standard error belongs to JSON lines."""
        return Console(stderr=True, quiet=self.config.log == "json" and self.config.log_file is None)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start_log(stack)
            self._start_metrics(stack)
            token = _current.set(self)
            stack.callback(_current.reset, token)
            self._stack = stack.pop_all()
        held, self._held = self._held, None
        self.event("run_started", output=self._output, metrics=self.address)
        for event, level, fields in held or []:
            self.event(event, level, **fields)
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

    # ---- what happens

    def event(self, event: str, level: int = logging.INFO, **fields: object) -> None:
        """Write one log line."""
        if self._held is not None:
            self._held.append((event, level, fields))
            return
        logs.LOGGER.log(level, event, extra={"run": self.run, "fields": masked(fields)})

    def set_workers(self, count: int) -> None:
        """Show how many workers the engine has."""
        self._metrics.workers().set(count)

    @contextmanager
    def stage(self, name: str, calls: int) -> Iterator[Callable[[], None]]:
        """Show a stage of so many calls while the block runs; yield a function to be called at each one's end."""
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
        """Time a stage that is the block."""
        start = time.perf_counter()
        yield
        self._stages[name] = _Stage(seconds=time.perf_counter() - start, done=1)
        self._metrics.seconds(name).inc(self._stages[name].seconds)

    def count_call(self, stage: str, shard: str, clips: Iterable[Clip], outcome: Outcome[Any]) -> None:
        """Count a call that a worker has done for one shard: the clips that it was given, or made of recordings."""
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

    def count_failure(self, stage: str, shard: str, error: object) -> None:
        """Count a call that gave nothing after its retries."""
        self._stages.setdefault(stage, _Stage()).failed += 1
        self._metrics.shards(stage, "failed").inc()
        self.event("shard_failed", logging.ERROR, stage=stage, shard=shard, error=str(error))

    def count_retry(self, stage: str, call: str, error: object) -> None:
        """Count a call that failed and will be made again; this may be called from any thread."""
        with self._lock:
            self._retries += 1
        self._metrics.retries(stage).inc()
        self.event("retry", logging.WARNING, stage=stage, call=call, error=str(error))

    def count_clips(self, shard: str | None, rows: "Iterable[Row]") -> None:
        """Count clips that have ended, all of one shard or of none; each one not kept gets a log line."""
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
        """Return entries for run.json in the order in which stages began: seconds, calls, audio and their ratio."""
        return [entry.entry(name) for name, entry in self._stages.items()]

    # ---- logs and metrics

    def _bounded(self, reason: str) -> str:
        """Return a reason as a label of metrics: "other" once there are too many of them."""
        if reason and len(self._reasons) < MAX_REASONS:
            self._reasons.add(reason)
        return mask(reason) if not reason or reason in self._reasons else "other"

    def _start_log(self, stack: ExitStack) -> None:
        def is_ours(record: logging.LogRecord) -> bool:
            run = getattr(record, "run", None)  # set on events; lines of other modules belong to the run around them
            return run == self.run if run else _current.get() in (None, self)

        handler = logs.handler(self.config.log, self.config.log_file, self.run, is_ours)
        stack.callback(handler.close)
        logs.LOGGER.addHandler(handler)
        stack.callback(logs.LOGGER.removeHandler, handler)

    def _start_metrics(self, stack: ExitStack) -> None:
        def report(error: OSError) -> None:
            self.event("metrics_not_written", logging.WARNING, file=str(path), error=str(error))

        self._metrics.started().set_to_current_time()
        for verdict in Verdict:
            self._metrics.clips(verdict.value, "")
        for stage in STAGES:  # a series that begins with its first retry has no increase to alert on
            self._metrics.retries(stage)
        if path := self.config.metrics_file:
            stack.enter_context(self._metrics.written(path, self.config.metrics_file_every_s, report))
        if self.config.metrics_port is not None:
            served = self._metrics.served(self.config.metrics_host, self.config.metrics_port)
            self.address = stack.enter_context(served)
