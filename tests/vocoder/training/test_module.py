"""The Lightning module: its loss is the network's, its example that of the mean, and a loss not finite stops it."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, TensorDataset

from clean_corpus.pipeline.training.loop import RunningMean
from clean_corpus.vocoder import pitch
from clean_corpus.vocoder.features import LogMel
from clean_corpus.vocoder.training import module as module_file
from clean_corpus.vocoder.training.config import VocoderConfig
from clean_corpus.vocoder.training.module import VocoderModule
from clean_corpus.vocoder.training.segments import CONTEXT, cut_frames, cut_segment
from tests.support.tones import tone, vowel
from tests.support.two_processes import in_two_processes
from tests.support.wavenets import small_wavenet


def test_a_segments_loss_is_that_of_its_samples_in_the_whole_clip():
    """In mid-speech, near the clip's start and at it: each sample is predicted from the past that it has there."""
    network, mel, x = small_wavenet(layers=16, stacks=2, upsampling=(5, 4, 4)), LogMel(), tone(300)
    history, ahead = network.history, network.ahead
    assert (history, ahead) == (7, 0)
    network.mel_mean.fill_(-8.0)
    module = VocoderModule(network, VocoderConfig(frames=12), torch.zeros(45, 0), None)
    samples, log_mel = cut_frames(x, mel, 0, 200)
    with torch.no_grad():
        whole = network.nll(samples[None], log_mel[None], context=CONTEXT)[0]
        for start in (100, 3, 0):
            segment = cut_segment(x, mel, start, 12, history, ahead)
            loss = module.loss((*(part[None] for part in segment), torch.tensor([0])))
            assert loss.item() == pytest.approx(whole[start * 80 : (start + 12) * 80].mean().item(), abs=1e-5), start
        parts = [
            torch.stack(parts) for parts in zip(*(cut_segment(x, mel, s, 12, 7, 0) for s in (100, 3)), strict=True)
        ]
        both = [whole[s * 80 : (s + 12) * 80].mean().item() for s in (100, 3)]
        assert module.loss((*parts, torch.tensor([0, 1]))).item() == pytest.approx(sum(both) / 2, abs=1e-5)


@pytest.mark.parametrize("layers", [4, 16])
def test_a_segments_likelihood_with_a_source_is_that_of_the_whole_clip(layers):
    """Its first samples look a period back before what layers hear, the phase of its last is measured beyond them."""
    sizes = {"layers": layers, "stacks": 2, "upsampling": (5,), "conditioning_hop": 16, "emphasis": 0.85}
    network, mel, x = small_wavenet(harmonics=4, **sizes), LogMel(), vowel(90, 16000)
    network.source.pitch.load_state_dict(pitch.shipped(mel))
    torch.nn.init.normal_(network.source.output.weight, std=1.0)
    lone = small_wavenet(**sizes)
    assert (network.receptive_field, lone.history, lone.ahead) == {4: (7, 1, 0), 16: (511, 7, 0)}[layers]
    assert (network.history, network.ahead) == ({4: 4, 16: 10}[layers], 3)  # 267 + 3 samples of the longest period, 200
    samples, log_mel = cut_frames(x, mel, 0, 200)
    with torch.no_grad():
        whole = network.nll(samples[None], log_mel[None], context=CONTEXT)[0]
        for start in (188, 100, 60, 5, 0):
            x_cut, mels, first = (part[None] for part in cut_segment(x, mel, start, 12, network.history, network.ahead))
            part = network.nll(x_cut, mels, context=CONTEXT, first=first, frames=12)[0]
            assert torch.allclose(part, whole[start * 80 : (start + 12) * 80], atol=1e-3), start


def test_the_example_is_spoken_by_the_weights_that_were_validated(monkeypatch):
    """They are the mean, far from those that the next update starts from, which are as they were before."""
    network = small_wavenet()
    weights = {"trained": [], "validated": [], "spoken": [], "next": []}

    def note(when):
        weights[when].append(network.output.bias.tolist())

    class Noted(VocoderModule):
        def validation_step(self, batch, index):
            note("validated")
            super().validation_step(batch, index)

        def on_train_batch_start(self, batch, index):
            note("next")

        def on_train_batch_end(self, outputs, batch, index):
            note("trained")

    def generate(*_, **__):
        note("spoken")
        return [np.zeros(8, np.float32)]

    monkeypatch.setattr(module_file, "generate", generate)
    config = VocoderConfig(
        frames=4, steps=4, batch_size=2, warmup_steps=0, learning_rate=0.05, lr_schedule="halve_on_plateau"
    )
    log_mel, x = torch.randn(4, 45, 4 + 2 * CONTEXT), torch.rand(4, 4 * network.hop_length) - 0.5
    batches = DataLoader(TensorDataset(x, log_mel, torch.zeros(4, dtype=int), torch.zeros(4, dtype=int)), 2)
    trainer = Trainer(
        max_steps=4, callbacks=[RunningMean(0.999)], logger=False, enable_checkpointing=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(Noted(network, config, torch.zeros(45, 1), None), batches, batches)
    assert weights["spoken"] == weights["validated"][::2] and len(weights["spoken"]) == 2
    assert weights["next"][1:] == weights["trained"][:-1], "a validation changes what is trained"
    assert weights["spoken"][0] != weights["trained"][1]


@pytest.mark.parametrize(("schedule", "rates"), [("cosine", [0.25, 1, 0.5, 0]), ("halve_on_plateau", [0.25, 1, 1, 1])])
def test_the_rate_rises_over_the_warm_up_and_a_cosine_ends_at_zero(schedule, rates):
    config = VocoderConfig(steps=24, warmup_steps=4, learning_rate=0.002, lr_schedule=schedule)
    module = VocoderModule(small_wavenet(), config, torch.zeros(45, 0), None)
    scheduler = module.configure_optimizers()["lr_scheduler"]["scheduler"]
    found = [scheduler.lr_lambdas[0](step) for step in (0, 4, 14, 24)]
    assert found == pytest.approx(rates) and scheduler.base_lrs == [0.002]


def test_a_loss_that_is_not_finite_names_its_segments_in_every_process():
    class AtStepSeven(VocoderModule):
        current_epoch, global_step, log = 2, 7, staticmethod(lambda *_, **__: None)

    config = VocoderConfig(steps_per_epoch=10, batch_size=2, frames=10)
    broken = AtStepSeven(small_wavenet(), config, torch.zeros(45, 0), None)

    def step(value):
        log_mel = torch.full((2, 45, 10 + 2 * CONTEXT), value)
        return broken.training_step((torch.zeros(2, 80), log_mel, torch.tensor([0, 0]), torch.tensor([0, 1])), 3)

    def work(rank):
        torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
        with pytest.raises(FloatingPointError) as stopped:
            step(torch.nan if rank else 0.0)
        return str(stopped.value)

    assert step(0.0).isfinite()
    with pytest.raises(FloatingPointError, match=r"loss nan at step 7, segments 46\.\.47 of seed 0"):
        step(torch.nan)
    first, second = in_two_processes(work)  # rank 1 is in the second half of the third epoch's 40
    assert first == second and "loss nan at step 7, segments 106..107 of seed 0" in first
