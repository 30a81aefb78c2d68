"""The clock for spans of time goes on."""

import time

from clean_corpus.pipeline.core import clock


def test_the_clock_goes_on_as_the_monotonic_one_does():
    start_s, monotonic_s = clock.now_s(), time.monotonic()
    time.sleep(0.05)
    assert abs((clock.now_s() - start_s) - (time.monotonic() - monotonic_s)) < 0.04
