"""The flow that trains a vocoder, as a function: what reaches the training, and what becomes one clear error."""

import pytest

from clean_corpus.flows import train_vocoder as training
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.vocoder.training.config import VocoderConfig


@pytest.fixture
def flow(monkeypatch, tmp_path):
    """The flow without a server, on a folder with two shards."""
    monkeypatch.setattr(training, "train_wavenet", training.train_wavenet.fn)
    for name in ("1.tar", "0.tar", "notes.txt"):
        (tmp_path / "shards" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "shards" / name).write_bytes(b"")
    return lambda *shards, **more: training.train_vocoder.fn(
        [str(tmp_path / name) for name in shards], tmp_path / "out", VocoderConfig(steps=5), **more
    )


def test_shards_settings_and_folder_reach_the_training(flow, monkeypatch, tmp_path):
    seen = []

    def train(found, out, config, show, *, force):
        seen.append(([str(shard) for shard in found], out, config.steps, force))
        return out / "best.safetensors"

    monkeypatch.setattr(training.train, "train", train)
    assert flow("shards") == tmp_path / "out" / "best.safetensors"
    assert flow("shards/1.tar", force=True) == tmp_path / "out" / "best.safetensors"
    shards = [str(tmp_path / "shards" / name) for name in ("0.tar", "1.tar")]
    assert seen == [(shards, tmp_path / "out", 5, False), (shards[1:], tmp_path / "out", 5, True)]


def test_what_a_training_says_is_printed_as_it_is(flow, monkeypatch, capsys):
    def train(found, out, config, show, *, force):
        show("step 5: loss [bold]1.0")
        return out / "best.safetensors"

    monkeypatch.setattr(training.train, "train", train)
    flow("shards")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "step 5: loss [bold]1.0\n")


def test_a_folder_without_shards_is_named(flow, tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(
        CleanCorpusError, match=rf"^SHARDS {tmp_path}/none: no \.tar there; give OUTPUT/shards of a run"
    ):
        flow("none")


def test_a_place_that_is_not_there_is_named(flow, tmp_path):
    with pytest.raises(ConfigError, match=f"SHARDS {tmp_path}/gone"):
        flow("gone")


def test_a_loss_that_is_not_finite_is_an_error_of_the_program(flow, monkeypatch, tmp_path):
    def fails(*_, **__):
        raise FloatingPointError("loss nan at step 3")

    monkeypatch.setattr(training.train, "train", fails)
    with pytest.raises(CleanCorpusError, match=f"^training in {tmp_path}/out: loss nan at step 3") as refused:
        flow("shards")
    assert not isinstance(refused.value, ConfigError)


def test_one_training_at_a_time_in_a_folder(flow, monkeypatch, tmp_path):
    def train_again(*_, **__):
        with pytest.raises(ConfigError, match=f"^output {tmp_path}/out: another training writes there"):
            flow("shards")
        return tmp_path / "out" / "best.safetensors"

    monkeypatch.setattr(training.train, "train", train_again)
    assert flow("shards")
