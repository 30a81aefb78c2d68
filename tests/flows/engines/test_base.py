"""Settings of an engine that cannot work are refused, and the engine that they name is opened."""

import pytest

from clean_corpus.flows.engines import open_engine
from clean_corpus.flows.engines.base import EngineConfig
from clean_corpus.pipeline.core.config_input import validate
from clean_corpus.pipeline.core.errors import ConfigError


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gpus_per_worker": 1.5}, "gpus_per_worker"),
        ({"gpus_per_worker": 0.33333}, "steps of 0.0001"),
        ({"cpus_per_worker": 0}, "cpus_per_worker"),
        ({"workers": 0}, "workers"),
        ({"kind": "dask"}, "kind"),
        ({"address": "ray://head:10001"}, "ray start --address=HOST:PORT --num-cpus=0"),
        ({"address": "head"}, "HOST:PORT or auto"),
        ({"adress": "auto"}, "did you mean 'address'"),
    ],
)
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        validate(EngineConfig, settings)


def test_ray_without_ray_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"clean-corpus\[ray\]"):
        open_engine(EngineConfig(kind="ray"))
