"""The path of a GPU on the CPU: the scores of a core within 0.001, and what goes to the device when."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.quality import batched_scorer, device, dnsmos
from clean_corpus.pipeline.quality.batched_scorer import BatchedScorer
from clean_corpus.pipeline.quality.batched_trunk import BatchedTrunk
from clean_corpus.pipeline.quality.dnsmos_batched import BatchedDnsmos
from clean_corpus.pipeline.quality.scorer import Scorer
from tests.support import signals

RATE = 16000


@pytest.fixture(scope="module")
def batched():
    return BatchedScorer(speech_threshold=0.5, dnsmos_windows="whole", device="cpu")


@pytest.fixture(scope="module")
def one_by_one():
    return Scorer(speech_threshold=0.5, dnsmos_windows="whole")


def clips() -> dict[str, np.ndarray]:
    """Clips that repeat after whole trunk outputs, after no whole frame, and that have several windows, of other
    loudest bands; and those that no network hears."""
    x = signals.noisy_speech(13, 12.0, seed=1)
    long = x[: 10 * RATE + 77].copy()
    long[100:900] = np.sin(np.arange(800))  # in the first window alone, and the loudest
    return {
        "short": x[:17600], "odd": x[: RATE + 11], "long": long, "other": x[2 * RATE : 3 * RATE],
        "silent": np.zeros(RATE, np.float32), "too short": x[:800], "too loud": 3 * x[:9600],
    }  # fmt: skip


def assert_close(found, wanted):
    assert list(found) == list(wanted), "the same scores in the same order"
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-3), name


def test_scores_are_those_of_a_core(batched, one_by_one):
    given = clips()
    found = dict(batched.score_all((name, batched.prepare(x, sample_rate=RATE)) for name, x in given.items()))
    assert list(found) == list(given)
    for name, x in given.items():
        assert_close(found[name], one_by_one.score(x, sample_rate=RATE))
    assert found["silent"]["dnsmos_ovrl"] is None and found["too loud"]["dnsmos_ovrl"] is not None
    alone = batched.score(given["short"], sample_rate=RATE)
    assert_close(alone, found["short"])  # whoever lies beside it


def test_scores_of_the_windows_of_speechmos_are_those_of_a_core():
    x = [signals.noisy_speech(2.2, 12.0, seed=2), signals.noisy_speech(1.0, 5.0, seed=3)]
    ours, theirs = BatchedDnsmos("speechmos", device="cpu"), dnsmos.Dnsmos("speechmos")
    for found, clip in zip(ours.start([ours.hear(clip) for clip in x])(), x, strict=True):
        assert found == pytest.approx(theirs(clip), abs=1e-3)


def test_scores_of_real_clips_are_those_of_a_core(batched, one_by_one, real_data):
    paths = sorted(real_data.glob("crowd/*/*/*.wav"))[::180]
    x = [soundfile.read(path, dtype="float32")[0][: 2 * RATE] for path in paths]
    found = dict(batched.score_all((number, batched.prepare(clip, sample_rate=RATE)) for number, clip in enumerate(x)))
    for number, clip in enumerate(x):
        assert_close(found[number], one_by_one.score(clip, sample_rate=RATE))


def test_the_next_clips_are_prepared_while_the_device_computes(batched, monkeypatch):
    """A batch is waited for once the one after it has been prepared and started, and none is started twice."""
    events = []
    monkeypatch.setattr(batched_scorer, "BATCH_S", 1.0)

    def start(batch):
        events.append(f"start {len(batch)}")
        return lambda: events.append("wait") or batch

    monkeypatch.setattr(batched, "_start", start)

    def prepared():
        for name in "abcde":
            events.append(name)
            yield name, batched_scorer.Prepared({}, None, None, 0.5)

    assert [name for name, _ in batched.score_all(prepared())] == list("abcde")
    assert events == ["a", "b", "start 2", "c", "d", "start 2", "wait", "e", "start 1", "wait", "wait"]


def test_rows_of_like_length_are_a_batch_and_a_batch_is_limited():
    trunk = BatchedTrunk(*dnsmos.parts("dnsmos_p808"), device="cpu", frames_at_once=700)
    shapes, run = [], trunk._trunk.forward
    trunk._trunk.forward = lambda x: shapes.append(tuple(x.shape[:2])) or run(x)
    x = signals.noisy_speech(2.5, 12.0, seed=1)
    stretches = [
        stretch
        for n in (16000, 17600, 19200)
        for _, bands in dnsmos.heard(x[:n], "whole").stretches
        for stretch in bands
    ]
    trunk(stretches)
    windows = len(np.concatenate([stretch.first for stretch in stretches]))
    assert shapes[:2] == [(1, 244), (2, 144)]  # periods of 220, 120 and 100 frames, and 24 more
    assert sum(rows for rows, length in shapes if length == 24) == 2 * windows - len(stretches)
    assert max(rows * length for rows, length in shapes) <= 700


def test_a_buffer_is_copied_once_on_its_way_to_the_device():
    rows = [np.arange(n, dtype=np.float32) for n in (3, 1)]
    batch = device.padded(rows, "cpu", 4)
    assert batch.tolist() == [[0, 1, 2, 0], [0, 0, 0, 0]]
    x = signals.speech(1, seed=1)
    prepared = BatchedScorer(speech_threshold=0.5, dnsmos_windows="whole", device="cpu").prepare(x, sample_rate=RATE)
    (speech, _), *_ = prepared.heard.stretches
    assert speech.frames.base is not None, "a view of the samples: what is staged is the first copy"


@pytest.mark.parametrize("ruler", dnsmos.NETWORKS)
def test_all_that_a_network_computes_with_is_on_its_device(ruler):
    """On torch's device without memory, which refuses to compute with what lies elsewhere, as a GPU does."""
    ((speech, bands),) = dnsmos.heard(signals.speech(1.1, seed=1), "whole").stretches
    found = BatchedTrunk(*dnsmos.parts(ruler), device="meta")([speech] if ruler == "dnsmos_p835" else bands)
    assert found.device.type == "meta" and found.shape == (1, 3 if ruler == "dnsmos_p835" else 1)


