"""The number of cores follows what this process may use."""

import os

from clean_corpus.pipeline.core.cores import usable_cores


def test_no_more_cores_than_this_process_is_bound_to():
    allowed = os.sched_getaffinity(0)
    assert 1 <= usable_cores() <= len(allowed)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
