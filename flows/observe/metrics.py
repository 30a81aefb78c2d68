"""Prometheus metrics of a run: served while it goes on, or written to a file for node_exporter."""

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.files import write_whole

PREFIX = "clean_corpus_"
TURN_S = 10.0  # another run has the file for some milliseconds


class Metrics:
    """The series of one run, each labelled with its output, so that files of several runs can lie side by side."""

    def __init__(self, output: str) -> None:
        self.output, self.registry = output, CollectorRegistry()
        self.clips = self._series(Counter, "clips", "clips that ended", "verdict", "reason")
        self.audio = self._series(
            Counter, "audio_seconds", "audio that a stage worked on, reused work left out", "stage"
        )
        self.seconds = self._series(Counter, "stage_seconds", "time that workers spent in a stage", "stage")
        self.shards = self._series(Counter, "shards", "calls that ended: done, reused or failed", "stage", "outcome")
        self.retries = self._series(Counter, "retries", "calls made again after a failure", "stage")
        self.queue = self._series(Gauge, "queue_depth", "calls that wait for a worker or are worked on", "stage")
        self.workers = self._series(Gauge, "workers", "workers of the engine")
        self.started = self._series(Gauge, "run_started_timestamp_seconds", "when this run began")
        self.finished = self._series(Gauge, "run_finished_timestamp_seconds", "when this run ended, well or not")
        self.success = self._series(Gauge, "last_success_timestamp_seconds", "when a run last ended well")

    def _series(self, kind: Callable[..., Any], name: str, about: str, *labels: str) -> Callable[..., Any]:
        """Return a function that gives the series for values of `labels`."""
        metric = kind(f"{PREFIX}{name}", about, ("output", *labels), registry=self.registry)
        return lambda *values: metric.labels(self.output, *values)

    def write(self, path: Path) -> None:
        """Replace this output's series in a file by those as they are; the series of other outputs stay.

        Raises: OSError.
        """
        with _turn(path.parent):
            try:
                others = _read(path)
            except ValueError:  # it was damaged since this run began
                others = []
            series = {family.name: family for family in self.registry.collect()}
            for family in others:
                name = family.name.removesuffix("_created")
                mine = series.setdefault(name, Metric(name, family.documentation, family.type))
                mine.samples += [s for s in family.samples if s.labels.get("output") not in (None, self.output)]
            write_whole(path, generate_latest(_Collected(list(series.values()))))

    @contextmanager
    def served(self, host: str, port: int) -> Iterator[str]:
        """Serve the series while the block runs, at a free port if `port` is 0; yield their URL.

        Raises: ConfigError if nothing can be served there.
        """
        try:
            server, thread = start_http_server(port, host, self.registry)
        except OSError as error:
            raise ConfigError(
                f"observe.metrics_port {port}: cannot listen at {host}:{port}: {error.strerror}; choose another port, "
                "0 for any free one, or null for none (observe.metrics_file needs none)"
            ) from None
        try:
            yield f"http://{host}:{server.server_port}/metrics"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    @contextmanager
    def written(self, path: Path, every_s: float, report: Callable[[OSError], None]) -> Iterator[None]:
        """Write the series into a file at the start of the block, every so many seconds in it, and at its end.

        The time of the last success in the file is kept, and all series of other outputs, whose runs may write there
        at the same time. `report` gets errors: a run of hours does not end over them.
        Raises: ConfigError if the file cannot be written at first, or holds something else.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if (earlier := self._last_success(path)) is not None:
                self.success().set(earlier)
            self.write(path)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"observe.metrics_file {path}: {getattr(error, 'strerror', None) or 'holds something else'}; "
                "choose another, or null for none"
            ) from None
        stop = threading.Event()

        def write() -> None:
            try:
                self.write(path)
            except OSError as error:
                report(error)

        def keep_writing() -> None:
            while not stop.wait(every_s):
                write()

        thread = threading.Thread(target=keep_writing, name="metrics-file", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            write()

    def _last_success(self, path: Path) -> float | None:
        """Return what an earlier run left for this output: a run that fails must not hide when one last ended well."""
        wanted = f"{PREFIX}last_success_timestamp_seconds", {"output": self.output}
        samples = (sample for family in _read(path) for sample in family.samples)
        return next((sample.value for sample in samples if (sample.name, sample.labels) == wanted), None)


class _Collected:
    """Series that are collected already, as a registry gives them."""

    def __init__(self, series: list[Metric]) -> None:
        self._series = series

    def collect(self) -> list[Metric]:
        return self._series


def _read(path: Path) -> list[Metric]:
    """Return the series of runs that a file holds; none if there is no file.

    Raises: OSError; ValueError if it holds something else.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [family for family in text_string_to_metric_families(text) if family.name.startswith(PREFIX)]


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Have only one run at a time write files in a folder: what it read would be old when it writes.

    The lock is of the folder itself, so no file is left in it, and it ends with a process that dies.
    Raises: OSError; TimeoutError if another process keeps it.
    """
    place = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + TURN_S
        while True:
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(errno.ETIMEDOUT, "another process keeps its folder locked") from None
                time.sleep(0.005)
        yield
    finally:
        os.close(place)
