"""Training: it learns, it resumes as if it had not stopped, and it stops before a loss that is not finite."""

import os
import stat

import numpy as np
import pytest
import torch
from fsspec.implementations import local
from lightning.pytorch import LightningModule
from safetensors.torch import load_file

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.training import alignment
from clean_corpus.enhancers.training import train as training
from clean_corpus.enhancers.training.mixing import MixConfig
from clean_corpus.pipeline.audio import encode
from clean_corpus.pipeline.audio.synthetic import coloured_noise
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.loop import RunningMean
from clean_corpus.pipeline.training.recording_list import Digests, RecordingList
from tests.support.small_networks import SMALL

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
        encode.write_wav(root / "speech" / f"{i}.wav", (0.3 * tone).astype(np.float32), 16000)
        encode.write_wav(root / "noise" / "pink" / f"{i}.wav", 0.1 * coloured_noise(rng, 32000, slope=1), 16000)
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
    card = checkpoints.card(str(path))
    untrained = run(corpus, tmp_path / "untrained", steps=1, steps_per_epoch=1, learning_rate=1e-9)
    assert card["validation_si_sdr_db"] > checkpoints.card(str(untrained))["validation_si_sdr_db"] + 3
    x = torch.randn(1, 8000)
    assert load_enhancer(str(path))(x, torch.tensor([8000])).shape == x.shape


def test_validation_is_without_clean_input(corpus):
    """Its SI-SDR passed through is 80 dB: a mean with such pairs would choose the network that does nothing."""
    settings = config(mix=MixConfig(clean_share=1, room_share=0))
    pairs = training.divided_pairs([corpus / "speech"], [corpus / "noise"], settings, 16000)
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


def test_training_starts_from_given_weights(corpus, tmp_path):
    first = run(corpus, tmp_path / "first", steps=4)
    again = run(corpus, tmp_path / "again", steps=1, steps_per_epoch=1, learning_rate=1e-9, start_from=str(first))
    before, after = load_file(first), load_file(again)
    learnt = [k for k in before if "num_batches" not in k and "running" not in k]
    assert all(torch.allclose(before[k], after[k], atol=1e-6) for k in learnt)


def test_what_was_heard_is_listed_with_what_the_first_weights_heard(corpus, tmp_path):
    pink = recording_list.digests((corpus / "noise" / "pink" / "0.wav").read_bytes())
    path = run(corpus, tmp_path / "out", steps=1, steps_per_epoch=1)
    heard = checkpoints.recordings(str(path))
    assert heard.counts == checkpoints.card(str(path))["recordings"] == {"speech": 6, "noise": 6}
    assert heard.kind(pink) == "noise" and heard.unlisted == ()
    recording_list.write(path, RecordingList({"speech": {Digests("a" * 12, "b" * 12)}}, ("first",)))
    settings = config(start_from=str(path))
    later = training._heard([corpus / "speech"], [corpus / "noise"], settings)
    assert later.counts == {"speech": 7, "noise": 6} and later.unlisted == ("first",)


def test_weights_that_do_not_fit_are_refused_before_any_recording_is_read(tmp_path):
    nowhere = tmp_path / "none"
    wrong = config(start_from="wgan-mild")
    with pytest.raises(ConfigError, match=r"wgan-mild.* does not fit cgcrn-complex with sizes .*network None"):
        training.train("cgcrn-complex", [nowhere], [nowhere], tmp_path / "out", wrong)
    above = {"sizes": {}, "mix": {"sample_rate": 48000}, "pesq_pairs": 0}
    fitting = config(start_from="full-band", **above)  # it is no enhancer by itself, but a network to train on from
    with pytest.raises(ConfigError, match="none"):
        training.train("full-band", [nowhere], [nowhere], tmp_path / "out", fitting)


def test_weights_of_a_row_whose_loss_is_blind_to_sign_are_turned_and_scaled(corpus, tmp_path):
    """After one step: whichever way the network has come out, what an enhancer gives correlates with clean speech."""
    settings = {"sizes": SMALL["dccrn-e"], "steps": 1, "steps_per_epoch": 1, "validation_pairs": 1}
    path = run(corpus, tmp_path, row="dccrn-e", **settings)
    enhancer, about = load_enhancer(str(path)), checkpoints.card(str(path))
    assert enhancer.gain == about["output_gain"] != 1 and about["output"].startswith("neg_si_snr leave sign")
    pairs, _ = training.divided_pairs([corpus / "speech"], [corpus / "noise"], config(), 16000)
    noisy, clean = (torch.as_tensor(x)[None] for x in pairs[0])
    lengths = torch.tensor([noisy.shape[1]])
    aligned, raw = enhancer(noisy, lengths), enhancer.row.domain.enhance(enhancer.network, noisy, lengths)
    assert torch.allclose(aligned, enhancer.gain * raw) and (aligned * clean).sum() > 0
    measured = (pairs[i] for i in range(alignment.PAIRS))
    again, _ = alignment.least_squares(enhancer.network, enhancer.row.domain, measured)
    assert again == pytest.approx(enhancer.gain, abs=1e-4) and about["output_correlation"] > 0


