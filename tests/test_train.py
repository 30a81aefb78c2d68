"""Training: it learns, it resumes as if it had not stopped, and it stops before a loss that is not finite."""

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from safetensors.torch import load_file

import enhancers
from enhancers import losses
from enhancers import train as training
from enhancers.mixing import MixConfig, Recording
from enhancers.table import method
from pipeline import audio
from pipeline.errors import ConfigError
from pipeline.shards import write_shard
from pipeline.storage import LocalStore
from pipeline.synthetic import coloured_noise
from pipeline.training import RunningMean

SILENCE = np.zeros(10, np.int16)
SIZES = {"channels": (4, 4, 4, 4, 8)}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Tones as speech, pink noise as noise: quick to tell apart."""
    root = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    (root / "speech").mkdir()
    (root / "noise" / "pink").mkdir(parents=True)
    time_s = np.arange(32000) / 16000
    for i in range(6):
        tone = np.sin(2 * np.pi * (200 + 100 * i) * time_s) * np.sin(2 * np.pi * 2 * time_s)
        audio.write_wav(root / "speech" / f"{i}.wav", (0.3 * tone).astype(np.float32), 16000)
        audio.write_wav(root / "noise" / "pink" / f"{i}.wav", 0.1 * coloured_noise(rng, 32000, slope=1), 16000)
    return root


def config(**settings):
    base = {
        "steps": 12, "steps_per_epoch": 4, "batch_size": 2, "validation_pairs": 2, "warmup_steps": 2, "workers": 0,
        "ema_decay": 0.5, "sizes": SIZES, "mix": MixConfig(seconds=0.5, rooms=2, snr_db=(0, 10)),
    }  # fmt: skip
    return training.TrainConfig(**(base | settings))


def run(corpus, out, row="cgcrn-complex", **settings):
    return training.train(row, [corpus / "speech"], [corpus / "noise"], out, config(**settings))


class Killed(BaseException):
    pass


def killed_at(step_number, monkeypatch, train):
    """Train until a step begins, as if the process died there."""
    step = training.Supervised.training_step

    def dies(self, batch, index):
        if self.global_step == step_number:
            raise Killed
        return step(self, batch, index)

    with monkeypatch.context() as patch, pytest.raises(BaseException):  # noqa: B017 - Lightning may wrap it
        patch.setattr(training.Supervised, "training_step", dies)
        train()


def test_training_lowers_the_loss_and_leaves_usable_weights(corpus, tmp_path):
    path = run(corpus, tmp_path, steps=60, steps_per_epoch=20, learning_rate=5e-3)
    card = enhancers.card(str(path))
    untrained = run(corpus, tmp_path / "untrained", steps=1, steps_per_epoch=1, learning_rate=1e-9)
    assert card["validation_si_sdr_db"] > enhancers.card(str(untrained))["validation_si_sdr_db"] + 3
    x = torch.randn(1, 8000)
    assert enhancers.load(str(path))(x, torch.tensor([8000])).shape == x.shape


def test_validation_is_without_clean_input(corpus):
    """Its SI-SDR passed through is 80 dB: a mean with such pairs would choose the network that does nothing."""
    pairs = training.divided_pairs([corpus / "speech"], [corpus / "noise"], config(mix=MixConfig(clean_share=1)), 16000)
    assert [any(not np.array_equal(*p[i]) for i in range(2)) for p in pairs] == [False, True]


def test_a_resumed_run_ends_with_the_same_weights(corpus, tmp_path, monkeypatch):
    whole = load_file(run(corpus, tmp_path / "whole"))

    killed_at(6, monkeypatch, lambda: run(corpus, tmp_path / "cut"))
    assert (tmp_path / "cut" / "checkpoints" / "0-final" / "last.ckpt").exists()
    resumed = load_file(run(corpus, tmp_path / "cut"))
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_the_mean_of_the_weights_forgets_where_they_began():
    """Weights at 1 from the first update on: the mean is there after some, and changes slowly after many."""
    module = LightningModule()
    module.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    callback = RunningMean(0.999)
    callback.setup(None, module, "fit")
    average = callback._average_model

    def update(value, times):
        torch.nn.init.constant_(module.weight, value)
        for _ in range(times):
            average.update_parameters(module)
        return float(average.module.weight)

    assert update(0.0, 1) == 0
    assert 1 - update(1.0, 300) < 1e-9
    update(1.0, 20000)
    assert update(2.0, 1) == pytest.approx(1.001, abs=1e-6)


def test_a_loss_that_is_not_finite_stops_before_the_update_and_names_the_pairs(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(training.Mixtures, "__getitem__", lambda self, i: (np.full(8000, np.nan, np.float32),) * 2)
    monkeypatch.setattr(training.Supervised, "validation_step", lambda self, batch, index: None)
    with pytest.raises(FloatingPointError, match=r"step 0, pairs 0\.\.1 of seed 0"):
        run(corpus, tmp_path)


def test_sessions_stay_whole_when_recordings_are_held_out():
    names = [f"{chapter}-{i}" for chapter in "abcdefghij" for i in range(4)]
    single = [f"voice_{i}" for i in range(10)]
    groups = {"many": [Recording(n, SILENCE) for n in names], "one": [Recording(n, SILENCE) for n in single]}
    kept, held = training._hold_out(groups, 0.2, seed=0)
    assert {k: len(v) for k, v in held.items()} == {"many": 8, "one": 2}
    for folder in groups:
        assert not {r.session for r in kept[folder]} & {r.session for r in held[folder]}
        assert {r.name for r in kept[folder]} | {r.name for r in held[folder]} == {r.name for r in groups[folder]}
    kept, held = training._hold_out({"one": [Recording(f"voice-{i}", SILENCE) for i in range(10)]}, 0.2, seed=0)
    assert (len(kept["one"]), len(held["one"])) == (8, 2)


def test_training_starts_from_given_weights(corpus, tmp_path):
    first = run(corpus, tmp_path / "first", steps=4)
    again = run(corpus, tmp_path / "again", steps=1, steps_per_epoch=1, learning_rate=1e-9, start_from=str(first))
    before, after = load_file(first), load_file(again)
    learnt = [k for k in before if "num_batches" not in k and "running" not in k]
    assert all(torch.allclose(before[k], after[k], atol=1e-6) for k in learnt)


def test_only_some_stages_of_a_row_are_trained(corpus, tmp_path):
    sizes = {"channels": [2], "blocks": 1, "across": 2, "along": 2}
    path = run(corpus, tmp_path, row="cgcrn-dual-path", steps=1, steps_per_epoch=1, sizes=sizes, stages=["final"])
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["0-final"]
    assert enhancers.card(str(path))["validation_si_sdr_db"]


def test_weights_of_losses_are_those_of_the_settings():
    row, weights = method("cgcrn-complex"), {"neg_si_snr": 0.5, "pesq_disturbance": 0.0}
    module = training.Supervised(row, row.schedule[-1], row.build(), config(loss_weights=weights))
    x = torch.randn(1, 8000)
    terms = module.terms(x, 2 * x)
    assert "pesq_disturbance" not in terms and terms["neg_si_snr"] == 0.5 * losses.neg_si_snr(x, 2 * x)
    assert terms["compressed_spectrum"] == 10 * losses.compressed_spectrum(x, 2 * x)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"stages": ["finel"]}, "stages: cgcrn-complex has no 'finel', only final; did you mean 'final'"),
        ({"loss_weights": {"l1": 1}}, "loss_weights: .* has no 'l1', only compressed_spectrum, neg_si_snr, pesq_dist"),
        (
            {"loss_weights": {"compressed_spectrum": 0, "neg_si_snr": 0, "pesq_disturbance": 0}},
            "every loss of stage 'final' of cgcrn-complex has weight 0",
        ),
    ],
)
def test_stages_and_losses_that_a_row_lacks_are_refused(corpus, tmp_path, settings, told):
    with pytest.raises(ConfigError, match=told):
        run(corpus, tmp_path, row="cgcrn-complex", **settings)


PLAIN = {"lr_schedule": "halve_on_plateau", "optimizer": "adam", "ema_decay": None, "clip_norm": None}


@pytest.mark.parametrize(("halve_after", "halvings"), [(1, [0, 0, 1, 1, 2, 3]), (2, [0, 0, 0, 0, 0, 1])])
def test_the_learning_rate_halves_when_the_validation_rises(corpus, tmp_path, monkeypatch, halve_after, halvings):
    """Losses 5, 6, 4, 5, 7 after the epochs, the same when the run is cut in the fourth and resumed."""
    rates, step = {}, training.Supervised.training_step

    def notes(self, batch, index):
        rates[self.current_epoch] = self.optimizers().param_groups[0]["lr"]
        return step(self, batch, index)

    def validation_step(self, batch, index):
        self.log("val/loss", float([5, 6, 4, 5, 7, 9][self.current_epoch]))
        self.log("val/si_sdr", float(self.current_epoch))

    monkeypatch.setattr(training.Supervised, "training_step", notes)
    monkeypatch.setattr(training.Supervised, "validation_step", validation_step)
    settings = PLAIN | {"epochs": 6, "steps_per_epoch": 1, "learning_rate": 0.01, "warmup_steps": 0}
    settings["halve_after"] = halve_after
    killed_at(3, monkeypatch, lambda: run(corpus, tmp_path, **settings))
    run(corpus, tmp_path, **settings)
    assert rates == {epoch: pytest.approx(0.01 / 2**n) for epoch, n in enumerate(halvings)}


def test_an_epoch_longer_than_the_budget_still_leaves_weights(corpus, tmp_path):
    path = run(corpus, tmp_path, epochs=1000, steps_per_epoch=10000, budget_min=0.01, lr_schedule="constant")
    assert 0 < enhancers.card(str(path))["steps"] < 10000


def test_fewer_steps_than_an_epoch_still_leave_weights(corpus, tmp_path):
    assert enhancers.card(str(run(corpus, tmp_path, steps=2, steps_per_epoch=5)))["steps"] == 2


def test_another_training_in_the_same_folder_is_refused(corpus, tmp_path):
    path = run(corpus, tmp_path, steps=1, steps_per_epoch=1)
    before = path.read_bytes()
    assert run(corpus, tmp_path, steps=1, steps_per_epoch=1, budget_min=5.0).read_bytes() == before
    with pytest.raises(ConfigError, match=r"holds another training \(seed: 0 there, 1 now\); choose another --out"):
        run(corpus, tmp_path, steps=1, steps_per_epoch=1, seed=1)


@pytest.fixture(scope="module")
def shards(corpus):
    """The same recordings as three shards of speech and two of noise."""
    store = LocalStore(corpus / "shards")
    for kind, count in (("speech", 3), ("noise", 2)):
        files = sorted((corpus / kind).rglob("*.wav"))
        for i in range(count):
            members = [{"__key__": f"{kind}{p.stem}", "wav": p.read_bytes()} for p in files[i::count]]
            write_shard(store, f"{kind}/{i}.tar", members)
    return corpus / "shards"


def test_training_from_shards_resumes_as_if_it_had_not_stopped(shards, tmp_path, monkeypatch):
    def train(out):
        mix = MixConfig(seconds=0.5, room_share=0, shuffle_clips=3)
        settings = config(**PLAIN, steps=6, steps_per_epoch=2, mix=mix)
        return training.train("cgcrn-complex", [shards / "speech"], [shards / "noise" / "*.tar"], out, settings)

    whole = load_file(train(tmp_path / "whole"))
    killed_at(3, monkeypatch, lambda: train(tmp_path / "cut"))
    resumed = load_file(train(tmp_path / "cut"))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_recorded_rooms_are_divided_and_wrong_ones_refused(tmp_path):
    for i in range(5):
        audio.write_wav(tmp_path / f"room{i}.wav", np.full(10 + i, 0.5, np.float32), 16000)

    def lengths(**mix):
        return [{len(r) for r in part} for part in training._recorded_rooms(config(mix=MixConfig(**mix)), 16000)]

    kept, held = lengths(rirs=str(tmp_path))
    assert len(kept) == 4 and len(held) == 1 and kept | held == {10, 11, 12, 13, 14}
    with pytest.raises(ConfigError, match=r"room_share is 0"):
        lengths(rirs=str(tmp_path), room_share=0)
    with pytest.raises(ConfigError, match=r"mix\.rirs simulatd: no such folder; give one, or 'simulated'"):
        lengths(rirs="simulatd")


def test_references_that_are_not_there_or_not_for_folders_are_refused(corpus, shards, tmp_path):
    with pytest.raises(ConfigError, match=f"^mix.references {tmp_path}/gone: references are in no such folder"):
        run(corpus, tmp_path / "out", mix={"references": str(tmp_path / "gone")})
    with pytest.raises(
        ConfigError, match=f"^mix.references {tmp_path}: references go with folders of speech, not with"
    ):
        settings = config(mix={"references": str(tmp_path)})
        training.divided_pairs([shards / "speech"], [shards / "noise"], settings, 16000)


def test_settings_of_older_cards_load():
    old = {
        "steps": 5250, "batch_size": 8, "learning_rate": 0.001, "warmup_steps": 500, "steps_per_epoch": 250,
        "validation_pairs": 64, "validation_share": 0.08, "patience": 20, "ema_decay": 0.998, "clip_norm": 5.0,
        "workers": 1, "seed": 0, "precision": "bf16-mixed", "sizes": {},
        "mix": {"sample_rate": 16000, "seconds": 3.0, "snr_db": [-5.0, 25.0], "level_db": [-35.0, -12.0], "rooms": 200},
    }  # fmt: skip
    assert training.TrainConfig(**old).steps_per_stage == 5250
    shipped = enhancers.card(enhancers.DEFAULT)["config"]
    assert training.TrainConfig.model_validate(shipped).batch_size == shipped["batch_size"]


def test_sessions_are_held_out_by_their_names_alone():
    groups = {"many": [Recording(f"{chapter}-{i}", SILENCE) for chapter in range(200) for i in range(2)]}
    kept, held = training._hold_out(groups, 0.1, 0, "name")
    names = {r.name for r in held["many"]}
    assert 20 < len(names) < 60 and not {r.session for r in kept["many"]} & {r.session for r in held["many"]}
    half = {"many": groups["many"][:200]}
    assert {r.name for r in training._hold_out(half, 0.1, 1, "name")[1]["many"]} == names & {
        r.name for r in half["many"]
    }
    few = {"few": [Recording(f"{i}-0", SILENCE) for i in range(2)]}
    assert [len(part["few"]) for part in training._hold_out(few, 0.01, 0, "name")] == [1, 1]
