"""A CTC network of one's own: one that hears tones, so the times of all words are known."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from clean_corpus.pipeline.core.config import TextConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.text.aligners import open_aligner
from clean_corpus.pipeline.text.alignment import Spoken
from clean_corpus.pipeline.text.spool import Piece
from tests.support import signals

RATE, FRAME = 16000, 320
TOKENS = {"<blank>": 0, "|": 1, "a": 2, "b": 3, "\u00f6": 4, "\u8bed": 5}
HZ = {token: 300.0 * (1 + number) for token, number in TOKENS.items() if number}
LETTER_S = 0.1


def write_network(path) -> None:
    """Write a network whose logits are the squared correlations of 20 ms with the tone of each token."""
    time_s = np.arange(FRAME) / RATE
    waves = [[np.sin(2 * np.pi * hz * time_s), np.cos(2 * np.pi * hz * time_s)] for hz in HZ.values()]
    kernel = np.float32(waves).reshape(2 * len(HZ), 1, FRAME) * (2 / FRAME)
    nodes = [
        helper.make_node("Unsqueeze", ["x", "one"], ["wave"]),
        helper.make_node("Conv", ["wave", "kernel"], ["parts"], strides=[FRAME]),
        helper.make_node("Mul", ["parts", "parts"], ["squares"]),
        helper.make_node("Conv", ["squares", "sums", "bias"], ["logits"]),
        helper.make_node("Transpose", ["logits"], ["y"], perm=[0, 2, 1]),
    ]
    sums = np.zeros((len(TOKENS), 2 * len(HZ), 1), np.float32)
    for number in range(len(HZ)):
        sums[number + 1, 2 * number : 2 * number + 2] = 20.0
    bias = np.float32([8.0, *[0.0] * len(HZ)])
    weights = {"one": np.int64([1]), "kernel": kernel, "sums": sums, "bias": bias}
    graph = helper.make_graph(
        nodes,
        "tones",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", "N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", "T", len(TOKENS)])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


@pytest.fixture
def model(tmp_path):
    write_network(tmp_path / "tones.onnx")
    (tmp_path / "tokens.txt").write_text("".join(f"{token} {number}\n" for token, number in TOKENS.items()))
    return tmp_path / "tones.onnx"


def spoken(text: str) -> np.ndarray:
    """Each letter a tone of 0.1 s and as much silence, the delimiter too."""
    parts = []
    for letter in text:
        parts += [signals.tone(HZ[letter], LETTER_S, RATE), signals.silence(LETTER_S, RATE)]
    return np.concatenate(parts)


def test_words_are_where_their_tones_are(model):
    aligner = open_aligner(TextConfig(aligner_model=model))
    assert aligner.name.startswith("ctc ")
    pieces = [Piece(0.0, spoken("ab|\u00f6a")), Piece(7.0, spoken("bb|a|\u8bed"))]
    found = aligner(pieces, "Ab, \u00d6a! Bb a\u8bed.", "de")
    starts = [at.start_s for at in found.located]
    np.testing.assert_allclose(starts, [0.0, 0.6, 7.0, 7.6, 8.0], atol=0.03)
    assert all(at.is_sure for at in found.located)
    assert found.between(-0.1, 2.0) == Spoken("Ab, \u00d6a!")
    assert found.between(6.9, 9.0) == Spoken("Bb a\u8bed.")
    other = aligner(pieces, "ab \u00f6a bb b\u8bed", None)  # b where a is heard
    assert not other.located[3].is_sure and other.between(-0.1, 2.0) == Spoken("ab \u00f6a")
    assert aligner(pieces, "xyz uvw", None) is None  # no token for these letters


def test_tokens_without_a_space_will_do(model):
    model.with_name("tokens.txt").unlink()
    vocabulary = {"~" if token == "|" else token: number for token, number in TOKENS.items()}
    model.with_name("vocab.json").write_text(json.dumps(vocabulary))
    pieces = [Piece(0.0, spoken("ab\u00f6a")), Piece(7.0, spoken("bba\u8bed"))]
    found = open_aligner(TextConfig(aligner_model=model))(pieces, "ab \u00f6a bb a\u8bed", None)
    np.testing.assert_allclose([at.start_s for at in found.located], [0.0, 0.4, 7.0, 7.4, 7.6], atol=0.03)
    assert found.between(6.9, 9.0) == Spoken("bb a\u8bed")


def test_a_file_that_is_no_such_network_is_refused(model):
    def refused(words, **settings):
        with pytest.raises(ConfigError, match=words):
            open_aligner(TextConfig(**settings))

    refused("set text.aligner_model", aligner="ctc")
    refused("no such file", aligner_model=model.with_name("other.onnx"))
    model.with_name("tokens.txt").write_text("<blk> 0\na 1\n")
    refused(
        r"takes \[\('x', \['B', 'N'\]\)\] .*, 6\].* expected samples \(1, N\) at .* \(1, T, 2\)", aligner_model=model
    )
    model.write_bytes(b"no network")
    refused("no ONNX network", aligner_model=model)
    tokens = model.with_name("tokens.txt")
    tokens.write_text("a b c")
    refused("expected a token and its number", aligner_model=model)
    tokens.write_text("a 0\n")
    refused("no token for the blank", aligner_model=model)
    tokens.unlink()
    refused("tokens.txt or vocab.json is missing", aligner_model=model)
    model.with_name("vocab.json").write_text('{"[PAD]": 0, "a": 1}')
    refused("no ONNX network", aligner_model=model)
    assert open_aligner(TextConfig(aligner=None)) is None
