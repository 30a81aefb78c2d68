"""Settings of a training held against the row that is to be trained, before anything is."""

from collections.abc import Sequence

from clean_corpus.enhancers.method import Method, Stage
from clean_corpus.enhancers.training.adversarial_steps import ADVERSARIAL
from clean_corpus.enhancers.training.config import TrainConfig
from clean_corpus.pipeline.core.errors import ConfigError, nearest

PESQ_RATE = 16000  # of wide-band PESQ, Hz


def check(name: str, row: Method, stages: Sequence[Stage], config: TrainConfig) -> None:
    """Check that a row has what the settings name, in each of its stages that are to be trained.

    Raises: ConfigError for an unknown stage or loss, a stage without a loss, now or at its begin, and another rate.
    """
    losses = {loss for stage in stages for loss in stage.losses} | ({ADVERSARIAL} if row.adversary else set())
    for option, given, known in (
        ("stages", config.stages, {stage.name for stage in row.schedule}),
        ("loss_weights", config.loss_weights, losses),
        ("losses_from", config.losses_from, losses),
    ):
        for word in given:
            if word not in known:
                choices = ", ".join(sorted(known))
                raise ConfigError(f"{option}: {name} has no {word!r}, only {choices}{nearest(word, known)}")
    for stage in stages:
        _check_losses(f"stage {stage.name!r} of {name}", row, stage, config)
    if config.mix.sample_rate != row.sample_rate:
        raise ConfigError(
            f"mix.sample_rate is {config.mix.sample_rate} Hz, that of {name} is {row.sample_rate}; set "
            f"mix.sample_rate={row.sample_rate}"
        )
    if config.pesq_pairs and row.sample_rate != PESQ_RATE:
        raise ConfigError(
            f"pesq_pairs {config.pesq_pairs}: wide-band PESQ is of {PESQ_RATE} Hz, {name} has {row.sample_rate}; set "
            "pesq_pairs=0"
        )


def _check_losses(where: str, row: Method, stage: Stage, config: TrainConfig) -> None:
    weights = {name: config.loss_weights.get(name, weight) for name, (_, weight) in stage.losses.items()}
    if is_adversarial(row, stage):
        weights[ADVERSARIAL] = config.loss_weights.get(ADVERSARIAL, 1.0)
    if not any(weights.values()):
        raise ConfigError(f"loss_weights: every loss of {where} has weight 0; leave one above 0")
    if all(config.losses_from.get(name, 0.0) for name, weight in weights.items() if weight):
        raise ConfigError(f"losses_from: no loss of {where} counts from its first step on; leave one at 0")


def is_adversarial(row: Method, stage: Stage) -> bool:
    """Return whether a stage has a critic: the last one of a row with an adversary."""
    return row.adversary is not None and stage.name == row.schedule[-1].name
