"""Recipes: each loads, names rows and papers that exist, and no setting of a training is there for nothing."""

import ast
import tomllib
from collections import Counter

import pytest

from clean_corpus.enhancers.table import ENHANCERS
from clean_corpus.enhancers.training import recipes
from clean_corpus.enhancers.training.config import TrainConfig
from clean_corpus.enhancers.training.mixing import MixConfig
from clean_corpus.pipeline.core.errors import ConfigError
from tests.support.paths import REPOSITORY

PAPERS = {  # SYSTEMS.md: SNRs in dB, epochs, batch, learning rate
    "cgcrn": ((-5, -3, -1, 0, 2), 80, 16, 1e-4),
    "pl-crnn": (tuple(range(-5, 11)), 100, 16, 1e-3),
    "crn-dnn-dec": ((-5, 0, 5, 10, 15, 20), 100, 16, 1e-3),
    "dccrn": ((-5, 20), 100, 16, 1e-3),
    "dccrn-dns": ((-5, 20), 10, 16, 1e-3),
    "dccrn-e-aug": ((-5, 20), 10, 16, 1e-3),
    "wgan": ((15, 20, 25), 150, 100, None),
}
ASKED_FOR = {"dccrn-e-aug"}  # no row's default


def test_every_recipe_is_checked_here():
    assert set(recipes.names()) == PAPERS.keys() | {"lean", "full-band"}  # of our own, checked below


@pytest.mark.parametrize("name", PAPERS)
def test_a_recipe_is_what_the_paper_says(name):
    recipe = recipes.load_recipe(name)
    assert bool(recipe.rows) == (name not in ASKED_FOR)
    assert all(ENHANCERS[row].paper == recipe.paper for row in recipe.rows)
    config = recipes.settings(recipe)
    mix = config.mix
    snr_db, epochs, batch, rate = PAPERS[name]
    assert (mix.snr_set_db or mix.snr_db, config.epochs, config.batch_size) == (snr_db, epochs, batch)
    assert config.learning_rate == rate and config.ema_decay is None
    assert config.steps_per_stage == epochs * config.steps_per_epoch
    assert mix.recorded_share == 1 and mix.speech_speed == mix.noise_speed == (1, 1) and mix.level_db is None
    assert not (mix.clean_share or mix.equaliser_share or mix.second_noise_share)
    rooms = {"dccrn-dns": (1, 3000), "dccrn-e-aug": (1, 10000)}
    assert (mix.room_share, mix.rooms) == rooms.get(name, (0, MixConfig().rooms))
    assert config.validate_by == (None if name in ("cgcrn", "wgan") else "loss")  # fixed numbers of epochs
    assert config.stop_after_rises == (11 if name == "pl-crnn" else None)


def test_the_augmented_recipe_is_the_challenges_with_more_rooms_alone():
    ours, theirs = (recipes.settings(recipes.load_recipe(name)) for name in ("dccrn-e-aug", "dccrn-dns"))
    assert ours.mix.rooms > theirs.mix.rooms
    assert ours == theirs.model_copy(update={"mix": theirs.mix.model_copy(update={"rooms": ours.mix.rooms})})


def test_the_recipe_of_lean_is_one_long_schedule_with_pesq_in_its_last_third():
    recipe = recipes.load_recipe("lean")
    config = recipes.settings(recipe)
    assert recipe.rows == ("lean", "lean-causal") and recipes.default_recipe("lean-causal") == "lean"
    assert all(ENHANCERS[row].paper == recipe.paper == "own" for row in recipe.rows)
    assert (config.lr_schedule, config.keep, config.validation_by, config.workers) == ("cosine", "last", "name", 0)
    assert config.losses_from.keys() == {"pesq_disturbance"} and config.losses_from["pesq_disturbance"] > 0.66
    assert config.steps % config.steps_per_epoch == 0 and config.mix.long_seconds == 2 * config.mix.seconds


def test_the_recipe_of_full_band_mixes_at_its_rate_and_cuts_some_pairs_off():
    recipe = recipes.load_recipe("full-band")
    config = recipes.settings(recipe)
    assert all(ENHANCERS[row].sample_rate == config.mix.sample_rate == 48000 for row in recipe.rows)
    assert min(config.mix.lowpass_share, config.mix.codec_share) > 0
    assert config.pesq_pairs == 0 and config.below == ("default",)


def test_a_row_has_one_default_recipe_and_every_papers_row_has_one():
    rows = Counter(row for name in recipes.names() for row in recipes.load_recipe(name).rows)
    assert set(rows.values()) == {1}
    assert ENHANCERS.keys() - rows.keys() <= {"cgcrn-complex", "cgcrn-dual-path", "cgcrn-refined"}, (
        "not a paper's: trained by the defaults"
    )
    assert recipes.default_recipe("pl-lstm-iam") == "pl-crnn" and recipes.default_recipe("cgcrn-complex") is None


def test_the_code_reads_every_setting():
    read = {
        node.attr
        for path in (REPOSITORY / "enhancers").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    fields = TrainConfig.model_fields.keys() | MixConfig.model_fields.keys()
    assert fields - read == set()


def test_layers_go_over_a_recipe_in_turn():
    recipe = recipes.load_recipe("dccrn")
    config = recipes.settings(recipe, {"batch_size": 2, "mix": {"seconds": 1.0}}, {"mix": {"rirs": "there"}})
    assert (config.batch_size, config.mix.seconds, config.mix.rirs, config.mix.snr_db) == (2, 1, "there", (-5, 20))
    assert recipes.settings(None) == TrainConfig()


def test_a_budget_shortens_epochs_and_keeps_the_steps():
    recipe = recipes.load_recipe("dccrn")
    config = recipes.settings(recipe, recipes.shortened(recipe, 3.0))
    assert (config.budget_min, config.steps_per_epoch, config.validation_pairs) == (3, 250, 96)
    assert config.steps_per_stage == recipes.settings(recipe).steps_per_stage and config.patience == 25
    assert recipes.shortened(None, 3.0)["epochs"] is None
    assert recipes.shortened(recipes.load_recipe("pl-crnn"), 3.0)["stop_after_rises"] == 55


def test_steps_asked_for_take_the_place_of_a_recipes_epochs():
    recipe = recipes.load_recipe("dccrn-dns")
    assert recipes.settings(recipe).epochs and recipes.settings(recipe, {"steps": 4}).steps_per_stage == 4
    back = recipes.settings(recipe, {"steps": 4}, {"epochs": 2, "steps_per_epoch": 3})
    assert back.steps_per_stage == 6
    assert recipes.settings(recipe, back.model_dump(exclude_unset=True)) == back  # the command line's, in the flow
    with pytest.raises(ConfigError, match=r"steps=4 and epochs=2 are both given.*leave one out"):
        recipes.settings(recipe, {"steps": 4, "epochs": 2})


def test_wrong_names_and_keys_are_named():
    with pytest.raises(ConfigError, match=r"recipe 'dcrn'.*did you mean 'dccrn'"):
        recipes.load_recipe("dcrn")
    with pytest.raises(ConfigError, match=r"unknown key 'mix.secnds'; did you mean 'seconds'"):
        recipes.settings(recipes.load_recipe("dccrn"), {"mix": {"secnds": 1}})


def test_recipes_are_part_of_the_package():
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        packaged = tomllib.load(file)["tool"]["setuptools"]["package-data"]["clean_corpus.enhancers"]
    assert {"catalogue.json", "weights/*", "training/recipes/*.yaml"} <= set(packaged)
