"""A stream in pieces of one length, however it comes."""

import numpy as np

from clean_corpus.pipeline.audio.pieces import Pieces


def test_pieces_are_the_stream_in_order_and_the_last_is_shorter():
    x = np.arange(46, dtype=np.float32).reshape(23, 2)
    for cuts in ([], [1, 2, 3], [5, 10, 11, 22], [20]):
        pieces = Pieces(5)
        found = [piece for part in np.split(x, cuts) for piece in pieces.push(part)]
        found += list(pieces.flush())
        assert [len(piece) for piece in found] == [5, 5, 5, 5, 3]
        np.testing.assert_array_equal(np.concatenate(found), x)
        assert list(pieces.flush()) == []
