"""The sample loop on a GPU: a batch of utterances, one kernel launch for each stretch of samples."""

from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from clean_corpus.vocoder.generation.kernels import cpu, gpu
from clean_corpus.vocoder.generation.weights import SourceInputs, Weights, history_starts

ARRAYS = (
    "levels", "table", "input_bias", "dilations", "dilated", "dilated_bias", "conditioner", "residual", "residual_bias",
    "skip", "skip_bias", "hidden", "hidden_bias", "output", "output_bias", "source_past", "source_output",
    "source_bias",
)  # fmt: skip


class GpuLoop:
    """State of a batch of utterances between one stretch of samples and the next, in the GPU's memory."""

    def __init__(self, weights: Weights, batch: int, device: torch.device) -> None:
        self.batch, self.device = batch, device
        self._lanes = -(-batch // gpu.LANES) * gpu.LANES
        self._weights = {f.name: getattr(weights, f.name) for f in fields(weights)}
        self._weights = {
            name: torch.as_tensor(x, device=device) if isinstance(x, np.ndarray) else x
            for name, x in self._weights.items()
        }
        starts, n_rows = history_starts(weights)
        self._starts = torch.as_tensor(starts, device=device)
        self._rings = torch.zeros(n_rows, weights.dilated.shape[3], self._lanes, device=device)
        held = (len(weights.dilations), weights.dilated.shape[2]) if weights.conditioning_hop > 1 else (1, 1)
        self._held = torch.zeros(*held, self._lanes, device=device)
        self._sample = torch.zeros(self._lanes, device=device)
        silence = len(weights.levels) // 2
        self._chosen = torch.full((self._lanes,), silence, dtype=torch.int64, device=device)
        self._spoken = torch.zeros(cpu.PAST, self._lanes, device=device)
        self._n_made = 0

    def run(
        self,
        conditioning: Tensor | np.ndarray,
        noise: Tensor | np.ndarray,
        temperature: Tensor | np.ndarray | None = None,
        source: SourceInputs | None = None,
        *,
        keep_logits: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Make the next samples; return them with the parameters of their distributions, if `keep_logits`.

        Shapes: conditioning (M, C, B), one for each conditioning_hop that the N samples lie in, noise (N, B, W),
        temperature (M, B), None for 1, source None for a network without -> (N, B), (N, O, B) or (0, O, B).
        """
        w, n = self._weights, len(noise)
        conditioning, noise = self._padded(conditioning, 2), self._padded(noise, 1)
        n_layers, n_taps, n_gates, n_residual = w["dilated"].shape
        n_skip, n_out, n_conditioning = w["skip"].shape[1], len(w["output"]), w["conditioner"].shape[2]
        temperatures = torch.ones(len(conditioning), self._lanes, device=self.device)
        if temperature is not None:
            temperatures[:, : self.batch] = torch.as_tensor(temperature)
        phases, voiced, period = (self._padded(x, x.dim() - 1) for x in source or (torch.zeros(1, self.batch),) * 3)
        samples = torch.empty(n, self._lanes, device=self.device)
        logits = torch.empty(n if keep_logits else 0, n_out, self._lanes, device=self.device)
        sizes = {"R": n_residual, "H": n_gates // 2, "S": n_skip, "C": n_conditioning, "Q": n_out}
        sizes["E"] = phases.shape[-2]
        gpu.run[(self._lanes // gpu.LANES,)](
            *(w[name] for name in ARRAYS), conditioning, temperatures, phases, voiced, period.int(), noise,
            self._spoken, self._rings, self._held, self._starts, self._sample, self._chosen, samples, logits, n,
            n_layers, self._n_made, self._lanes,
            KIND=w["kind"], HOP=w["conditioning_hop"], STACK=0 if source is None else w["layers_per_stack"],
            KEEP=keep_logits, TAPS=n_taps, DRAWS=noise.shape[2], BLOCK=gpu.LANES, **sizes,
            **{f"{name}P": max(16, 2 ** (size - 1).bit_length()) for name, size in sizes.items()},
        )  # fmt: skip
        self._n_made += n
        return samples[:, : self.batch].cpu().numpy(), logits[:, :, : self.batch].cpu().numpy()

    def _padded(self, x: Tensor | np.ndarray, axis: int) -> Tensor:
        x = torch.as_tensor(x, dtype=torch.float32, device=self.device)
        missing = self._lanes - x.shape[axis]
        shape = list(x.shape)
        shape[axis] = missing
        return torch.cat((x, x.new_zeros(shape)), axis).contiguous() if missing else x.contiguous()
