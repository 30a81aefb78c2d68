"""SGMSE+, the diffusion model that paper [002] compares with: a third party's, run but neither shipped nor trained."""

import pickle
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from clean_corpus.enhancers.checkpoints import SGMSE
from clean_corpus.enhancers.serving.batches import check_batch
from clean_corpus.pipeline.core.errors import ConfigError

_SHORTEST = 510  # samples, one window of the model's STFT
_CODE = "github.com/sp-uhh/sgmse (MIT licence)"


class ScoreDiffusion:
    """Score-based diffusion model: call it with a batch of waveforms and their lengths, as an `Enhancer`.

    A clip gives the same result alone or in a batch, since the random numbers of each clip start from the same seed.

    Source: Richter et al. 2023 (arXiv:2208.05830); SYSTEMS.md section 4.4: peak normalisation, predictor-corrector
    sampling with the released settings (30 steps, one annealed Langevin correction each, SNR 0.5).
    Departs: the frames that pad a spectrum to a multiple of 64 are removed afterwards, else the last samples fade out.
    Shapes: (B, N) float32, zero beyond lengths (B,) in samples -> (B, N), zero beyond lengths.
    Raises: ConfigError that says how to get the package where it is missing, or if the checkpoint holds more than
    tensors and settings; ValueError if a length exceeds N or a sample is not finite.
    """

    name = SGMSE
    sample_rate = 16000

    def __init__(self, checkpoint: Path, *, sha256: str, device: str = "cpu") -> None:
        try:
            from sgmse.data_module import SpecsDataModule
            from sgmse.model import ScoreModel
            from sgmse.util.other import pad_spec
        except ImportError as error:
            raise ConfigError(
                f"sgmse+ needs the package sgmse: clone {_CODE}, install its requirements.txt and put the clone on "
                f"PYTHONPATH ({error})"
            ) from None
        try:
            with torch.serialization.safe_globals([SpecsDataModule]):  # its settings name this class
                content = torch.load(checkpoint, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise ConfigError(f"{checkpoint} holds more than tensors and settings and is not loaded: {error}") from None
        model = ScoreModel(**content["hyper_parameters"])
        model.load_state_dict(content["state_dict"])
        model.on_load_checkpoint(content)  # the averaged weights, which eval() puts in place
        self.network, self.device, self._pad = model.to(device).eval(), device, pad_spec
        self.sha256 = sha256

    @torch.inference_mode()
    def __call__(self, noisy: Tensor, lengths: Tensor) -> Tensor:
        check_batch(noisy, lengths)
        result = torch.zeros_like(noisy)
        for row, clip, length in zip(result, noisy, lengths.tolist(), strict=True):
            row[:length] = self._enhance(clip[:length])
        return result

    def _enhance(self, clip: Tensor) -> Tensor:
        """Enhance one clip, scaled to peak 1 for the model and back."""
        peak = clip.abs().max()
        if not peak:
            return clip
        wave = functional.pad(clip / peak, (0, max(0, _SHORTEST - len(clip)))).to(self.device)
        model = self.network
        spec = model._forward_transform(model._stft(wave[None]))[None]  # (1, 1, F, T)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            settings = {"N": 30, "corrector_steps": 1, "snr": 0.5}
            sample, _ = model.get_pc_sampler("reverse_diffusion", "ald", self._pad(spec), **settings)()
        return model.to_audio(sample[0, 0, :, : spec.shape[3]], len(wave))[: len(clip)].cpu() * peak
