"""A row of the table: its stages in order, its network with other sizes."""

import pytest

from clean_corpus.enhancers.models.cgcrn import CGCRN
from clean_corpus.enhancers.table import method
from clean_corpus.pipeline.core.errors import ConfigError


def test_the_last_stage_is_the_rows_own():
    row = method("crn-dnn-dec-sep")
    assert [stage.name for stage in row.schedule] == ["autoencoders", "masks", "signals", "final"]
    last = row.schedule[-1]
    assert (last.target, last.losses, last.parts) == (row.target, row.losses, row.parts)


def test_sizes_replace_those_of_the_paper():
    network = method("cgcrn").build(channels=(4, 4, 8, 8, 16), groups=4)
    assert isinstance(network, CGCRN) and len(network.grus) == 4


def test_sizes_that_cannot_be_are_explained():
    with pytest.raises(ConfigError, match=r"size 'chanels'.*did you mean 'channels'"):
        method("cgcrn").build(chanels=3)
    with pytest.raises(ConfigError, match=r"sizes \{'groups': 3\}: 1024 bottleneck features do not split into 3"):
        method("cgcrn").build(groups=3)