def test_a_gpu_reads_and_writes_page_locked_memory_and_is_waited_for_once_the_result_is_wanted(monkeypatch):
    """What torch is asked for, by a stand-in: there may be no GPU."""
    events = []
    here = SimpleNamespace(
        copy_=lambda _, non_blocking: events.append(("copy", non_blocking)), numpy=lambda: events.append("read")
    )
    event = SimpleNamespace(record=lambda: events.append("record"), synchronize=lambda: events.append("wait"))
    result = SimpleNamespace(device=SimpleNamespace(type="cuda"), shape=(2, 3), dtype=torch.float32)
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "Event", lambda: event)
        patched.setattr(torch, "empty", lambda shape, *, pin_memory, **_: events.append((shape, pin_memory)) or here)
        wait = device.fetched(result)
        assert events == [((2, 3), True), ("copy", True), "record"]
        wait()
    assert events[3:] == ["wait", "read"]
    batch = SimpleNamespace(to=lambda where, non_blocking: events.append((where, non_blocking)))
    monkeypatch.setattr(device, "staged", lambda rows, length, *, pinned: events.append(pinned) or batch)
    device.padded([np.zeros(3, np.float32)], "cuda")
    assert events[5:] == [True, ("cuda", True)]


def test_the_device_computes_in_full_precision_and_alike_each_time():
    before = torch._C._get_cudnn_allow_tf32(), torch._C._get_cudnn_deterministic()
    with device.full_precision():
        assert not torch._C._get_cudnn_allow_tf32() and torch._C._get_cudnn_deterministic()
        for operation in ("conv", "rnn", "matmul"):
            assert torch._C._get_fp32_precision_getter("cuda", operation) == "ieee"
    assert (torch._C._get_cudnn_allow_tf32(), torch._C._get_cudnn_deterministic()) == before


def test_a_clip_at_fault_is_refused_before_it_reaches_the_device(batched):
    with pytest.raises(DataError, match="sample-aligned"):
        batched.prepare(np.zeros(10, np.float32), sample_rate=RATE, clean=np.zeros(9, np.float32))
