"""Fingerprints and numbers come back from disk as they were put there."""

from tempfile import TemporaryFile

import numpy as np

from clean_corpus.pipeline.quality.fingerprint_file import FingerprintFile, PartitionedFile


def test_fingerprints_lie_one_behind_the_other():
    rows = [np.uint32([1, 0, 3]), np.uint32([]), np.uint32([4, 5])]
    with TemporaryFile() as file:
        held = FingerprintFile(file)
        assert [held.add(row) for row in rows] == [0, 1, 2]
        assert (held.starts.tolist(), held.audible.tolist(), held.longest) == ([0, 3, 3, 5], [2, 0, 2], 3)
        assert held.read(1, 5).tolist() == [0, 3, 4, 5]
        assert held.read(3, 5, padding=2).tolist() == [4, 5, 0, 0]


def test_numbers_come_back_part_by_part_in_the_order_they_were_added():
    rng = np.random.default_rng(0)
    parts, values = rng.integers(0, 5, 1000), rng.integers(0, 2**64, 1000, np.uint64)
    with TemporaryFile() as file:
        held = PartitionedFile(file, 6)
        for begin in range(0, 1000, 300):
            held.add(parts[begin : begin + 300], values[begin : begin + 300])
        for part in range(6):  # nothing is in the last one
            np.testing.assert_array_equal(held.read(part), values[parts == part])
