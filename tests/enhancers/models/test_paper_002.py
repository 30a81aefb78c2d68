"""Paper [002]: masks of two sources, step-wise training of CRN+DNN-DEC, its baselines, and the third party's model."""

import sys
from functools import partial
from types import ModuleType

import pytest
import torch
from torch import nn

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.domains.separation import Reconstruction, SourceMasks, wiener_gains
from clean_corpus.enhancers.domains.spectral import ForwardPass, MagnitudeMask, Stft
from clean_corpus.enhancers.models import nmf
from clean_corpus.enhancers.models.crn_dnn_dec import CRNDNNDEC
from clean_corpus.enhancers.models.dae import DAE
from clean_corpus.enhancers.models.dnn_dec import DNNDEC
from clean_corpus.enhancers.models.dnn_irm import DNNIRM
from clean_corpus.enhancers.models.dnn_nmf import DNNNMF
from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.models.lstm_irm import LSTMIRM
from clean_corpus.enhancers.models.masker_crn import MaskerCRN
from clean_corpus.enhancers.models.mhanet import MHANet
from clean_corpus.enhancers.objectives import separation
from clean_corpus.enhancers.serving.enhancer import Enhancer, load_enhancer
from clean_corpus.enhancers.serving.identity import identity
from clean_corpus.enhancers.table import ENHANCERS, method
from clean_corpus.pipeline.core.errors import ConfigError

ROWS = {name: row for name, row in ENHANCERS.items() if row.paper == "002"}
STFT = Stft(512, 128, "hamming")
MASK = MagnitudeMask(STFT, "as_is")

CRN = {"channels": (2, 2, 4, 4, 4), "units": 8}
DECODERS = {"hidden": (16, 16), "speech_hidden": (16, 12), "noise_hidden": (12, 12), "code": 6}
TINY = {
    **{name: CRN | DECODERS for name in ROWS if name.startswith("crn-dnn-dec")},
    **{name: CRN for name in ("crn-cpsirm", "crn-irm", "crn-mag")},
    "dnn-dec": DECODERS,
    "dnn-irm-dnn-nmf": {"hidden": (16, 16), "n_bases": 5},
    "dnn-irm": {"hidden": (16, 16)},
    "lstm-irm": {"units": 8, "hidden": 12},
    "mhanet-irm": {"d_model": 16, "layers": 2, "feedforward": 16},
}
CAUSAL = [name for name in ROWS if name != "mhanet-irm"]
REMEMBERING = [name for name in CAUSAL if name.startswith(("crn", "lstm"))]
STEPWISE = [name for name in ROWS if ROWS[name].before]


def tiny(name):
    """A small network of that row whose BatchNorm statistics are not trivial."""
    torch.manual_seed(0)
    network = ROWS[name].build(**TINY[name])
    network(torch.rand(4, 1, 30, 257))
    return network.eval()


def tensors(output):
    return [output] if isinstance(output, torch.Tensor) else list(output)


def given(domain, noisy, clean, output):
    """A training pass with an output that is known."""
    return ForwardPass(domain, lambda features: output, noisy, clean, STFT(noisy))


def pairs(n_samples=2048):
    generator = torch.Generator().manual_seed(1)
    clean, noise = torch.randn(2, 3, n_samples, generator=generator) * 0.1
    return clean + noise, clean


def total_loss(row, network, stage, batch):
    estimate, reference = stage.target(row.domain.forward(network, *batch))
    return sum(weight * loss(estimate, reference) for loss, weight in stage.losses.values())


def train(row, network, stage, steps=3):
    """What a trainer does with a stage: only its parts learn, the others neither learn nor count statistics."""
    if stage.prepare:
        stage.prepare(network, [row.domain.forward(network, *pairs())])
    network.eval().requires_grad_(False)
    for part in stage.parts or ("",):
        network.get_submodule(part).train().requires_grad_(True)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], 1e-3)
    history = []
    for _ in range(steps):
        loss = total_loss(row, network, stage, pairs())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (MaskerCRN, 22_170_258), (partial(MaskerCRN, out_channels=1), 22_170_161),
        # counts.json has 200 and 200 more for BatchNorm on the code layer, which SYSTEMS.md does without
        (DAE, 1_687_085 - 200), (partial(DAE, hidden=(512, 512)), 896_557 - 200),
        (DNNIRM, 3_684_609), (DNNNMF, 7_573_961), (LSTMIRM, 119_863_553), (partial(LSTMIRM, units=425), 3_310_849),
        (MHANet, 38_314_241), (partial(MHANet, feedforward=4096), 76_081_409),
    ],
)  # fmt: skip
def test_parameter_counts_are_those_of_the_specification(build, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in build().parameters()) == count


