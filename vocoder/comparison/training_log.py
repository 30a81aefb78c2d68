"""Curves and duration of a training, from the events that it logged for TensorBoard."""

from collections.abc import Iterator
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def curve(run: Path, name: str) -> list[tuple[int, float]]:
    """Return a logged scalar by step; a step that was trained twice, after a kill, has its later value."""
    values: dict[int, float] = {}
    for events in _logs(run):
        if name in events.Tags()["scalars"]:
            values |= {event.step: event.value for event in events.Scalars(name)}
    return sorted(values.items())


def trained_s(run: Path) -> float:
    """Return the seconds between the first and the last logged value; pauses after a kill are counted."""
    times = [
        event.wall_time for events in _logs(run) for tag in events.Tags()["scalars"] for event in events.Scalars(tag)
    ]
    return max(times, default=0.0) - min(times, default=0.0)


def _logs(run: Path) -> Iterator[EventAccumulator]:
    for file in sorted((run / "tensorboard").glob("events.*")):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0})
        events.Reload()
        yield events
