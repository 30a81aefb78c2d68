"""Curves and durations read from the events of a training."""

import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from clean_corpus.vocoder.comparison.training_log import curve, trained_s


def log(run, suffix, values):
    """Write (second, step, loss) of one process."""
    writer = EventFileWriter(str(run / "tensorboard"), filename_suffix=suffix)
    for second, step, loss in values:
        summary = Summary(value=[Summary.Value(tag="val/loss", simple_value=loss)])
        writer.add_event(Event(wall_time=second, step=step, summary=summary))
    writer.close()


def test_a_step_that_was_trained_twice_has_its_later_value(tmp_path):
    log(tmp_path, ".2", [(100.0, 2, 5.0), (110.0, 4, 4.5)])  # as file 9 of a process and its file 10
    log(tmp_path, ".1", [(200.0, 4, 4.25), (230.0, 6, 4.0)])
    assert curve(tmp_path, "val/loss") == [(2, 5.0), (4, 4.25), (6, 4.0)]
    assert curve(tmp_path, "other") == []
    assert trained_s(tmp_path) == pytest.approx(130)


def test_a_folder_without_events_has_no_curve(tmp_path):
    assert curve(tmp_path, "val/loss") == [] and trained_s(tmp_path) == 0
