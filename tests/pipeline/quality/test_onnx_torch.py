"""ONNX networks as modules of torch: each operator against ONNX Runtime, and what is not known is refused by name."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from clean_corpus.pipeline.quality import dnsmos
from clean_corpus.pipeline.quality.onnx_torch import OPERATORS, OnnxNetwork

RNG = np.random.default_rng(0)


def network(nodes, weights, *, inputs=("x",), opset=12) -> bytes:
    """Return a network of one output `y`."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in (*inputs, "y")]
    known = [numpy_helper.from_array(np.float32(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", infos[:-1], infos[-1:], known)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    return model.SerializeToString()


def assert_equal(given: bytes, x: np.ndarray) -> None:
    session = onnxruntime.InferenceSession(given, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    wanted = session.run(None, {entry.name: x})[0]
    with torch.inference_mode():
        found = OnnxNetwork(given)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)  # float32 sums in another order


def test_uneven_padding_strides_and_groups():
    """The networks' own convolutions are padded alike on all sides."""
    conv = helper.make_node("Conv", ["x", "w"], ["y"], pads=[0, 2, 1, 3], strides=[2, 1], dilations=[1, 2], group=2)
    x = RNG.standard_normal((2, 4, 9, 8)).astype(np.float32)
    assert_equal(network([conv], {"w": RNG.standard_normal((6, 2, 3, 2))}), x)


def test_a_value_that_is_used_twice_and_the_maximum_of_three():
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["u"], axes=[0, 3]),
        helper.make_node("Max", ["u", "low", "u"], ["m"]),
        helper.make_node("ReduceMax", ["m"], ["r"], axes=[1, 2]),
        helper.make_node("Mul", ["r", "u"], ["y"]),
    ]
    assert_equal(network(nodes, {"low": -0.5}), RNG.standard_normal((3, 5)).astype(np.float32))


@pytest.mark.parametrize("ruler", dnsmos.NETWORKS)
def test_both_parts_of_each_network_of_dnsmos(ruler):
    trunk, head = dnsmos.parts(ruler)
    (_, (_, _, n)), _, _ = dnsmos.CUTS[ruler]
    assert_equal(trunk, RNG.uniform(-1, 1, (2, 40, n)).astype(np.float32))
    bands = dnsmos.CUTS[ruler][1][1][-1]
    assert_equal(head, RNG.uniform(0, 1, (2, 32, 10, bands)).astype(np.float32))


def test_every_operator_is_one_of_the_networks():
    found = {node.op_type for ruler in dnsmos.NETWORKS for part in dnsmos.parts(ruler)
             for node in onnx.load_from_string(part).graph.node}  # fmt: skip
    assert found == set(OPERATORS)


@pytest.mark.parametrize(
    ("nodes", "more", "words"),
    [
        ([helper.make_node("Gelu", ["x"], ["y"])], {}, r"operators Gelu, set 12: known are Add, .* set 12"),
        ([helper.make_node("Relu", ["x"], ["y"])], {"opset": 13}, r"operators known, set 13"),
        ([helper.make_node("Add", ["x", "z"], ["y"])], {"inputs": ("x", "z")}, r"inputs \['x', 'z'\] and 1 outputs"),
    ],
)
def test_what_is_not_known_is_refused_by_name(nodes, more, words):
    with pytest.raises(ValueError, match=words):
        OnnxNetwork(network(nodes, {}, **more))


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER"), "auto_pad=SAME_UPPER"),
        (helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], ceil_mode=1), "MaxPool with .*ceil_mode"),
    ],
)
def test_attributes_that_are_not_known_are_refused_where_they_would_change_the_result(node, words):
    known = OnnxNetwork(network([node], {"w": np.zeros((1, 1, 3, 3))}))
    with pytest.raises(ValueError, match=words):
        known(torch.zeros(1, 1, 4, 4))
