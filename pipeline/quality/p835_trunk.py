"""The trunk of DNSMOS P.835 on a processor: its convolutions by `winograd`, its spectrum by ONNX Runtime."""

import threading

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.quality.onnx_parts import Tensor, extract, loaded, runner
from clean_corpus.pipeline.quality.winograd import OUT, convolve, convolve_image, empty_map, transformed

Array = NDArray[np.float32]

BINS = 161  # of the log power spectrum, which is an image to the convolutions
FRAMES: Tensor = ("mos_estimator_logpow/concat:0", ("B", "T", 320))
IMAGE: Tensor = ("mos_estimator_logpow/truediv:0", ("B", "T", BINS))
LAYERS = ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4", "conv2d_5")  # 1 to 128, 48, 64, 32, 32, 32 channels
HALVED = (3, 4)  # of the layers after the first: those that hear the greatest of two frames and two bins


class P835Trunk:
    """Compute what the network's trunk does, which `network` is: ONNX Runtime's numbers within 1e-4.

    Shapes: frames (B, T, 320) -> (B, 32, T / 4, 40).
    """

    def __init__(self, network: bytes) -> None:
        import onnx.numpy_helper

        self._image = runner(extract(network, FRAMES, IMAGE))
        arrays = {
            array.name: np.array(onnx.numpy_helper.to_array(array)) for array in loaded(network).graph.initializer
        }
        first, *others = (arrays[f"{layer}/kernel:0"] for layer in LAYERS)
        self._first = np.ascontiguousarray(first[:, 0].transpose(1, 2, 0))
        self._weights = [transformed(weights) for weights in others]
        self._biases = [arrays[f"{layer}/bias:0"] for layer in LAYERS]
        self._kept = threading.local()

    def __call__(self, frames: Array) -> Array:
        return np.stack([self._outputs(image) for image in self._image(frames)])

    def _outputs(self, image: Array) -> Array:
        """Shapes: (T, BINS) -> (32, T / 4, BINS // 4)."""
        rows, columns = len(image), BINS
        wide, maps, halves = self._maps(rows)
        wide[2 : rows + 2, 2 : BINS + 2] = image
        wide[rows + 2 :] = 0
        first, *biases = self._biases
        convolve_image(wide, self._first, first, self._weights[0], biases[0], maps[0], rows, columns)
        for layer in range(1, len(maps)):
            heard = maps[layer - 1]
            if layer in HALVED:
                rows, columns = rows // 2, columns // 2
                heard = _halve(heard, halves[layer], rows, columns)
            convolve(heard, self._weights[layer], biases[layer], maps[layer], rows, columns)
        return maps[-1][1 : 1 + rows, 1 : 1 + columns].transpose(2, 0, 1).copy()  # the map is used again

    def _maps(self, rows: int) -> tuple[Array, list[Array], dict[int, Array]]:
        """Return an image with two lines of zeros around it, the layers' maps, and what some hear of half the size.

        A thread uses its own again: fresh memory would cost as long as half a layer.
        """
        kept = getattr(self._kept, "maps", None)
        if kept is None or len(kept[0]) < rows + 4:
            size, maps, halves = (rows, BINS), [], {}
            for layer, weights in enumerate(self._weights):
                if layer in HALVED:
                    size = size[0] // 2, size[1] // 2
                    halves[layer] = empty_map(*size, weights.shape[1])
                maps.append(empty_map(*size, weights.shape[2]))
            kept = self._kept.maps = np.pad(maps[0][..., 0], 1), maps, halves
        wide, maps, halves = kept
        heights = [-(-rows // 2 ** sum(half <= layer for half in HALVED) // OUT) * OUT for layer in range(len(maps))]
        return (
            wide[: heights[0] + 4],
            [part[: height + 2] for part, height in zip(maps, heights, strict=True)],
            {layer: part[: heights[layer] + 2] for layer, part in halves.items()},
        )


def _halve(x: Array, y: Array, rows: int, columns: int) -> Array:
    """Write the greatest of two rows and two columns of a map into another one, and return that."""
    inside = x[1 : 1 + 2 * rows, 1 : 1 + 2 * columns]
    higher = np.maximum(inside[::2], inside[1::2])
    np.maximum(higher[:, ::2], higher[:, 1::2], out=y[1 : 1 + rows, 1 : 1 + columns])
    y[rows + 1 :] = 0
    return y
