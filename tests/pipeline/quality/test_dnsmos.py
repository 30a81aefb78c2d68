"""DNSMOS against speechmos itself."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile as sf
from speechmos.dnsmos import DNSMOS as Speechmos

from clean_corpus.pipeline.quality import dnsmos, onnx_parts
from clean_corpus.pipeline.quality.dnsmos import RATE, Dnsmos
from tests.support import signals


def one_thread(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def speechmos() -> Speechmos:
    paths = [dnsmos.network_path(file) for file in dnsmos.NETWORKS.values()]
    peer = Speechmos(*map(str, paths))
    peer.onnx_sess, peer.p808_onnx_sess = map(one_thread, paths)  # the same results in less time
    return peer


@pytest.fixture(scope="module")
def ours() -> Dnsmos:
    return Dnsmos("speechmos")


@pytest.fixture(scope="module")
def whole() -> Dnsmos:
    return Dnsmos("whole")


def assert_equal_scores(ours: dict[str, float], theirs: dict[str, float]) -> None:
    names = {"sig": "sig_mos", "bak": "bak_mos", "ovrl": "ovrl_mos", "p808": "p808_mos"}
    # float32 sums in another order; 1e-5 MOS and less is usual, 1e-3 is far below what a listener could tell
    assert ours == pytest.approx({f"dnsmos_{ours}": theirs[name] for ours, name in names.items()}, abs=1e-3)


# repeated, with a period of whole trunk outputs and of no whole frame; to one window
@pytest.mark.parametrize("n_samples", [3 * RATE, 24011, 10 * RATE - 1])
def test_equals_speechmos(ours, speechmos, n_samples):
    x = signals.noisy_speech(16, 12.0, seed=1)[:n_samples]
    assert_equal_scores(ours(x), speechmos(x, RATE, False))


def test_equals_speechmos_over_several_windows_and_where_it_skips_some(ours, speechmos):
    x = signals.noisy_speech(34, 20.0, seed=1)
    assert dnsmos.window_hops(x.size) == [*range(7), 24]
    assert_equal_scores(ours(x), speechmos(x, RATE, False))


@pytest.mark.parametrize("name", ["crowd/*/*/*.wav", "speech/dev/*/*.flac"])
def test_equals_speechmos_on_a_real_clip(ours, speechmos, real_data, name):
    paths = sorted(real_data.glob(name))
    if not paths:
        pytest.skip(f"no {name} in {real_data}")
    x, _ = sf.read(paths[-1], dtype="float32")
    assert_equal_scores(ours(x), speechmos(x, RATE, False))


# a clip that is repeated, and one whose end is that of no window of speechmos
@pytest.mark.parametrize("n_samples", [3 * RATE, 10 * RATE + 77])
def test_a_whole_clip_is_the_weighted_mean_of_windows_that_cover_it(whole, speechmos, n_samples):
    x = signals.noisy_speech(13, 12.0, seed=1)[:n_samples]
    padded, starts = dnsmos.whole_clip(x)
    ends = starts * dnsmos.FRAME_HOP + dnsmos.WINDOW
    assert starts[0] == 0 and n_samples <= ends[-1] == len(padded) and np.all(np.diff(starts) <= dnsmos.FRAMES_PER_HOP)
    np.testing.assert_array_equal(padded[:n_samples], x)
    windows = [speechmos(padded[end - dnsmos.WINDOW : end], RATE, False) for end in ends]
    share = dnsmos.shares(starts)
    means = {name: float(share @ [window[name] for window in windows]) for name in windows[0]}
    assert share.sum() == pytest.approx(1)
    assert_equal_scores(whole(x), means)


def test_every_second_of_a_clip_counts_alike():
    _, starts = dnsmos.whole_clip(np.zeros(20 * RATE, np.float32))
    share, frames = dnsmos.shares(starts), dnsmos.WINDOW // dnsmos.FRAME_HOP
    heard = np.zeros(starts[-1] + frames)
    held = sum((np.arange(len(heard)) >= s) & (np.arange(len(heard)) < s + frames) for s in starts)
    for start, weight in zip(starts, share, strict=True):
        part = slice(start, start + frames)
        heard[part] += weight / np.sum(1 / held[part]) / held[part]
    assert np.ptp(heard) < 1e-9


def test_a_tail_beyond_the_last_whole_window_is_heard(ours, whole):
    """Speechmos hears 10.01 s of 11.9 s, and nothing of the noise that follows."""
    clean = signals.noisy_speech(11.9, 40.0, seed=1)
    spoilt = clean.copy()
    spoilt[-int(1.8 * RATE) :] = 0.1 * np.random.default_rng(0).standard_normal(int(1.8 * RATE))
    assert ours(spoilt)["dnsmos_bak"] == ours(clean)["dnsmos_bak"]
    assert whole(spoilt)["dnsmos_bak"] < whole(clean)["dnsmos_bak"] - 0.1


def test_the_trunks_run_once_per_frame_not_once_per_window(ours, monkeypatch):
    n_frames = {"_p835": [], "_p808": []}
    for name, seen in n_frames.items():
        network = getattr(ours, name)
        run = network._trunk
        monkeypatch.setattr(
            network, "_trunk", lambda frames, seen=seen, run=run: seen.append(frames.shape[:2]) or run(frames)
        )
    x = signals.speech(15, seed=1)
    x[8 * RATE : 8 * RATE + 800] = np.sin(np.arange(800))  # in all windows, and the loudest
    ours(x)  # 6 windows: 14 s, the heads of all but the first and the tails of all but the last
    ours(signals.speech(2, seed=1))  # repeated to 16 s, 7 windows, 200 frames a period
    once = [(1, 312), *3 * [(1, 324)], (1, 212)]  # 1400 frames, each stretch of 300 sees 12 more on each side
    assert n_frames["_p835"] == [*once, (5, 24), (5, 24), (1, 224), (6, 24), (7, 24)]
    assert n_frames["_p808"] == n_frames["_p835"]


def test_extracting_everything_gives_the_network():
    path = dnsmos.network_path("model_v8.onnx")
    part = onnx_parts.extract(path, ("input_1", ("N", 900, 120)), ("Identity:0", ("N", 1)))
    x = np.random.default_rng(0).standard_normal((2, 900, 120)).astype(np.float32)
    ours, theirs = (s.run(None, {"input_1": x})[0] for s in (onnx_parts.session(part), one_thread(path)))
    np.testing.assert_array_equal(ours, theirs)


def test_extracting_without_a_path_is_refused():
    path = dnsmos.network_path("model_v8.onnx")
    for begin, end in (("nowhere", "Identity:0"), ("input_1", "nowhere"), ("Identity:0", "input_1")):
        with pytest.raises(ValueError, match=f"{begin}.*{end}"):
            onnx_parts.extract(path, (begin, (1,)), (end, (1,)))


@pytest.fixture
def two_layers() -> bytes:
    """Convolutions of 1 to 4 and 4 to 2 channels, a rectifier between them; the second hears nothing of 1 and 3."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    shapes = {"a/kernel:0": (4, 1, 3, 3), "a/bias:0": (4,), "b/kernel:0": (2, 4, 3, 3), "b/bias:0": (2,)}
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["b/kernel:0"][:, [1, 3]] = 0
    nodes = [
        helper.make_node("Conv", ["x", "a/kernel:0", "a/bias:0"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "b/kernel:0", "b/bias:0"], ["y"]),
    ]
    entry, end = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("B", channels, "T", "F"))
        for name, channels in (("x", 1), ("y", 2))
    )
    weights = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "two", [entry], [end], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


def test_a_network_without_channels_that_nothing_hears_gives_the_same(two_layers):
    less = onnx_parts.without_channels(two_layers, "a", "b", (1, 3))
    shapes = [tuple(array.dims) for array in onnx_parts.loaded(less).graph.initializer]
    assert shapes == [(2, 1, 3, 3), (2,), (2, 2, 3, 3), (2,)]
    x = np.random.default_rng(1).standard_normal((1, 1, 9, 9)).astype(np.float32)
    np.testing.assert_allclose(onnx_parts.runner(less)(x), onnx_parts.runner(two_layers)(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "channels", "says"),
    [("ac", (1,), "no 'c/kernel:0'"), ("ab", (1, 4), r"a/kernel:0 \(4, 1, 3, 3\): no .*4")],
)
def test_channels_that_are_not_there_are_refused(two_layers, layers, channels, says):
    with pytest.raises(ValueError, match=says):
        onnx_parts.without_channels(two_layers, *layers, channels)
