"""GRUs on a processor: ONNX Runtime takes half of torch's time over the same sums."""

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from clean_corpus.pipeline.quality.onnx_parts import session

OPERATOR_SET, IR_VERSION = 14, 8


class FastGru(nn.GRU):
    """A GRU of one layer with biases for inference on a processor, on one thread; its weights are read once.

    Shapes and results are those of nn.GRU within 1e-6.
    """

    _session: onnxruntime.InferenceSession | None = None

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if torch.compiler.is_compiling():  # an export traces torch's own
            return super().forward(x, hidden)
        self._session = self._session or session(self._network())
        frames = x.transpose(0, 1) if self.batch_first else x
        if hidden is None:
            hidden = x.new_zeros(1 + self.bidirectional, frames.shape[1], self.hidden_size)
        given = {"x": frames.contiguous().numpy(), "hidden": hidden.contiguous().numpy()}
        outputs, last = map(torch.from_numpy, self._session.run(None, given))
        y = outputs.transpose(1, 2).flatten(2)  # (T, directions, B, H) -> (T, B, directions * H)
        return (y.transpose(0, 1) if self.batch_first else y), last

    def _network(self) -> bytes:
        """Return the layer as an ONNX network, whose gates are in another order: update, reset, new."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        inputs, recurrent, *biases = (
            np.stack([self._gates(f"{kind}_l0{way}") for way in ways])
            for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        node = helper.make_node(
            "GRU",
            ["x", "inputs", "recurrent", "biases", "", "hidden"],
            ["y", "last"],
            hidden_size=self.hidden_size,
            linear_before_reset=1,
            direction="bidirectional" if self.bidirectional else "forward",
        )
        directions, size = len(ways), self.hidden_size
        arrays = {"inputs": inputs, "recurrent": recurrent, "biases": np.concatenate(biases, 1)}
        graph = helper.make_graph(
            [node],
            "gru",
            [_floats("x", "T", "B", self.input_size), _floats("hidden", directions, "B", size)],
            [_floats("y", "T", directions, "B", size), _floats("last", directions, "B", size)],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        )
        opset = helper.make_opsetid("", OPERATOR_SET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION).SerializeToString()

    def _gates(self, name: str) -> np.ndarray:
        reset, update, new = getattr(self, name).detach().chunk(3)
        return torch.cat((update, reset, new)).numpy()


def _floats(name: str, *shape: int | str) -> object:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def use_fast_grus(network: nn.Module) -> None:
    """Replace the GRUs of a network that have one layer and biases, in place, for inference on a processor."""
    for module in list(network.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is nn.GRU and layer.num_layers == 1 and layer.bias:
                sizes = layer.input_size, layer.hidden_size
                fast = FastGru(*sizes, batch_first=layer.batch_first, bidirectional=layer.bidirectional)
                fast.load_state_dict(layer.state_dict())
                setattr(module, name, fast.eval())