@pytest.mark.parametrize(("build", "count"), [(CRNDNNDEC, 27_351_388), (DNNDEC, 4_917_962)])
def test_parameter_counts_without_the_encoders_that_only_training_needs(build, count):
    with torch.device("meta"):
        network = build()
    encoders = [p.numel() for name, p in network.named_parameters() if "_dae.encoder." in name]
    assert sum(encoders) == 1_291_464
    assert sum(p.numel() for p in network.parameters()) - sum(encoders) == count


@pytest.mark.parametrize("name", ROWS)
def test_outputs_have_the_frames_of_the_input_and_stay_in_range(name):
    with torch.inference_mode():
        output = tiny(name)(torch.rand(2, 1, 7, 257))
    assert {x.shape[-2] for x in tensors(output)} == {7}
    if name == "crn-mag":
        assert bool((output >= 0).all())
        return
    masks = output if isinstance(output, torch.Tensor) else getattr(output, "masks", None)
    if masks is not None:
        assert masks.shape == (2, 2 if name.startswith(("crn-dnn", "crn-cp", "dnn-irm-")) else 1, 7, 257)
        assert float(masks.min()) >= 0 and float(masks.max()) <= 1
    if not isinstance(output, torch.Tensor):
        assert output.codes.shape[:3] == (2, 2, 7) and output.decoded.shape == output.estimates.shape == (2, 2, 7, 257)
        assert bool((output.codes >= 0).all()) == (name != "crn-dnn-dec-jnt3")


@pytest.mark.parametrize("name", CAUSAL)
def test_the_network_is_causal(name):
    """A changed frame leaves every earlier output frame bit-equal: look-ahead 0; only an LSTM carries it further."""
    network, noisy_mag = tiny(name), torch.rand(1, 1, 20, 257)
    changed = noisy_mag.clone()
    changed[:, :, 12] += 1
    with torch.inference_mode():
        outputs = list(zip(tensors(network(noisy_mag)), tensors(network(changed)), strict=True))
    for before, after in outputs:
        assert torch.equal(before[..., :12, :], after[..., :12, :])
        assert not torch.equal(before[..., 12, :], after[..., 12, :])
    later = any(not torch.equal(before[..., 13:, :], after[..., 13:, :]) for before, after in outputs)
    assert later == (name in REMEMBERING)


@pytest.mark.parametrize("name", CAUSAL)
def test_frame_by_frame_equals_the_whole_signal(name):
    network, noisy_mag = tiny(name), torch.rand(2, 1, 9, 257)
    state, parts = [], []
    with torch.inference_mode():
        whole = network(noisy_mag)
        for frame in noisy_mag.split(1, 2):
            memory = Memory(state)
            parts.append(tensors(network(frame, memory)))
            state = memory.state
    for expected, found in zip(tensors(whole), zip(*parts, strict=True), strict=True):
        assert torch.allclose(torch.cat(found, -2), expected, atol=1e-5)  # float32 sums in another order
    assert bool(state) == (name in REMEMBERING)


def test_attention_sees_the_whole_signal_but_no_padding():
    network, noisy_mag = tiny("mhanet-irm"), torch.rand(2, 1, 20, 257)
    changed = noisy_mag.clone()
    changed[:, :, 12:] += 1
    frames = torch.tensor([12, 20])
    with torch.inference_mode():
        before, after = network(noisy_mag, frames=frames), network(changed, frames=frames)
        alone = network(noisy_mag[:1, :, :12])
    assert torch.equal(before[0, :, :12], after[0, :, :12])
    assert not torch.isclose(before[1, :, :12], after[1, :, :12]).all()
    assert torch.allclose(before[:1, :, :12], alone, atol=1e-6)  # another length, another order of float32 sums


@pytest.mark.parametrize("name", ROWS)
def test_padding_does_not_change_a_result(name):
    enhancer = Enhancer(ROWS[name], tiny(name), name=name, sha256="")
    lengths = torch.tensor([3000, 1801, 900])
    batch = torch.zeros(3, 3000)
    for row, n in zip(batch, lengths, strict=True):
        row[:n] = torch.randn(int(n)) * 0.1
    together = enhancer(batch, lengths)
    for row, result, n in zip(batch, together, lengths, strict=True):
        assert torch.allclose(result[:n], enhancer(row[None, :n], n[None])[0], atol=1e-5)
        assert not result[n:].any()
    assert not enhancer(torch.zeros(1, 900), torch.tensor([900])).any() or name == "crn-mag"


