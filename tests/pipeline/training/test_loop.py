"""What trainings share: fresh data each epoch, a rate that halves, a mean of weights, a claimed folder."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import TensorDataset

from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.training.loop import (
    ComputingTimer,
    EpochSampler,
    HalveOnRise,
    Lines,
    StopOnRise,
    _nearer,
    checkpoint,
    first_index,
    loader,
    stop_together,
)
from tests.support.two_processes import in_two_processes


def trainer(loss: float, rate: float = 1.0):
    """A trainer after a validation with this loss."""
    return SimpleNamespace(
        sanity_checking=False,
        is_global_zero=True,
        should_stop=False,
        global_step=20,
        callback_metrics={"val/loss": torch.tensor(loss)},
        lr_scheduler_configs=[SimpleNamespace(scheduler=SimpleNamespace(base_lrs=[rate]))],
        optimizers=[SimpleNamespace(param_groups=[{"lr": rate}])],
    )


def test_an_epoch_has_indices_of_its_own():
    sampler = EpochSampler(3)
    assert list(sampler) == [0, 1, 2]
    sampler.set_epoch(5)
    assert list(sampler) == [15, 16, 17] and len(sampler) == 3


def test_batches_come_in_the_order_of_the_sampler():
    sampler = EpochSampler(4)
    sampler.set_epoch(1)
    batches = loader(TensorDataset(torch.arange(8)), 2, workers=0, sampler=sampler)
    assert [batch[0].tolist() for batch in batches] == [[4, 5], [6, 7]]


def test_the_rate_halves_when_the_loss_rose_often_enough():
    callback, rates = HalveOnRise(2), []
    for loss in (1.0, 2.0, 3.0, 4.0, 3.5, 5.0, 6.0):
        state = trainer(loss)
        callback.on_validation_end(state, None)
        rates.append((state.optimizers[0].param_groups[0]["lr"], state.lr_scheduler_configs[0].scheduler.base_lrs))
    halved = [i for i, (rate, _) in enumerate(rates) if rate == 0.5]
    assert halved == [2, 6] and all(base == [rate] for rate, base in rates)
    resumed = HalveOnRise(2)
    resumed.load_state_dict(callback.state_dict())
    assert (resumed.rises, resumed.previous) == (0, 6.0)


def test_a_training_stops_after_rises_in_a_row_also_where_it_was_killed_before_it_could():
    callback, stopped = StopOnRise(2), []
    for loss in (1.0, 2.0, 1.5, 1.6, 1.6, 1.7, 1.8):
        state = trainer(loss)
        callback.on_validation_end(state, None)
        stopped.append(state.should_stop)
    assert stopped == [False] * 6 + [True]
    resumed, state = StopOnRise(2), trainer(0.0)
    resumed.on_train_start(state, None)
    assert not state.should_stop
    resumed.load_state_dict(callback.state_dict())
    resumed.on_train_start(state, None)
    assert state.should_stop


def test_the_mean_of_weights_forgets_its_beginning():
    mean, value = torch.zeros(1), torch.ones(1)
    assert _nearer(0.9, mean, value, torch.tensor(0)).item() == pytest.approx(0.9)  # decay 1 / 10 at first
    assert _nearer(0.9, mean, value, torch.tensor(10_000)).item() == pytest.approx(0.1)
    assert _nearer(0.9, torch.tensor(3), torch.tensor(7), torch.tensor(0)).item() == 7  # a count is no weight


def test_a_budget_of_computing_counts_no_time_that_others_had():
    stops = []
    trainer = SimpleNamespace(should_stop=False, strategy=SimpleNamespace(broadcast=lambda stop: stop))

    def compute(timer, seconds):
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass
        timer.on_train_batch_end(trainer)
        stops.append(trainer.should_stop)

    def begun(state):
        timer = ComputingTimer(timedelta(seconds=0.6))
        timer.load_state_dict(state)
        timer.on_fit_start(trainer)
        timer.on_train_start(trainer, None)
        return timer

    first = begun({})
    time.sleep(0.7)
    compute(first, 0.3)
    state = first.state_dict()
    assert 0.3 <= state["time_elapsed"]["train"] < 0.5
    second = begun(state)  # what a run before this one computed counts too
    time.sleep(0.7)
    compute(second, 0.05)
    compute(second, 0.25)
    assert stops == [False, False, True]
    trainer.should_stop = False
    begun(second.state_dict())
    assert trainer.should_stop


def test_a_line_after_each_validation():
    lines = []
    callback = Lines(lines.append, "crn: ", "val/loss", 100)
    callback.on_validation_end(trainer(0.12345), None)
    assert lines == ["crn: step 20/100, val/loss 0.123"]


def test_a_checkpoint_that_was_never_written_says_why(tmp_path):
    with pytest.raises(CleanCorpusError, match="after 500 steps"):
        checkpoint(tmp_path / "last.ckpt", 500)
    torch.save({"w": torch.ones(2)}, tmp_path / "last.ckpt")
    assert checkpoint(tmp_path / "last.ckpt", 500)["w"].tolist() == [1.0, 1.0]


def test_what_stops_one_process_stops_all_with_its_words():
    def work(rank):
        torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
        stop_together(None, torch.device("cpu"))
        with pytest.raises(FloatingPointError) as stopped:
            stop_together(f"loss nan, pairs {first_index(3, 10)}.." if rank else None, torch.device("cpu"))
        with pytest.raises(FloatingPointError, match="0 too; 1 too"):
            stop_together(f"{rank} too", torch.device("cpu"))
        return str(stopped.value)

    assert in_two_processes(work) == ["loss nan, pairs 70.."] * 2
    stop_together(None, torch.device("cpu"))
    with pytest.raises(FloatingPointError, match="alone"):
        stop_together("alone", torch.device("cpu"))
