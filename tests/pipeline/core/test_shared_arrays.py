"""What worker processes of a training get, and what they must not: copies of the recordings, locks, signal handlers."""

import multiprocessing
import resource
import signal
import threading
from functools import partial

import numpy as np
import pytest
from torch.utils.data import Dataset

from clean_corpus.enhancers.training.mixing import MixConfig, Mixtures
from clean_corpus.enhancers.training.recordings import Recording
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.shared_arrays import SharedArrays
from clean_corpus.pipeline.training.loop import loader

LOCK = threading.Lock()
ARRAYS = [np.arange(5, dtype=np.int16), np.zeros((2, 0), np.int16), np.arange(6, dtype=np.int16).reshape(2, 3)]


def report(several, pipe):
    pipe.send([[(x.tolist(), x.dtype.str, x.flags.writeable, base(x)) for x in mapped] for mapped in several])


def base(x):
    while x.base is not None and not isinstance(x, np.memmap):
        x = x.base
    return type(x).__name__


def test_each_process_maps_the_same_arrays():
    context = multiprocessing.get_context("forkserver")
    several, received = [SharedArrays(ARRAYS), SharedArrays([])], []
    for _ in range(2):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=report, args=(several, there))
        process.start()
        assert here.poll(60)
        received.append(here.recv())
        process.join()
    assert received == [[[(x.tolist(), "<i2", False, "memmap") for x in ARRAYS], []]] * 2


def test_a_full_disk_is_said_with_the_size_and_the_remedy():
    mapped = SharedArrays([np.zeros(10**6, np.int16)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, before[1]))
    try:
        with pytest.raises(ConfigError, match=r"workers: 0\.0 GB .* do not fit into .*TMPDIR .* workers=0"):
            mapped._file  # noqa: B018
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Inherited(Dataset):
    """Whether the lock is free, and who handles SIGTERM."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        free = LOCK.acquire(timeout=1)
        return index, int(free), int(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)


def test_a_worker_inherits_neither_a_held_lock_nor_a_signal_handler():
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with LOCK:
            batches = [[int(x) for x in batch] for batch in loader(Inherited(), 1, workers=1)]
    finally:
        signal.signal(signal.SIGTERM, previous)
    assert batches == [[0, 1, 1], [1, 0, 1]]  # the second time the worker itself holds the lock


def test_mixtures_are_the_same_from_workers_epoch_after_epoch():
    rng = np.random.default_rng(0)
    voices = {"a": [Recording(f"{i}", (rng.normal(size=9000) * 3000).astype(np.int16)) for i in range(3)]}
    noise = [rng.normal(size=9000).astype(np.float32)]
    pairs = Mixtures(voices, noise, MixConfig(seconds=0.2, room_share=0), seed=1, length=4)
    expected, workers = (partial(loader, pairs, 2, workers=n)() for n in (0, 2))
    for _ in range(2):
        for one, other in zip(expected, workers, strict=True):
            assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))