@pytest.mark.parametrize("name", ROWS)
def test_wrong_features_are_refused_with_both_shapes(name):
    with pytest.raises(ValueError, match=r"\(1, 1, 5, 161\): expected \(B, 1, T, 257\)"):
        tiny(name)(torch.zeros(1, 1, 5, 161))


@pytest.mark.parametrize("name", ROWS)
def test_each_stage_reaches_every_parameter_that_it_trains(name):
    row, network = ROWS[name], tiny(name)
    for stage in row.schedule:
        network.eval().zero_grad()  # in training BatchNorm takes out biases before it: gradients of 0
        total_loss(row, network, stage, pairs()).backward()
        for parameter_name, parameter in network.named_parameters():
            if parameter_name.startswith(tuple(f"{part}." for part in stage.parts) or ""):
                assert parameter.grad is not None and parameter.grad.any(), (stage.name, parameter_name)


@pytest.mark.parametrize("name", ROWS)
def test_a_stage_changes_its_parts_and_nothing_else(name):
    row, network = ROWS[name], tiny(name)
    for stage in row.schedule:
        before = {key: value.clone() for key, value in network.state_dict().items()}
        history = train(row, network, stage)
        assert all(torch.isfinite(torch.tensor(history))) and len(history) == 3
        for key, value in network.state_dict().items():
            learns = key.startswith(tuple(f"{part}." for part in stage.parts) or "")
            if key != "bases":  # fitted before the first stage
                assert learns or torch.equal(value, before[key]), (stage.name, key)
        changed = [key for key, value in network.state_dict().items() if not torch.equal(value, before[key])]
        assert all(any(key.startswith(part) for key in changed) for part in stage.parts)


def test_the_mappings_have_the_steps_of_the_paper():
    steps = {name: [(s.name, s.parts) for s in ROWS[name].schedule] for name in STEPWISE}
    first = [("autoencoders", ("speech_dae", "noise_dae")), ("masks", ("masker",)), ("signals", ("masker",))]
    codes = ("masker", "enhancer")
    whole = ("final", ("masker", "enhancer", "speech_dae.decoder", "noise_dae.decoder"))
    assert steps["crn-dnn-dec-sep"] == [*first, ("final", codes)]
    assert steps["crn-dnn-dec-jnt3"] == [*first, whole]
    assert steps["crn-dnn-dec-jnt4-1"] == [*first, ("codes", codes), whole]
    assert steps["crn-dnn-dec"] == [*first, ("codes", ("enhancer",)), whole]


def test_masks_of_a_right_angle():
    """S = 3 and N = 4j give |Y| = 5, cos 3/5 and 4/5."""
    clean, noise = torch.full((1, 1, 1), 3 + 0j), torch.full((1, 1, 1), 4j)
    assert separation.ideal_ratio_masks(clean, noise).flatten().tolist() == pytest.approx([3 / 7, 4 / 7])
    found = separation.constrained_phase_sensitive_masks(clean, noise)
    assert found.flatten().tolist() == pytest.approx([9 / 35, 16 / 35])


def test_constrained_masks_stay_between_nothing_and_the_ratio_masks():
    clean, noise = torch.randn(2, 4, 50, 257, dtype=torch.complex64)
    constrained = separation.constrained_phase_sensitive_masks(clean, noise)
    ratio = separation.ideal_ratio_masks(clean, noise)
    assert torch.allclose(ratio.sum(1), torch.ones(4, 50, 257))
    assert bool((constrained >= 0).all()) and bool((constrained <= ratio + 1e-6).all())
    silence = torch.zeros(1, 1, 1, dtype=torch.complex64)
    assert not separation.constrained_phase_sensitive_masks(silence, silence).any()


def test_wiener_gains_share_the_mixture_in_half_precision_too():
    gains = wiener_gains(torch.tensor([[300.0, -400.0]], dtype=torch.float16)[..., None, None])
    assert gains.flatten().tolist() == pytest.approx([0.36, 0.64])


def two_sources(speech, noise):
    return torch.tensor([speech, noise], dtype=torch.float32)[None, :, None]  # (1, 2, 1, F)


