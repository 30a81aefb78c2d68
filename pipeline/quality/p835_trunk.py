"""The trunk of DNSMOS P.835 on a processor: its wide convolutions by `winograd`, the rest by ONNX Runtime."""

import threading

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.quality.onnx_parts import Tensor, extract, loaded, runner
from clean_corpus.pipeline.quality.winograd import OUT, convolve, convolve_image, empty_map, transformed

Array = NDArray[np.float32]

BINS, BINS_POOLED = 161, 80  # of the log power spectrum, which is an image to the convolutions
FRAMES: Tensor = ("mos_estimator_logpow/concat:0", ("B", "T", 320))
IMAGE: Tensor = ("mos_estimator_logpow/truediv:0", ("B", "T", BINS))
LAYERS = ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3")  # 1 to 128, 48, 64 and 32 channels: 95 % of the work
POOLED: Tensor = ("mos_estimator_logpow/conv2d_3/Relu:0_pooling0", ("B", 32, "T/2", BINS_POOLED))
OUTPUTS: Tensor = ("mos_estimator_logpow/conv2d_5/Relu:0", ("B", 32, "T/4", BINS_POOLED // 2))


class P835Trunk:
    """Compute what the network's trunk does, which `network` is: ONNX Runtime's numbers within 1e-4.

    Shapes: frames (B, T, 320) -> (B, 32, T / 4, 40).
    """

    def __init__(self, network: bytes) -> None:
        import onnx.numpy_helper

        self._image, self._rest = runner(extract(network, FRAMES, IMAGE)), runner(extract(network, POOLED, OUTPUTS))
        arrays = {
            array.name: np.array(onnx.numpy_helper.to_array(array)) for array in loaded(network).graph.initializer
        }
        first, *others = (arrays[f"{layer}/kernel:0"] for layer in LAYERS)
        self._first = np.ascontiguousarray(first[:, 0].transpose(1, 2, 0))
        self._weights = [transformed(weights) for weights in others]
        self._biases = [arrays[f"{layer}/bias:0"] for layer in LAYERS]
        self._kept = threading.local()

    def __call__(self, frames: Array) -> Array:
        return self._rest(np.stack([self._pooled(image) for image in self._image(frames)]))

    def _pooled(self, image: Array) -> Array:
        """Shapes: (T, BINS) -> (32, T / 2, BINS_POOLED)."""
        rows = len(image)
        wide, maps = self._maps(rows)
        wide[2 : rows + 2, 2 : BINS + 2] = image
        wide[rows + 2 :] = 0
        first, *biases = self._biases
        convolve_image(wide, self._first, first, self._weights[0], biases[0], maps[0], rows, BINS)
        for layer in (1, 2):
            convolve(maps[layer - 1], self._weights[layer], biases[layer], maps[layer], rows, BINS)
        inside = maps[-1][1 : 1 + rows // 2 * 2, 1 : 1 + 2 * BINS_POOLED]
        return inside.reshape(rows // 2, 2, BINS_POOLED, 2, -1).max(axis=(1, 3)).transpose(2, 0, 1)

    def _maps(self, rows: int) -> tuple[Array, list[Array]]:
        """Return an image with two lines of zeros around it, and the layers' maps; a thread uses its own again.

        Fresh memory would cost as long as half a layer.
        """
        kept = getattr(self._kept, "maps", None)
        if kept is None or len(kept[0]) < rows + 4:
            maps = [empty_map(rows, BINS, len(bias)) for bias in self._biases[1:]]
            kept = self._kept.maps = [np.pad(maps[0][..., 0], 1), *maps]
        height = -(-rows // OUT) * OUT
        return kept[0][: height + 4], [part[: height + 2] for part in kept[1:]]
