"""ONNX networks cut in parts, each of one input and one output, and run on one thread of a processor."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import ModelProto

Tensor = tuple[str, tuple[int | str, ...]]
"""Name and shape of a float32 tensor in a network; a size that varies has a name."""


def loaded(network: Path | bytes) -> "ModelProto":
    """Read a network from its file, or from that file's bytes."""
    import onnx  # needed by workers alone

    return onnx.load_from_string(network) if isinstance(network, bytes) else onnx.load(str(network))


def extract(path: Path | bytes, begin: Tensor, end: Tensor) -> bytes:
    """Return the part of an ONNX network from one of its tensors to another, as a network.

    Raises: ValueError if no path leads from one to the other.
    """
    import onnx.utils  # needed by workers alone

    network = loaded(path)
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in (begin, end)]
    known = {info.name for info in (*network.graph.input, *network.graph.output)}
    network.graph.value_info.extend(info for info in ends if info.name not in known)
    part = onnx.utils.Extractor(network).extract_model([begin[0]], [end[0]])
    if not any(begin[0] in node.input for node in part.graph.node):
        name = "the network" if isinstance(path, bytes) else path.name
        raise ValueError(f"{name} has no path from {begin[0]!r} to {end[0]!r}")
    for info, stated in zip((part.graph.input[0], part.graph.output[0]), ends, strict=True):
        info.CopyFrom(stated)  # the network's own may be for one length
    del part.graph.value_info[:]
    return part.SerializeToString()


def without_channels(network: bytes, layer: str, reader: str, channels: Sequence[int]) -> bytes:
    """Return a network less some outputs of a convolution, which are inputs of the one that reads them, and of no else.

    Each of the two has its weights in `NAME/kernel:0`, (O, C, K, K), and its bias in `NAME/bias:0`.

    Raises: ValueError if the network has no such weights, or the layer no such channels.
    """
    import onnx.numpy_helper

    model = loaded(network)
    arrays = {array.name: array for array in model.graph.initializer}
    for name, axis in ((f"{layer}/kernel:0", 0), (f"{layer}/bias:0", 0), (f"{reader}/kernel:0", 1)):
        if name not in arrays:
            raise ValueError(f"the network has no {name!r}")
        whole = onnx.numpy_helper.to_array(arrays[name])
        if not set(channels) <= set(range(whole.shape[axis])):
            raise ValueError(f"{name} {whole.shape}: no channels {sorted(channels)} on axis {axis}")
        arrays[name].CopyFrom(onnx.numpy_helper.from_array(np.delete(whole, channels, axis), name))
    return model.SerializeToString()


def session(network: bytes) -> onnxruntime.InferenceSession:
    """Open a network on one thread, from the bytes of its ONNX file; it keeps the memory of its longest input."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # keeps a plan for each length of input
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def runner(network: bytes) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a network of one input and one output as a function."""
    opened = session(network)
    (entry,) = opened.get_inputs()
    return lambda x: opened.run(None, {entry.name: x})[0]