def test_losses_know_their_answers():
    estimate, reference = two_sources([1, 3], [0, 2]), two_sources([0, 0], [0, 4])
    assert separation.both_mse(estimate, reference).item() == 5 + 2
    assert separation.both_mae(estimate, reference).item() == 2 + 1
    found = Reconstruction(estimate, two_sources([1, 2, 3], [4, 0, 0]))
    assert separation.reconstruction_error(found, reference).item() == 1 + 9 + 4
    assert separation.code_l1(found, reference).item() == 10
    twice = Reconstruction(*(x.repeat(2, 1, 3, 1) for x in found))  # frames are a mean, not a sum
    assert separation.reconstruction_error(twice, reference.repeat(2, 1, 3, 1)).item() == 14
    assert separation.code_l1(twice, reference).item() == 10


def test_targets_compare_what_they_say():
    row, network = ROWS["crn-dnn-dec"], tiny("crn-dnn-dec")
    noisy, clean = pairs()
    run = row.domain.forward(network, noisy, clean)
    speech, noise, mixture = STFT(clean).abs(), STFT(noisy - clean).abs(), STFT(noisy).abs()
    both = torch.stack((speech, noise), 1)
    close = partial(torch.allclose, atol=1e-4)  # float32, the noise's spectrum is a difference of spectra

    estimate, reference = separation.masked_magnitudes(run)
    assert close(estimate, run.output.masks * mixture[:, None]) and close(reference, both)
    estimate, reference = separation.codes(run)
    assert estimate is run.output.codes and not reference.requires_grad
    assert close(reference, torch.stack((network.speech_dae(speech).codes, network.noise_dae(noise).codes), 1))
    estimate, reference = separation.reconstructions(run)
    assert close(estimate.magnitudes[:, 1], network.noise_dae(noise).magnitudes) and close(reference, both)
    estimate, reference = separation.magnitudes(run)
    assert close(estimate.sum(1), mixture) and close(reference, both)
    assert close(run.domain.estimate(run.output, STFT(noisy)).abs(), run.output.estimates[:, 0])


def test_masks_are_compared_with_as_many_sources_as_the_network_gives():
    noisy, clean = pairs()
    expected = separation.ideal_ratio_masks(STFT(clean), STFT(noisy - clean))
    for channels in (1, 2):
        output = torch.rand(3, channels, STFT.n_frames(2048), 257)
        estimate, reference = separation.ratio_masks(given(MASK, noisy, clean, output))
        assert torch.equal(estimate, output) and torch.allclose(reference, expected[:, :channels], atol=1e-3)
    constrained = separation.constrained_phase_sensitive_masks(STFT(clean), STFT(noisy - clean))
    run = given(SourceMasks(STFT, "as_is"), noisy, clean, torch.rand(3, 2, STFT.n_frames(2048), 257))
    assert torch.allclose(separation.constrained_masks(run)[1], constrained, atol=1e-3)
    mask = torch.tensor([0.5, 0.0])[:, None, None].expand_as(run.output)
    assert torch.allclose(run.domain.waveform(mask, STFT(noisy), 2048), noisy / 2, atol=1e-5)


