"""The commands `vocode` and `compare`: sets by name, arguments that reach the work, what is printed."""

from pathlib import Path

import pytest

from clean_corpus.flows import compare_vocoders
from clean_corpus.flows.cli.vocoder import _shards_by_set
from clean_corpus.flows.commands import vocode
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from tests.support.commands import invoke


def test_sets_are_named_on_the_command_line():
    assert _shards_by_set(["raw=a,s3://b/c", "gated=d"]) == {"raw": ["a", "s3://b/c"], "gated": ["d"]}
    assert _shards_by_set(["a-b_1=x=y"]) == {"a-b_1": ["x=y"]}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["raw"], "--set raw: write NAME=SHARDS"),
        (["raw="], "--set raw=: write NAME=SHARDS"),
        (["=a"], "--set =a: write NAME=SHARDS"),
        (["raw=a", "raw=b"], "--set raw=b: raw was given before; separate several places by commas"),
    ],
)
def test_sets_of_another_form_are_refused(options, words):
    with pytest.raises(ConfigError) as refused:
        _shards_by_set(options)
    assert words in str(refused.value)


def test_what_is_given_reaches_the_speech(monkeypatch, tmp_path):
    seen = []

    def speak(sources, checkpoint, out, console, **more):
        seen.append((sources, checkpoint, out, more))
        return 1, {"b.wav": "no audio"}

    monkeypatch.setattr(vocode, "vocode", speak)
    about = [
        "--checkpoint",
        "s3://b/voice",
        "--out",
        tmp_path,
        "--seed",
        3,
        "--speaker",
        "ann",
        "--batch-size",
        4,
        "--voiced-temperature",
        0.7,
        "--equaliser-ms",
        80,
    ]
    result = invoke("vocode", "a.wav", "s3://b/in", *about, "--threads", 2, "--score")
    more = {"seed": 3, "speaker": "ann", "batch_size": 4, "threads": 2, "score": True}
    more |= {"voiced_temperature": 0.7, "equaliser_ms": 80}
    assert seen == [([Path("a.wav"), S3Folder("b", "in")], S3Folder("b", "voice"), tmp_path, more)]
    assert result.stderr.splitlines() == ["failed: b.wav: no audio", "spoken 1, failed 1"]


def test_nothing_spoken_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(vocode, "vocode", lambda *_, **__: (0, {}))
    with pytest.raises(CleanCorpusError, match=r"nothing could be read in a\.wav"):
        invoke("vocode", "a.wav", "--checkpoint", tmp_path, "--out", tmp_path)


@pytest.fixture
def compared(monkeypatch, without_server) -> list[tuple]:
    """What was compared; a verdict is written each time."""
    seen: list[tuple] = []

    def compare(sets, out, config, force):
        seen.append((sets, config, force))
        (out / "verdict.txt").write_text("gated is better\n")
        return out / "report" / "index.html"

    monkeypatch.setattr(compare_vocoders, "compare_vocoders", compare)
    return seen


def test_a_comparison_prints_its_verdict_and_where_the_report_is(compared, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text("spoken: 5\nvocoder: {budget_min: 1, steps: 7}\n")
    more = [
        "--budget-minutes",
        3,
        "--config",
        "c.yaml",
        "--setting",
        "vocoder.steps=9",
        "--force",
        "--seeds",
        3,
        "--aa",
    ]
    result = invoke("compare", "--set", "raw=a", "--set", "gated=b,c", "--out", ".", *more)
    ((sets, config, force),) = compared
    assert (sets, force) == ({"raw": ["a"], "gated": ["b", "c"]}, True)
    assert (config.spoken, config.vocoder.budget_min, config.vocoder.steps) == (5, 3, 9)
    assert (config.seeds, config.aa, config.frames_from) == (3, True, None)
    assert result.stdout == f"gated is better\nreport: {tmp_path}/report/index.html\n"


def test_a_wrong_set_or_setting_compares_nothing(compared, tmp_path):
    with pytest.raises(ConfigError, match="write NAME=SHARDS"):
        invoke("compare", "--set", "raw", "--out", tmp_path)
    with pytest.raises(ConfigError, match=r"unknown key 'vocoder\.stps'; did you mean 'steps'"):
        invoke("compare", "--set", "raw=a", "--out", tmp_path, "--setting", "vocoder.stps=1")
    assert compared == []
