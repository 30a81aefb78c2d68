"""Trained enhancement systems, loaded by name or path: a batch of waveforms in, waveforms of the same lengths out."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.enhancers.checkpoints import card, checkpoint_path, is_sgmse, require_enhancer, weights_sha256
from clean_corpus.enhancers.domains import spectral
from clean_corpus.enhancers.method import Method
from clean_corpus.enhancers.serving.batches import check_batch
from clean_corpus.enhancers.serving.fast_dual_path import use_fast_dual_paths
from clean_corpus.enhancers.serving.folding import fold_normalisations
from clean_corpus.enhancers.serving.gru import use_fast_grus
from clean_corpus.enhancers.serving.long_files import block_s, enhance_long, missing
from clean_corpus.enhancers.table import method
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.quality.device import fetched, full_precision
from clean_corpus.pipeline.training.trained_files import read_tensors

if TYPE_CHECKING:
    from clean_corpus.enhancers.serving.sgmse import ScoreDiffusion


class Enhancer:
    """A trained system: call it with a batch of waveforms and their lengths, and it returns the enhanced waveforms.

    Long signals run in blocks, so that apart from the waveforms themselves memory does not grow with their length.
    `gain` is what the network's output is multiplied by, where its training left sign and level open.

    Shapes: (B, N) float32, zero beyond lengths (B,) in samples -> (B, N), zero beyond lengths.
    Raises: ValueError if the batch is empty, a length exceeds N or a sample is not finite.
    """

    def __init__(
        self, row: Method, network: nn.Module, *, name: str, sha256: str, device: str = "cpu", gain: float = 1.0
    ) -> None:
        self.row, self.network = row, network.eval().to(device)
        if device == "cpu":  # oneDNN's transposed convolutions take twice as long with channels first
            self.network.to(memory_format=torch.channels_last)
            fold_normalisations(self.network)
            use_fast_dual_paths(self.network)
            use_fast_grus(self.network)
        self.name, self.sha256, self.device, self.gain = name, sha256, device, gain
        self.sample_rate = row.sample_rate

    @full_precision()
    def __call__(self, noisy: Tensor, lengths: Tensor) -> Tensor:
        check_batch(noisy, lengths)
        n_samples, domain = noisy.shape[-1], self.row.domain
        noisy, lengths = noisy.to(self.device, non_blocking=True), lengths.to(self.device, non_blocking=True)
        if isinstance(domain, spectral.Spectral) and n_samples > block_s(self.network, noisy.device) * self.sample_rate:
            wave = torch.zeros_like(noisy)
            for clip, result, n in zip(noisy, wave, lengths.tolist(), strict=True):
                result[:n] = enhance_long(self.network, domain, clip[None, :n], self.sample_rate)[0]
        else:
            noisy = functional.pad(noisy, (0, missing(n_samples, self.sample_rate)))
            wave = domain.enhance(self.network, noisy, lengths)[:, :n_samples]
        samples = torch.arange(n_samples, device=lengths.device) < lengths[:, None]
        return torch.from_numpy(fetched(self.gain * wave * samples)())


def load_enhancer(name_or_path: str, *, device: str = "cpu") -> "Enhancer | ScoreDiffusion":
    """Load a shipped enhancer by name, a trained one by the path of its .safetensors file, or sgmse+:PATH.

    Raises: ConfigError if there are no such weights, or if they belong to another network or other sizes.
    """
    path = checkpoint_path(name_or_path)
    if is_sgmse(name_or_path):
        from clean_corpus.enhancers.serving.sgmse import ScoreDiffusion

        return ScoreDiffusion(path, sha256=weights_sha256(name_or_path), device=device)
    require_enhancer(name_or_path)
    row, network, about = load_network(name_or_path)
    sha256, gain = weights_sha256(name_or_path), about.get("output_gain", 1.0)
    return Enhancer(row, network, name=about["name"], sha256=sha256, device=device, gain=gain)


def load_network(name_or_path: str) -> tuple[Method, nn.Module, dict[str, Any]]:
    """Return the row of the table that weights are of, its network with them, and their card.

    Raises: ConfigError if there are no such weights, or if they belong to another network or other sizes.
    """
    about = card(name_or_path)
    row = method(about["method"])
    network = row.build(**{k: tuple(v) if isinstance(v, list) else v for k, v in about["sizes"].items()})
    fill(network, name_or_path, f"{about['method']} with sizes {about['sizes']}")
    return row, network, about


def fill(network: nn.Module, name_or_path: str, what: str) -> None:
    """Give a network the weights of a file; `what` describes the network in the error.

    Raises: ConfigError if there are no such weights, or if they are damaged or do not fit the network.
    """
    path = checkpoint_path(name_or_path)
    state = read_tensors(path)
    try:
        network.load_state_dict(state)  # some networks know what older files of theirs lack
    except RuntimeError:
        first = "; ".join(_differing(state, network.state_dict())[:3])
        raise ConfigError(f"{path} does not fit {what}: {first}") from None


def _differing(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> list[str]:
    """Return the names of tensors that only one side has, or that have two shapes, with both."""
    shapes = [{name: tuple(x.shape) for name, x in side.items()} for side in (state, wanted)]
    names = sorted(name for name in state.keys() | wanted.keys() if shapes[0].get(name) != shapes[1].get(name))
    return [f"{name}: file {shapes[0].get(name)}, network {shapes[1].get(name)}" for name in names]
