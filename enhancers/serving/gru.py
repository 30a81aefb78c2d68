"""GRUs on a processor: ONNX Runtime takes half of torch's time over the same sums, a kernel for wide ones a quarter."""

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from clean_corpus.pipeline.quality.onnx_parts import session

OPERATOR_SET, IR_VERSION = 14, 8
WIDE_FROM, FEW_CLIPS = 256, 3  # layers so wide, over so few clips at once, wait for their weights


class FastGru(nn.GRU):
    """A GRU of one layer with biases for inference on a processor, on one thread; its weights are read once.

    Shapes and results are those of nn.GRU within 1e-6.
    """

    _session: onnxruntime.InferenceSession | None = None
    _halves: list[np.ndarray] | None = None

    @property
    def _ways(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if torch.compiler.is_compiling():  # an export traces torch's own
            return super().forward(x, hidden)
        frames = x.transpose(0, 1) if self.batch_first else x
        if hidden is None:
            hidden = x.new_zeros(1 + self.bidirectional, frames.shape[1], self.hidden_size)
        if self.hidden_size >= WIDE_FROM and frames.shape[1] <= FEW_CLIPS and self._reads_halves():
            y, last = self._by_halves(frames, hidden)
            return (y.transpose(0, 1) if self.batch_first else y), last
        self._session = self._session or session(self._network())
        given = {"x": frames.contiguous().numpy(), "hidden": hidden.contiguous().numpy()}
        outputs, last = map(torch.from_numpy, self._session.run(None, given))
        y = outputs.transpose(1, 2).flatten(2)  # (T, directions, B, H) -> (T, B, directions * H)
        return (y.transpose(0, 1) if self.batch_first else y), last

    def _reads_halves(self) -> bool:
        """Return whether recurrent weights are numbers of 16 bits, which are laid out for `recurrence` then."""
        if self._halves is None:
            from clean_corpus.enhancers.serving import recurrence  # its Numba loads for a second

            recurrent = [self.get_parameter(f"weight_hh_l0{way}").detach().numpy() for way in self._ways]
            exact = all(map(recurrence.can_run, recurrent))
            self._halves = [recurrence.tiled(weights) for weights in recurrent] if exact else []
        return bool(self._halves)

    def _by_halves(self, frames: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Shapes: (T, B, I), (directions, B, H) -> (T, B, directions * H), (directions, B, H)."""
        from clean_corpus.enhancers.serving import recurrence

        outputs, last = [], hidden.clone(memory_format=torch.contiguous_format)
        for way, weights, state in zip(self._ways, self._halves, last, strict=True):
            of_inputs, of_state = (self.get_parameter(f"bias_{kind}_l0{way}") for kind in ("ih", "hh"))
            bias = of_inputs + torch.cat((of_state[: 2 * self.hidden_size], of_state.new_zeros(self.hidden_size)))
            given = frames.flip(0) if way else frames
            gates = functional.linear(given, self.get_parameter(f"weight_ih_l0{way}"), bias).contiguous()
            y = gates.new_empty(*gates.shape[:2], self.hidden_size)
            new = of_state[2 * self.hidden_size :].detach().contiguous()
            recurrence.run(gates.numpy(), weights, new.numpy(), state.numpy(), y.numpy())
            outputs.append(y.flip(0) if way else y)
        return torch.cat(outputs, -1), last

    def _network(self) -> bytes:
        """Return the layer as an ONNX network, whose gates are in another order: update, reset, new."""
        ways = self._ways
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
