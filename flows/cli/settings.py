"""Settings of a command from its options: the YAML file, the single settings over it, all of it validated."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clean_corpus.pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from clean_corpus.flows.config import RunConfig


def read_yaml(config: str | None) -> dict[str, Any]:
    """Return what a YAML file says, local or in a bucket; nothing if none is named.

    Raises: ConfigError if it cannot be read, or holds something else than settings.
    """
    if config is None:
        return {}
    from clean_corpus.pipeline.core.config_input import load_yaml
    from clean_corpus.pipeline.core.locations import parse_location
    from clean_corpus.pipeline.storage import staging

    with staging.local_input(parse_location(config)) as path:
        return load_yaml(path)


def run_config(
    source: str, output: str, config: str | None, enhancer: str | None, settings: list[str], workers: int | None
) -> "RunConfig":
    """Return the validated configuration of a run from the options of `run` and `yield`.

    Raises: ConfigError for a setting that does not exist or cannot be, or if `source` is no file or folder.
    """
    from clean_corpus.flows.config import RunConfig
    from clean_corpus.pipeline.core.config_input import override, validate
    from clean_corpus.pipeline.core.locations import parse_location

    data = read_yaml(config)
    data |= {"input": source, "output": output}
    if enhancer:
        data["enhancer"] = enhancer
    if workers:
        data = override(data, [f"engine.workers={workers}"])
    if isinstance(found := parse_location(source), Path) and not found.exists():
        raise ConfigError(f"INPUT {source}: no such file or folder")
    parse_location(output)
    return validate(RunConfig, override(data, settings))


def workers_or_share(workers: int | None) -> int:
    """Return the number of worker processes asked for, or as many as share this machine's GPUs, else its cores."""
    from clean_corpus.flows.engines.base import EngineConfig
    from clean_corpus.flows.engines.machine import workers_here

    return workers_here(EngineConfig(workers=workers))[0]


def workers_or_cores(workers: int | None) -> int:
    """Return the number of worker processes asked for, or one for each usable core, if memory suffices for them."""
    from clean_corpus.flows.engines.machine import workers_that_fit

    return workers or workers_that_fit()
