"""`clean-corpus yield`: hours that each threshold would keep, of clips whose scores are known."""

from pathlib import Path

import pytest
from rich.console import Console

from clean_corpus.flows.commands import parallel, yield_curve
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.pipeline.core.errors import DataError
from tests.support.inline import Inline

QUIET = Console(quiet=True)
HOUR_S = 3600.0


@pytest.fixture
def config(tmp_path) -> RunConfig:
    """Ten files, and a gate at 15 dB."""
    (tmp_path / "in").mkdir()
    for i in range(10):
        (tmp_path / "in" / f"{i}.wav").write_bytes(b"x")
    return RunConfig(input=tmp_path / "in", output=tmp_path / "out", gate={"snr_db_min": 15.0})


@pytest.fixture
def drawn(monkeypatch) -> list[tuple]:
    """What was plotted."""
    plots: list[tuple] = []
    monkeypatch.setattr(parallel, "LocalEngine", Inline)
    monkeypatch.setattr(yield_curve, "plot_yield", lambda *given: plots.append(given))
    return plots


def test_hours_kept_by_each_threshold(config, drawn, monkeypatch):
    """Three recordings have a clip of an hour each; of the others one has no clip and the workers of the rest die."""
    scores = {"0.wav": 0.0, "1.wav": 10.0, "2.wav": 20.0}

    def clips(recording, given):
        assert given is config
        if recording.path in scores:
            return [(HOUR_S, {"snr_db": scores[recording.path], "utmos": None})]
        return [] if recording.path == "3.wav" else WorkerDied("gone")

    monkeypatch.setattr(yield_curve, "_score_clips", clips)
    curve = yield_curve.yield_curve(200, Path("y.png"), config, QUIET)
    assert curve.title == (
        "10 of 10 recordings sampled: 3 clips, 3 h, 7 not usable; raw scores, one threshold at a time"
    )
    assert [(row.score, row.threshold, row.hours) for row in curve.rows] == [
        ("snr_db", 4.0, 2.0), ("snr_db", 8.0, 2.0), ("snr_db", 12.0, 1.0), ("snr_db", 15.0, 1.0), ("snr_db", 16.0, 1.0),
    ]  # fmt: skip
    ((values, durations_s, limits, path),) = drawn
    assert sorted(values["snr_db"]) == [0.0, 10.0, 20.0] and len(values["utmos"]) == 3
    assert all(value != value for value in values["utmos"]), "what was not measured is NaN"
    assert (durations_s, limits["snr_db"], path) == ([HOUR_S] * 3, 15.0, Path("y.png"))


def test_a_sample_is_drawn_without_repeats_and_the_same_each_time(config, drawn, monkeypatch):
    seen: list[str] = []
    monkeypatch.setattr(
        yield_curve, "_score_clips", lambda recording, _: seen.append(recording.path) or [(HOUR_S, {"snr_db": 1.0})]
    )
    titles = [yield_curve.yield_curve(4, Path("y.png"), config, QUIET).title for _ in range(2)]
    assert len(set(seen[:4])) == 4 and sorted(seen[:4]) == sorted(seen[4:])
    assert sorted(seen[:4]) != ["0.wav", "1.wav", "2.wav", "3.wav"], "the first ones are no sample"
    assert titles[0] == titles[1] and titles[0].startswith("4 of 10 recordings sampled: 4 clips, 4 h, 0 not usable")


def test_without_a_clip_there_is_no_curve(config, drawn, monkeypatch):
    monkeypatch.setattr(yield_curve, "_score_clips", lambda *_: [])
    with pytest.raises(DataError, match=f"^{config.input}: none of 3 recordings drawn gives a clip to score"):
        yield_curve.yield_curve(3, Path("y.png"), config, QUIET)
    assert not drawn
