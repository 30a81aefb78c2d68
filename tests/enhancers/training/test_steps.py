"""The supervised training step: weights of losses, parts that learn, learning rates, seeds of a batch."""

import math

import pytest
import torch

from clean_corpus.enhancers.models import dual_path
from clean_corpus.enhancers.objectives import losses
from clean_corpus.enhancers.table import method
from clean_corpus.enhancers.training.steps import StepConfig, Supervised

TINY = {"channels": (2,), "blocks": 1, "across": 2, "along": 2}


def supervised(row, stage, **settings):
    row = method(row)
    settings = StepConfig(**settings)
    return Supervised(row, row.schedule[stage], row.build(**settings.sizes), settings)


def test_weights_of_losses_are_those_of_the_settings():
    weights = {"neg_si_snr": 0.5, "pesq_disturbance": 0.0}
    module = supervised("cgcrn-complex", -1, loss_weights=weights, sizes={"channels": (4, 4, 8, 8, 16)})
    x = torch.randn(1, 8000)
    terms = module.terms(x, 2 * x)
    assert "pesq_disturbance" not in terms and terms["neg_si_snr"] == 0.5 * losses.neg_si_snr(x, 2 * x)
    assert terms["compressed_spectrum"] == 10 * losses.compressed_spectrum(x, 2 * x)


def test_parts_that_do_not_learn_have_no_gradient_and_stay_in_evaluation_mode():
    module = supervised("cgcrn-dual-path", 1, sizes=TINY).train()
    assert module.stage.parts == ("second",)
    assert module.network.second.training and not module.network.first.training
    assert all(p.requires_grad == name.startswith("second.") for name, p in module.network.named_parameters())


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_no_stage_trains_through_what_is_added_in_use_only(stage, monkeypatch):
    """A post-filter and a level: what a stage leaves in evaluation mode must not bring them back."""

    def refuse(*_):
        raise AssertionError("in use only")

    for name in ("post_filter_gain", "level_gain"):
        monkeypatch.setattr(dual_path, name, refuse)
    module = supervised("cgcrn-dual-path", stage, sizes=TINY).train()
    run = module.row.domain.forward(module.network, *torch.randn(2, 1, 2000))
    assert torch.isfinite(module.stage.target(run)[0]).all()
    with pytest.raises(AssertionError, match="in use only"):
        run.domain.enhance(module.eval().network, run.noisy, torch.tensor([2000]))


def test_what_holds_a_part_that_learns_is_in_training_mode_and_its_other_parts_are_not():
    module = supervised("dnn-dec", -1, sizes={"hidden": (4,), "speech_hidden": (4,), "noise_hidden": (4,), "code": 2})
    network = module.train().network
    assert network.training and network.speech_dae.training and network.speech_dae.decoder.training
    assert not any(m.training for m in network.speech_dae.encoder.modules())
    assert not any(m.training for m in module.eval().network.modules())


class Resumed(Supervised):
    """A module whose trainer is in its fourth epoch."""

    current_epoch, global_rank = 3, 0


def test_a_batch_draws_the_same_after_a_resume():
    row, drawn = method("fcnn"), []
    module = Resumed(row, row.schedule[-1], row.build(), StepConfig())
    for index in (0, 1, 0):
        torch.manual_seed(len(drawn))  # whatever was drawn before
        module.on_train_batch_start((), index)
        drawn.append(torch.rand(3))
    assert torch.equal(drawn[0], drawn[2]) and not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("cosine", [0.25, 0.5, 1.0, 1.0, 0.51, 0.02]), ("constant", [0.25, 0.5, 1.0, 1.0, 1.0, 1.0])],
)
def test_the_learning_rate_warms_up_and_falls(schedule, expected):
    module = supervised("fcnn", -1, lr_schedule=schedule, warmup_steps=4, steps=12, learning_rate=0.1)
    shape = module.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert [round(shape(step), 3) for step in (0, 1, 3, 4, 8, 12)] == expected


def test_steps_of_a_stage_are_those_of_its_epochs_where_these_are_given():
    assert StepConfig(steps=7).steps_per_stage == 7
    assert StepConfig(steps=7, epochs=3, steps_per_epoch=5).steps_per_stage == 15


@pytest.mark.parametrize("silent", [True, False])
def test_a_network_that_is_silent_so_far_is_validated_too(silent, monkeypatch):
    """Package pesq cannot tell the quality of silence: it ended the training."""
    module, logged = supervised("cgcrn-complex", -1, sizes={"channels": (4, 4, 8, 8, 16)}), {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    if silent:
        for parameter in module.network.parameters():
            torch.nn.init.zeros_(parameter)
    speech = 0.1 * torch.randn(1, 16000, generator=torch.manual_seed(0))
    with torch.no_grad():
        module.eval().validation_step((speech, speech), 0)
    assert ("val/pesq" in logged) is not silent and math.isfinite(float(logged["val/si_sdr"]))