def test_only_some_stages_of_a_row_are_trained(corpus, tmp_path):
    sizes = {"channels": [2], "blocks": 1, "across": 2, "along": 2}
    path = run(corpus, tmp_path, row="cgcrn-dual-path", steps=1, steps_per_epoch=1, sizes=sizes, stages=["final"])
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["0-final"]
    assert checkpoints.card(str(path))["validation_si_sdr_db"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stages": ["finel"]}, "stages: cgcrn-complex has no 'finel', only final; did you mean 'final'"),
        ({"loss_weights": {"l1": 1}}, "loss_weights: .* has no 'l1', only compressed_spectrum, neg_si_snr, pesq_dist"),
        ({"losses_from": {"l1": 0.5}}, "losses_from: .* has no 'l1', only compressed_spectrum, neg_si_snr, pesq_dist"),
        (
            {"loss_weights": {"compressed_spectrum": 0, "neg_si_snr": 0, "pesq_disturbance": 0}},
            "every loss of stage 'final' of cgcrn-complex has weight 0",
        ),
        (
            {"losses_from": {"compressed_spectrum": 0.1, "neg_si_snr": 0.5, "pesq_disturbance": 0.5}},
            "no loss of stage 'final' of cgcrn-complex counts from its first step on; leave one at 0",
        ),
        (
            {"mix": {"sample_rate": 48000}},
            "mix.sample_rate is 48000 Hz, that of cgcrn-complex is 16000; set mix.sample_rate=16000",
        ),
    ],
)
def test_stages_and_losses_that_a_row_lacks_are_refused(corpus, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        run(corpus, tmp_path, row="cgcrn-complex", **settings)


def test_the_band_above_has_no_pesq_and_its_own_rate(corpus, tmp_path):
    with pytest.raises(ConfigError, match=r"mix.sample_rate is 16000 Hz, that of full-band is 48000"):
        run(corpus, tmp_path, row="full-band", sizes={})
    with pytest.raises(ConfigError, match="pesq_pairs 8: wide-band PESQ is of 16000 Hz, full-band has 48000; set pes"):
        run(corpus, tmp_path, row="full-band", sizes={}, mix={"sample_rate": 48000})


def test_a_track_of_noise_a_folder_validates_too(corpus, tmp_path):
    """Noise as paper [002] has it: with recorded noise alone no generated one may decide which weights are kept."""
    for name in ("babble", "factory"):
        (tmp_path / name).mkdir()
        track = np.concatenate([np.full(7 * 16000, 0.1), np.full(16000, 0.2)]).astype(np.float32)
        encode.write_wav(tmp_path / name / f"{name}.wav", track, 16000)
    mix = {"recorded_share": 1.0, "seconds": 0.5, "room_share": 0}
    pairs = training.divided_pairs([corpus / "speech"], [tmp_path], config(mix=mix), 16000)
    assert [[len(track) for track in part.tracks] for part in pairs] == [[117760] * 2, [10240] * 2]
    assert all(part.has_noise for part in pairs)


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_card_has_the_score_of_the_weights_that_are_kept(corpus, tmp_path, monkeypatch, keep):
    def validation_step(self, batch, index):
        self.log("val/loss", 0.0)
        self.log("val/si_sdr", float([5, 8, 7][self.current_epoch]))

    monkeypatch.setattr(training.Supervised, "validation_step", validation_step)
    killed_at(9, monkeypatch, lambda: run(corpus, tmp_path, keep=keep))
    card = checkpoints.card(str(run(corpus, tmp_path, keep=keep)))
    assert (card["steps"], card["validation_si_sdr_db"]) == {"best": (8, 8.0), "last": (12, 7.0)}[keep]


def test_a_loss_that_counts_later_is_part_of_every_validation(corpus, tmp_path, monkeypatch):
    found, terms = [], training.Supervised.terms

    def notes(self, estimate, reference):
        found.append((self.training, self.global_step, set(terms(self, estimate, reference))))
        return terms(self, estimate, reference)

    monkeypatch.setattr(training.Supervised, "terms", notes)
    run(corpus, tmp_path, steps=4, steps_per_epoch=2, losses_from={"neg_si_snr": 0.5})
    late = {names >= {"neg_si_snr"} for training, step, names in found if not training}
    assert late == {True}, "or the validation would jump, and no later weights be kept"
    assert [("neg_si_snr" in names) for training, _, names in found if training] == [False, False, True, True]


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


@pytest.mark.parametrize(
    ("settings", "epochs", "chosen"),
    [
        ({"patience": 2}, 6, 6),  # SI-SDR rises in every epoch
        ({"patience": 2, "validate_by": "loss"}, 5, 3),
        ({"stop_after_rises": 2, "validate_by": "loss"}, 5, 3),
    ],
)
def test_what_a_training_is_validated_by_chooses_the_weights_and_the_end(
    corpus, tmp_path, monkeypatch, settings, epochs, chosen
):
    """Losses 5, 6, 4, 5, 7 after the epochs while SI-SDR rises; the same when the run is cut and resumed."""
    losses, seen = [5, 6, 4, 5, 7, 9], set()

    def validation_step(self, batch, index):
        seen.add(self.current_epoch)
        self.log("val/loss", float(losses[self.current_epoch]))
        self.log("val/si_sdr", float(self.current_epoch))

    monkeypatch.setattr(training.Supervised, "validation_step", validation_step)
    settings = PLAIN | {"epochs": 6, "steps_per_epoch": 1} | settings
    if "stop_after_rises" in settings:
        killed_at(4, monkeypatch, lambda: run(corpus, tmp_path, **settings))
    card = checkpoints.card(str(run(corpus, tmp_path, **settings)))
    assert len(seen) == epochs and card["steps"] == chosen
    by_loss = "validate_by" in settings
    assert (
        card["validation_loss" if by_loss else "validation_si_sdr_db"] == (losses if by_loss else range(6))[chosen - 1]
    )


@pytest.mark.parametrize("counts", ["time", "computing"])
def test_an_epoch_longer_than_the_budget_still_leaves_weights(corpus, tmp_path, counts):
    budget = {"budget_min": 0.01, "budget_counts": counts}
    path = run(corpus, tmp_path, epochs=1000, steps_per_epoch=10000, lr_schedule="constant", **budget)
    assert 0 < checkpoints.card(str(path))["steps"] < 10000


def test_fewer_steps_than_an_epoch_still_leave_weights(corpus, tmp_path):
    assert checkpoints.card(str(run(corpus, tmp_path, steps=2, steps_per_epoch=5)))["steps"] == 2


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
        encode.write_wav(tmp_path / f"room{i}.wav", np.full(10 + i, 0.5, np.float32), 16000)

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


def test_a_loss_counts_from_its_share_of_the_steps_on_and_pairs_become_longer(corpus, tmp_path, monkeypatch):
    seen, terms = {}, training.Supervised.terms

    def noted(self, *pair):
        found = terms(self, *pair)
        if self.training:
            seen[self.global_step] = sorted(found), pair[0].shape[1]
        return found

    monkeypatch.setattr(training.Supervised, "terms", noted)
    mix = MixConfig(seconds=0.5, long_seconds=0.75, long_from=0.5, rooms=2)
    run(corpus, tmp_path, steps=6, steps_per_epoch=2, mix=mix, losses_from={"pesq_disturbance": 0.6})
    assert ["pesq_disturbance" in seen[step][0] for step in range(6)] == [False] * 4 + [True] * 2
    assert [seen[step][1] for step in range(6)] == [8000] * 3 + [12000] * 3


def test_pairs_become_longer_at_the_same_step_on_several_gpus(corpus, monkeypatch):
    settings = config(steps=6, steps_per_epoch=2, mix=MixConfig(seconds=0.5, long_seconds=0.75, long_from=0.5, rooms=2))
    places = [corpus / "speech"], [corpus / "noise"]
    alone, _ = training.divided_pairs(*places, settings, 16000)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    shared, _ = training.divided_pairs(*places, settings, 16000)
    assert shared.long_from == 2 * alone.long_from == 2 * 3 * settings.batch_size


def test_longer_pairs_from_shards_are_refused(shards):
    with pytest.raises(ConfigError, match=r"mix\.long_seconds: .* not with shards"):
        training.divided_pairs([shards / "speech"], [shards / "noise"], config(mix={"long_seconds": 6.0}), 16000)


def test_settings_of_older_cards_load():
    old = {
        "steps": 5250, "batch_size": 8, "learning_rate": 0.001, "warmup_steps": 500, "steps_per_epoch": 250,
        "validation_pairs": 64, "validation_share": 0.08, "patience": 20, "ema_decay": 0.998, "clip_norm": 5.0,
        "workers": 1, "seed": 0, "precision": "bf16-mixed", "sizes": {},
        "mix": {"sample_rate": 16000, "seconds": 3.0, "snr_db": [-5.0, 25.0], "level_db": [-35.0, -12.0], "rooms": 200},
    }  # fmt: skip
    assert training.TrainConfig(**old).steps_per_stage == 5250
    shipped = checkpoints.card(checkpoints.DEFAULT)["config"]
    assert training.TrainConfig.model_validate(shipped).batch_size == shipped["batch_size"]


def test_others_may_read_every_file_of_a_training_as_the_umask_says(corpus, tmp_path):
    before = os.umask(0o002)
    local.get_umask.cache_clear()  # fsspec, which Lightning saves through, asks once a process
    try:
        run(corpus, tmp_path / "out")
    finally:
        os.umask(before)
        local.get_umask.cache_clear()
    files = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {path.suffix for path in files} >= {".safetensors", ".json", ".ckpt"}
    assert not {path.name: oct(mode) for path, mode in files.items() if mode != 0o664}