def test_nmf_finds_the_parts_that_made_the_magnitudes():
    bases = torch.tensor([[0.5, 0.5, 0, 0, 0], [0, 0, 0.2, 0.3, 0.5]])
    played = torch.rand(40, 2) * torch.tensor([[1, 0], [0, 1], [1, 1], [1, 1]]).repeat(10, 1)  # each alone at times
    found = nmf.fit(played @ bases, n_bases=2, updates=200, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(found.sum(1), torch.ones(2))
    found = found[found[:, 0].argsort(descending=True)]
    assert torch.allclose(found, bases, atol=1e-3)
    assert torch.allclose(nmf.activations(played @ bases, bases), played, atol=1e-3)


def test_nmf_lowers_the_divergence_and_keeps_the_level():
    magnitudes = torch.rand(2, 30, 20)

    def divergence(updates):
        bases = nmf.fit(magnitudes, n_bases=4, updates=updates, generator=torch.Generator().manual_seed(0))
        played = nmf.activations(magnitudes, bases)
        assert torch.allclose(played.sum(-1), magnitudes.sum(-1), rtol=1e-4)
        model = played @ bases
        return (magnitudes * (magnitudes / model).log() - magnitudes + model).sum((1, 2))

    history = torch.stack([divergence(n) for n in (1, 5, 50)])
    assert bool((history[1:] < history[:-1]).all())


def test_bases_are_fitted_to_speech_and_noise_apart():
    """Speech of one bin and noise of another: each base has its bin."""
    row, network = ROWS["dnn-irm-dnn-nmf"], tiny("dnn-irm-dnn-nmf")
    time = torch.arange(4096) / 512
    speech, noise = torch.sin(2 * torch.pi * 40 * time)[None], torch.sin(2 * torch.pi * 160 * time)[None]
    network.fit_bases([row.domain.forward(network, speech + noise, speech)])
    peaks = network.bases.argmax(-1)
    assert bool(((peaks - torch.tensor([[40], [160]])).abs() <= 5).all())  # where a tone starts it is not sharp


@pytest.fixture
def third_party(monkeypatch, tmp_path):
    """A stand-in for the package sgmse with the names that the adapter calls, and a checkpoint of it."""

    class SpecsDataModule:
        __module__, __qualname__ = "sgmse.data_module", "SpecsDataModule"

    class ScoreModel(nn.Module):
        def __init__(self, gain, data_module_cls):
            super().__init__()
            assert data_module_cls is SpecsDataModule
            self.gain = nn.Parameter(torch.tensor(gain))

        def on_load_checkpoint(self, checkpoint):
            self.averaged = checkpoint["ema"]

        def eval(self):
            self.gain.data.copy_(self.averaged)
            return super().eval()

        def _stft(self, x):
            return torch.stft(x, 510, 128, window=torch.hann_window(510), return_complex=True)

        def _forward_transform(self, spec):
            return spec

        def to_audio(self, spec, n_samples):
            return torch.istft(spec, 510, 128, window=torch.hann_window(510), length=n_samples)

        def get_pc_sampler(self, predictor, corrector, spec, **settings):
            assert (predictor, corrector) == ("reverse_diffusion", "ald")
            assert settings == {"N": 30, "corrector_steps": 1, "snr": 0.5} and spec.shape[3] % 64 == 0
            return lambda: (self.gain * spec + 1e-3 * torch.randn(spec.shape), 60)

    names = {
        "sgmse": {},
        "sgmse.data_module": {"SpecsDataModule": SpecsDataModule},
        "sgmse.model": {"ScoreModel": ScoreModel},
        "sgmse.util": {},
        "sgmse.util.other": {"pad_spec": lambda x: nn.functional.pad(x, (0, -x.shape[3] % 64))},
    }
    for name, content in names.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    settings = {"gain": 0.0, "data_module_cls": SpecsDataModule}
    path = tmp_path / "model.ckpt"
    torch.save(
        {"hyper_parameters": settings, "state_dict": {"gain": torch.tensor(0.25)}, "ema": torch.tensor(0.5)}, path
    )
    return path


def test_the_third_partys_model_runs_with_its_averaged_weights(third_party):
    enhancer = load_enhancer(f"sgmse+:{third_party}")
    assert (enhancer.name, enhancer.sample_rate, len(enhancer.sha256)) == ("sgmse+", 16000, 64)
    lengths = torch.tensor([4000, 100, 600])
    batch = torch.zeros(3, 4000)
    batch[0], batch[1, :100] = torch.randn(4000) * 0.1, 0.2
    result = enhancer(batch, lengths)
    assert torch.allclose(result, batch / 2, atol=0.01)  # the stand-in halves, and adds a little noise
    assert torch.equal(result[1, :100], enhancer(batch[1:2, :100], lengths[1:2])[0])
    assert not result[1, 100:].any() and not result[2].any()
    with pytest.raises(ValueError, match="length 9 exceeds the batch's 8"):
        enhancer(torch.zeros(1, 8), torch.tensor([9]))
    with pytest.raises(ValueError, match="NaN"):
        enhancer(torch.full((1, 8), torch.nan), torch.tensor([8]))


def test_what_the_third_partys_model_lacks_is_said(third_party, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"needs a checkpoint: give sgmse\+:PATH.*train_vb_29nqe0uh_epoch=115\.ckpt"):
        load_enhancer("sgmse+")
    with pytest.raises(ConfigError, match="run it as sgmse\\+:PATH"):
        method("sgmse+")
    torch.save({"state_dict": print}, tmp_path / "evil.ckpt")
    with pytest.raises(ConfigError, match=r"evil\.ckpt holds more than tensors"):
        load_enhancer(f"sgmse+:{tmp_path / 'evil.ckpt'}")
    monkeypatch.setitem(sys.modules, "sgmse.model", None)
    with pytest.raises(ConfigError, match=r"needs the package sgmse: clone github\.com/sp-uhh/sgmse"):
        load_enhancer(f"sgmse+:{third_party}")


def test_a_changed_checkpoint_is_another_system(third_party):
    first = identity(f"sgmse+:{third_party}")
    third_party.write_bytes(third_party.read_bytes() + b" ")
    assert identity(f"sgmse+:{third_party}") != first
    assert checkpoints.card(f"sgmse+:{third_party}")["sample_rate"] == 16000
