"""The table of systems: each row is complete, and names are explained."""

import pytest

from clean_corpus.enhancers.catalogue import PAPERS
from clean_corpus.enhancers.table import ENHANCERS, method
from clean_corpus.pipeline.core.errors import ConfigError


@pytest.mark.parametrize("name", ENHANCERS)
def test_a_row_has_a_known_paper_and_losses_in_every_stage(name):
    row = method(name)
    assert row is ENHANCERS[name] and row.paper in PAPERS
    assert row.sample_rate == (48000 if name.startswith("full-band") else 16000)
    assert all(stage.losses and callable(stage.target) for stage in row.schedule)
    assert len({stage.name for stage in row.schedule}) == len(row.schedule)


def test_an_unknown_name_is_explained():
    with pytest.raises(ConfigError, match="did you mean 'cgcrn'"):
        method("cgcnr")
    with pytest.raises(ConfigError, match=r"run it as sgmse\+:PATH"):
        method("sgmse+")
