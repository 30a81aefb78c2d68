"""ONNX networks as modules of torch, which run on a GPU: the operators of DNSMOS' networks, and no others.

ONNX Runtime has a GPU build, but it is another package of the same name that replaces the one for CPUs and brings CUDA
libraries of its own beside those of torch. What the networks need are 14 operators.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

OPERATOR_SET = 12  # the newest whose Unsqueeze and ReduceMax have their axes as attributes

Attributes = dict[str, Any]


def _is_padded(given: Attributes) -> bool:
    """Return whether a window is padded at all.

    Raises: ValueError if it is padded in a way that depends on its input's size.
    """
    auto = given.get("auto_pad", b"NOTSET")
    if auto not in (b"NOTSET", b"VALID"):
        raise ValueError(f"auto_pad={auto.decode()} is not known; known are NOTSET and VALID")
    return auto == b"NOTSET" and any(given.get("pads", ()))


def _conv(inputs: Sequence[Tensor], given: Attributes) -> Tensor:
    x, weight, *bias = inputs
    sizes = weight.ndim - 2
    if _is_padded(given):
        pads = given["pads"]  # all begins, then all ends; torch wants pairs from the last axis on
        x = functional.pad(x, [pads[i + end] for i in reversed(range(sizes)) for end in (0, sizes)])
    convolve = {1: functional.conv1d, 2: functional.conv2d}[sizes]
    one = [1] * sizes
    return convolve(
        x,
        weight,
        bias[0] if bias else None,
        stride=given.get("strides", one),
        dilation=given.get("dilations", one),
        groups=given.get("group", 1),
    )


def _max_pool(inputs: Sequence[Tensor], given: Attributes) -> Tensor:
    kernel = given["kernel_shape"]
    strides, dilations = given.get("strides", [1] * len(kernel)), given.get("dilations", [1] * len(kernel))
    if _is_padded(given) or given.get("ceil_mode", 0) or any(d != 1 for d in dilations) or len(kernel) != 2:
        raise ValueError(f"MaxPool with {given} is not known; known is one over two axes without padding")
    return functional.max_pool2d(inputs[0], kernel, strides)


def _maximum(inputs: Sequence[Tensor], _: Attributes) -> Tensor:
    highest = inputs[0]
    for x in inputs[1:]:
        highest = torch.maximum(highest, x)
    return highest


def _unsqueeze(inputs: Sequence[Tensor], given: Attributes) -> Tensor:
    (x,) = inputs
    for axis in sorted(given["axes"]):  # each counts in the result
        x = x.unsqueeze(axis)
    return x


def _reduce_max(inputs: Sequence[Tensor], given: Attributes) -> Tensor:
    return inputs[0].amax(given["axes"], keepdim=bool(given.get("keepdims", 1)))


OPERATORS: dict[str, Callable[[Sequence[Tensor], Attributes], Tensor]] = {
    "Add": lambda x, _: x[0] + x[1],
    "Conv": _conv,
    "Div": lambda x, _: x[0] / x[1],
    "Log": lambda x, _: x[0].log(),
    "MatMul": lambda x, _: x[0] @ x[1],
    "Max": _maximum,
    "MaxPool": _max_pool,
    "Mul": lambda x, _: x[0] * x[1],
    "Pow": lambda x, _: x[0].pow(x[1]),
    "ReduceMax": _reduce_max,
    "Relu": lambda x, _: x[0].relu(),
    "Sqrt": lambda x, _: x[0].sqrt(),
    "Transpose": lambda x, given: x[0].permute(given["perm"]),
    "Unsqueeze": _unsqueeze,
}


class OnnxNetwork(nn.Module):
    """An ONNX network of one input and one output, from the bytes of its file; its weights are buffers.

    Source: https://onnx.ai/onnx/operators, operator set 12.
    Shapes: those of the network.
    Raises: ValueError if it has an operator that is not in OPERATORS, a newer operator set, or other inputs or outputs.
    """

    def __init__(self, network: bytes) -> None:
        super().__init__()
        import onnx  # needed by workers with a GPU alone

        model = onnx.load_from_string(network)
        graph = model.graph
        unknown = sorted({node.op_type for node in graph.node} - set(OPERATORS))
        newest = max(opset.version for opset in model.opset_import)
        weights = {weight.name: onnx.numpy_helper.to_array(weight) for weight in graph.initializer}
        inputs = [entry.name for entry in graph.input if entry.name not in weights]
        if unknown or newest > OPERATOR_SET:
            raise ValueError(
                f"operators {', '.join(unknown) or 'known'}, set {newest}: known are {', '.join(OPERATORS)} of set "
                f"{OPERATOR_SET}; add the operator to {__name__}"
            )
        if len(inputs) != 1 or len(graph.output) != 1:
            raise ValueError(f"network has inputs {inputs} and {len(graph.output)} outputs, one of each is known")
        self._input, self._output = inputs[0], graph.output[0].name
        self._weights = {name: f"weight_{number}" for number, name in enumerate(weights)}
        for name, value in weights.items():
            self.register_buffer(self._weights[name], torch.from_numpy(value.copy()))
        self._nodes = [
            (
                OPERATORS[node.op_type],
                list(node.input),
                node.output[0],
                {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute},
            )
            for node in graph.node
        ]
        last_use = {name: number for number, (_, names, _, _) in enumerate(self._nodes) for name in names}
        self._done = [
            [name for name in set(names) if last_use[name] == number and name not in weights and name != self._output]
            for number, (_, names, _, _) in enumerate(self._nodes)
        ]

    def forward(self, x: Tensor) -> Tensor:
        values = {name: getattr(self, buffer) for name, buffer in self._weights.items()} | {self._input: x}
        for (operator, names, output, given), done in zip(self._nodes, self._done, strict=True):
            values[output] = operator([values[name] for name in names], given)
            for name in done:  # a trunk's activations together are ten times its largest
                del values[name]
        return values[self._output]
