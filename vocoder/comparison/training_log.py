"""Curves and duration of a training, from the events that it logged for TensorBoard."""

from collections.abc import Iterator
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def curve(run: Path, name: str) -> list[tuple[int, float]]:
    """Return a logged scalar by step; a step that was trained twice, after a kill, has its later value."""
    return sorted({step: value for _, step, value in sorted(_scalars(run, name))}.items())


def trained_s(run: Path) -> float:
    """Return the seconds between the first and the last logged value; pauses after a kill are counted."""
    times = [time_s for time_s, _, _ in _scalars(run)]
    return max(times, default=0.0) - min(times, default=0.0)


def _scalars(run: Path, name: str | None = None) -> Iterator[tuple[float, int, float]]:
    """Yield (time in seconds, step, value) of one scalar, or of all; files are in no order of time by their names."""
    for file in (run / "tensorboard").glob("events.*"):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            if name in (None, tag):
                yield from ((event.wall_time, event.step, event.value) for event in events.Scalars(tag))
