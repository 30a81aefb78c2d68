"""The sample loop on a CPU: a batch of utterances, one stretch of samples after the other."""

from dataclasses import fields

import numpy as np
from torch import Tensor

from clean_corpus.vocoder.generation.kernels import cpu
from clean_corpus.vocoder.generation.weights import SourceInputs, Weights, history_starts

PROJECTED = 500  # conditioning vectors of a single utterance that pass the weights of all layers at a time


class CpuLoop:
    """State of a batch of utterances between one stretch of samples and the next.

    A single utterance takes up to LANES times less work than a batch, and sums in another order.
    """

    def __init__(self, weights: Weights, batch: int, *, single: bool = False) -> None:
        self.weights, self.batch = weights, batch
        self._lanes = 1 if single else -(-batch // cpu.LANES) * cpu.LANES
        arrays = {field.name: getattr(weights, field.name) for field in fields(weights)}
        matrices = (
            "dilated", "conditioner", "residual", "skip", "hidden", "output", "source_past", "source_output",
        )  # fmt: skip
        arrays |= {name: cpu.tiled(arrays[name], 1 if single else cpu.TILE) for name in matrices}
        self._arguments = list(arrays.values())
        self._starts, n_rows = history_starts(weights)
        self._rings = np.zeros((n_rows, weights.dilated.shape[3], self._lanes), np.float32)
        self._sample = np.zeros(self._lanes, np.float32)
        silence = len(weights.levels) // 2
        self._chosen = np.full(self._lanes, silence, np.int64)
        self._spoken = np.zeros((cpu.PAST, self._lanes), np.float32)
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
        n, w = len(noise), self.weights
        noise, conditioning = self._padded(np.asarray(noise), 1), self._padded(np.asarray(conditioning), 2)
        temperatures = np.ones((len(conditioning), self._lanes), np.float32)
        if temperature is not None:
            temperatures[:, : self.batch] = temperature
        phases, voiced, period = self._source(source)
        samples = np.empty((n, self._lanes), np.float32)
        logits = np.empty((n if keep_logits else 0, len(w.output), self._lanes), np.float32)
        hop, before = w.conditioning_hop, self._n_made % w.conditioning_hop
        size = PROJECTED * hop if self._lanes == 1 else max(1, before + n)
        for first in range(0, before + n, size):  # counted from the start of the hop that the first sample lies in
            part = slice(max(0, first - before), min(n, first + size - before))
            held = slice(first // hop, -(-(part.stop + before) // hop))
            c = conditioning[held]
            c, projected = (c[:0], self._projected(c)) if self._lanes == 1 else (c, np.empty((0, 1, 1, 1), np.float32))
            cpu.run(
                *self._arguments, c, projected, phases[part], voiced[part], period[part], temperatures[held],
                noise[part], self._spoken, self._rings, self._starts, self._n_made, self._sample, self._chosen,
                samples[part], logits[part],
            )  # fmt: skip
            self._n_made += part.stop - part.start
        return samples[:, : self.batch], logits[:, :, : self.batch]

    def _source(self, source: SourceInputs | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if source is None:
            none = np.zeros((0, self._lanes), np.float32)
            return none[:, None], none, none.astype(np.int64)
        padded = (self._padded(np.asarray(part), part.dim() - 1) for part in source)
        phases, voiced, period = padded
        return phases, voiced, period.astype(np.int64)

    def _padded(self, x: np.ndarray, axis: int) -> np.ndarray:
        shape = list(x.shape)
        shape[axis] = self._lanes
        padded = np.zeros(shape, np.float32)
        padded[tuple(slice(0, size) for size in x.shape)] = x
        return padded

    def _projected(self, c: np.ndarray) -> np.ndarray:
        """Return what all layers add for the conditioning of a single utterance, so that weights are read once."""
        w = self.weights
        flat = c[:, :, 0] @ w.conditioner.reshape(-1, c.shape[1]).T + w.dilated_bias.reshape(-1)
        return flat.reshape(len(c), *w.dilated_bias.shape, 1)
