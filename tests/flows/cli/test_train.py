"""The commands of training: what is given reaches the training, and what is wrong is named before it begins."""

from pathlib import Path

import pytest

from clean_corpus.enhancers.training import recipes, saved_state
from clean_corpus.flows import train_enhancer as training
from clean_corpus.flows import train_vocoder as vocoder_training
from clean_corpus.flows.cli.train import _enhancer_settings
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from tests.support.commands import invoke
from tests.support.trainings import training_arguments, write_training_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_training_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(autouse=True)
def flow_as_function(monkeypatch, without_server):
    """Flows are called as they are."""
    monkeypatch.setattr(training, "train_row", training.train_row.fn)
    monkeypatch.setattr(training, "train_enhancer", training.train_enhancer.fn)
    monkeypatch.setattr(vocoder_training, "train_wavenet", vocoder_training.train_wavenet.fn)
    monkeypatch.setattr(vocoder_training, "train_vocoder", vocoder_training.train_vocoder.fn)


# ---- train-enhancer


def test_what_is_given_reaches_the_training_of_an_enhancer(corpus, tmp_path, monkeypatch):
    def train(*given):
        seen.append(given)
        given[-1]("a line")
        return Path("weights")

    seen = []
    monkeypatch.setattr(training.train, "train", train)
    more = ["--recipe", "dccrn", "--budget", "2", "--rirs", str(corpus), "--set", "mix.room_share=1"]
    result = invoke(*training_arguments(corpus, tmp_path / "out"), *more)
    name, speech, noise, out, config, _ = seen[0]
    assert (name, speech, noise, out) == ("cgcrn", [str(corpus / "speech")], [str(corpus / "noise")], tmp_path / "out")
    assert (config.budget_min, config.epochs, config.lr_schedule) == (2, 4, "halve_on_plateau")
    assert (config.mix.rirs, config.mix.room_share, config.mix.seconds) == (str(corpus), 1, 0.5)
    assert result.stderr.startswith("starting\nrecipe dccrn, paper [") and result.stderr.endswith("a line\n")
    assert result.stdout == "weights: weights\n"


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"cgcrn": "cgcnr"}, ConfigError, "did you mean 'cgcrn'?"),
        ({"{in}/speech": "{in}/absent"}, ConfigError, "--speech {in}/absent: no such folder or .tar"),
        ({"{in}/noise": "{in}/none/*.tar"}, DataError, "--noise {in}/none/*.tar: matches no .tar"),
        ({"{in}/tiny.yaml": "{in}/no.yaml"}, ConfigError, "no such file"),
        ({"+": ["--recipe", "cgcnr"]}, ConfigError, "recipe 'cgcnr' is not one of"),
        ({"+": ["--set", "mix.secnds=1"]}, ConfigError, "unknown key 'mix.secnds'; did you mean 'seconds'?"),
        ({"{in}/speech": "{in}/empty"}, DataError, "below {in}/empty; check --speech"),
        ({"+": ["--rirs", "{in}/absent", "--set", "mix.room_share=1"]}, ConfigError, "{in}/absent: no such folder"),
        ({"+": ["--rirs", "{in}/empty", "--set", "mix.room_share=1"]}, DataError, "below {in}/empty; check --rirs"),
        ({"+": ["--set", "sizes.chanels=1"]}, ConfigError, "size 'chanels'"),
        ({"{out}": "{in}/tiny.yaml"}, ConfigError, "{in}/tiny.yaml: cannot be written"),
    ],
)
def test_wrong_arguments_are_one_clear_error(corpus, tmp_path, change, kind, words):
    """A ConfigError is exit code 2, a DataError 1."""

    def place(text):
        return text.replace("{in}", str(corpus)).replace("{out}", str(tmp_path / "out"))

    given = [*training_arguments(corpus, tmp_path / "out"), *map(place, change.get("+", []))]
    changed = {place(old): place(new) for old, new in change.items() if old != "+"}
    with pytest.raises(kind) as refused:
        invoke(*[changed.get(a, a) for a in given])
    assert place(words) in str(refused.value)


def test_single_settings_lie_over_options_and_file_and_recipe(tmp_path):
    recipe = recipes.load_recipe("dccrn")
    path = tmp_path / "c.yaml"
    path.write_text("batch_size: 7\nbudget_min: 60\nmix: {rirs: of-the-file, seconds: 2}\n")
    as_recipe = _enhancer_settings(recipe, None, None, None, [])
    assert as_recipe == recipes.settings(recipe)
    assert _enhancer_settings(recipe, None, 3, None, []).budget_min == 3
    assert _enhancer_settings(recipe, str(path), None, None, []).budget_min == 60
    assert _enhancer_settings(recipe, str(path), 3, None, ["budget_min=5"]).budget_min == 5
    of_file = _enhancer_settings(recipe, str(path), 3, None, [])
    assert (of_file.budget_min, of_file.batch_size, of_file.mix.rirs) == (3, 7, "of-the-file")
    of_options = _enhancer_settings(recipe, str(path), 3, "rooms", ["mix.seconds=1", "batch_size=9"])
    assert (of_options.batch_size, of_options.mix.rirs, of_options.mix.seconds) == (9, "rooms", 1)
    assert of_options.lr_schedule == as_recipe.lr_schedule


# ---- saving and restoring


def test_saving_and_restoring_print_the_step(monkeypatch):
    moved = []
    monkeypatch.setattr(saved_state, "save_training", lambda run, state: moved.append((run, state)) or 12)
    monkeypatch.setattr(saved_state, "restore_training", lambda state, run: moved.append((state, run)) or 12)
    assert invoke("save-training", "run", "x.safetensors").stdout == "step 12: x.safetensors\n"
    assert invoke("restore-training", "x.safetensors", "new").stdout == (
        "step 12: new; continue with train-enhancer --out new and the same settings\n"
    )
    assert moved == [(Path("run"), Path("x.safetensors")), (Path("x.safetensors"), Path("new"))]


# ---- train-vocoder


@pytest.fixture
def spoken(monkeypatch, tmp_path) -> list[tuple]:
    """What a vocoder was trained with; one shard lies in the test's folder."""
    seen: list[tuple] = []

    def train(shards, out, config, show, *, force):
        seen.append((shards, out, config, force))
        show("a [line]")
        return out / "best.safetensors"

    (tmp_path / "0.tar").write_bytes(b"")
    monkeypatch.setattr(vocoder_training.train, "train", train)
    return seen


def test_what_is_given_reaches_the_training_of_a_vocoder(spoken, tmp_path):
    (tmp_path / "c.yaml").write_text("budget_min: 1\nsteps: 7\nbatch_size: 3\n")
    more = ["--config", tmp_path / "c.yaml", "--budget", 2, "--set", "steps=9", "--force"]  # 1 minute in the file
    result = invoke("train-vocoder", tmp_path, "--out", tmp_path / "out", *more)
    ((shards, out, config, force),) = spoken
    assert ([Path(shard).name for shard in shards], out, force) == (["0.tar"], tmp_path / "out", True)
    assert (config.budget_min, config.steps, config.batch_size) == (2, 9, 3)
    assert result.stderr == "starting\na [line]\n"
    assert result.stdout == f"weights: {tmp_path}/out/best.safetensors\n"


def test_a_wrong_setting_trains_no_vocoder(spoken, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown key 'stps'; did you mean 'steps'"):
        invoke("train-vocoder", tmp_path, "--out", tmp_path / "out", "--set", "stps=1")
    assert spoken == [] and not (tmp_path / "out").exists()
