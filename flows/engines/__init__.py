"""Engines: where the calls of a run are worked on, on this machine or on a Ray cluster."""

import importlib.util

from clean_corpus.flows.engines.base import Engine, EngineConfig
from clean_corpus.pipeline.core.errors import ConfigError


def open_engine(config: EngineConfig) -> Engine:
    """Start the engine that the settings ask for.

    Raises: ConfigError if Ray is asked for and not installed, or what `RayEngine` raises.
    """
    if config.kind == "ray":
        if importlib.util.find_spec("ray") is None:
            raise ConfigError('engine.kind=ray needs Ray; run `pip install "clean-corpus[ray]"`')
        from clean_corpus.flows.engines.ray_engine import RayEngine

        return RayEngine(config)
    from clean_corpus.flows.engines.local import LocalEngine
    from clean_corpus.flows.engines.machine import visible_gpus, workers_here

    workers, share = workers_here(config)
    return LocalEngine(workers, visible_gpus() if share else [])
