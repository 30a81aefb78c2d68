"""Export of trained enhancers to ONNX files that clean live audio hop by hop: samples and state in, the same out."""

import json
import logging
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from clean_corpus.enhancers.domains.high_band import RATE
from clean_corpus.enhancers.serving.enhancer import Enhancer
from clean_corpus.enhancers.serving.full_band_stream import FullBandStream
from clean_corpus.enhancers.serving.streaming import LiveStream
from clean_corpus.enhancers.serving.upper_band import UpperBand
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError

OPSET = 20
AGREEMENT = 1e-4  # largest difference, at full scale 1, between the file's output and the network's


def export_streaming(enhancer: Enhancer, path: Path, *, upper: UpperBand | None = None) -> None:
    """Write an ONNX file; before it gets its name, onnxruntime's output is compared with the network's.

    With `upper`, the network of the band above, it works at 48 kHz (see full_band_stream.FullBandStream).
    Inputs are hop (1, hop_length) and state_0 ..; outputs are the cleaned hop and the next state. The file's metadata
    hold sample_rate, hop_length, head and delay in samples (see streaming.Stream), the shapes of the state, which
    starts as zeros except for the first `head` samples, the level that the network hears: running (see
    streaming.LiveStream) or as_is, and the hash of the weights.

    Raises: ConfigError if a network cannot run hop by hop, or `upper` is for another one; CleanCorpusError if the
    outputs differ.
    """
    stream, about = _stream(enhancer, upper)
    state = stream.initial_state(torch.zeros(1, stream.head))
    names = [f"state_{i}" for i in range(len(state))]
    given = (torch.zeros(1, stream.hop_length), *state)
    from onnxscript import optimizer  # an extra

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns about attributes of GRUs
        for name in ("torch.onnx", "onnxscript"):
            logging.getLogger(name).setLevel(logging.ERROR)
        program = torch.onnx.export(
            stream, given, dynamo=True, verbose=False, opset_version=OPSET, optimize=False,
            input_names=["hop", *names], output_names=["clean_hop", *(f"next_{n}" for n in names)],
        )  # fmt: skip
        optimizer.inline(program.model)
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)  # no more: it takes an addend of 1e-8 for 0, and silence is NaN
    shapes = json.dumps({n: list(x.shape) for n, x in zip(names, state, strict=True)})
    program.model.metadata_props.update(about | {"state_shapes": shapes})
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    program.save(unfinished, external_data=False)
    try:
        _check(unfinished, stream, int(about["sample_rate"]))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _stream(enhancer: Enhancer, upper: UpperBand | None) -> tuple[LiveStream | FullBandStream, dict[str, str]]:
    """Return what is exported, and the metadata that say what it is."""
    domain, rate, hashes = enhancer.row.domain, enhancer.sample_rate, {"weights_sha256": enhancer.sha256}
    name = enhancer.name
    try:
        stream = LiveStream(enhancer.network.cpu(), domain, sample_rate=rate, gain=enhancer.gain)
        if upper:
            name = f"{name} and the band above"
            stream, rate = FullBandStream(stream, upper.network.cpu(), upper.domain), RATE
            hashes |= {"upper_weights_sha256": upper.sha256}
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    running = upper is not None or domain.level == "rms"
    numbers = {"hop_length": stream.hop_length, "head": stream.head, "delay": stream.delay}
    about = {"name": enhancer.name, "sample_rate": str(rate), **{k: str(v) for k, v in numbers.items()}}
    return stream.eval(), about | hashes | {"level": "running" if running else "as_is"}


def _check(path: Path, stream: LiveStream | FullBandStream, sample_rate: int) -> None:
    """Compare the file's output with the network's for a second of silence, noise and silence."""
    noise = 0.1 * torch.randn(1, sample_rate // 2, generator=torch.Generator().manual_seed(0))
    x = torch.nn.functional.pad(noise, (sample_rate // 4, sample_rate // 4))
    wanted = stream.run(x)[0].numpy()
    found = OnnxStream(path).run(x[0].numpy())
    difference = float(np.abs(found - wanted).max())
    if not difference <= AGREEMENT:
        raise CleanCorpusError(
            f"{path.name}: its output differs from the network's by {difference:.2g}, at most {AGREEMENT:g} is allowed"
        )


class OnnxStream:
    """An exported file, run hop by hop on one thread.

    Raises: ConfigError if the file was not written by `export_streaming`.
    """

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        about = self.session.get_modelmeta().custom_metadata_map
        if "state_shapes" not in about:
            raise ConfigError(
                f"{path}: no metadata `state_shapes`; write it with: clean-corpus export-onnx NAME {path} --streaming"
            )
        self.hop_length, self.head, self.delay = (int(about[k]) for k in ("hop_length", "head", "delay"))
        self.sample_rate = int(about["sample_rate"])
        self._shapes = json.loads(about["state_shapes"])

    def initial_state(self, head: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the state of the first call.

        Shapes: head (self.head,), the first samples -> as the file's metadata say.
        """
        state = [np.zeros(shape, np.float32) for shape in self._shapes.values()]
        state[0][0, state[0].shape[1] - self.head :] = head
        return state

    def step(
        self, hop: NDArray[np.float32], state: list[NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """Run one hop and return the cleaned samples and the next state.

        Shapes: hop (hop_length,) -> (hop_length,), next state.
        """
        ready, *state = self.session.run(None, {"hop": hop[None]} | dict(zip(self._shapes, state, strict=True)))
        return ready[0], state

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run a whole recording hop by hop, followed by silence until its last sample is out.

        Shapes: (N,) -> (N,).
        """
        count = -(-(x.size + self.delay) // self.hop_length)
        padded = np.pad(x, (0, max(0, self.head + count * self.hop_length - x.size)))
        state, parts = self.initial_state(padded[: self.head]), []
        for hop in padded[self.head :].reshape(count, self.hop_length):
            ready, state = self.step(hop, state)
            parts.append(ready)
        return np.concatenate(parts)[self.delay : self.delay + x.size]
