"""The third party's diffusion model, with a stand-in for its package."""

import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.serving.identity import identity
from clean_corpus.enhancers.table import method
from clean_corpus.pipeline.core.errors import ConfigError


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
    first = identity(f"sgmse+:{third_party}", 16000)
    third_party.write_bytes(third_party.read_bytes() + b" ")
    assert identity(f"sgmse+:{third_party}", 16000) != first
    assert checkpoints.card(f"sgmse+:{third_party}")["sample_rate"] == 16000
