"""Checks of a run's settings before anything starts: no Prefect server, no worker, no recording read."""

import logging
from pathlib import Path
from typing import NamedTuple

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows import download_cache
from clean_corpus.flows.config import RunConfig
from clean_corpus.pipeline.core import extras
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import Location, S3Folder, parse_location
from clean_corpus.pipeline.corpus import own_files
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.discover.clean_references import require_folder
from clean_corpus.pipeline.export.destination import refuse_misplaced
from clean_corpus.pipeline.quality import distillmos, voice
from clean_corpus.pipeline.quality.gate import refuse_unreachable
from clean_corpus.pipeline.quality.scorer import CEILINGS
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.base import Store
from clean_corpus.pipeline.text.aligners import open_aligner
from clean_corpus.pipeline.text.transcribers import check_transcriber

LOG = logging.getLogger("clean_corpus")


class Networks(NamedTuple):
    """What enhances: the hash of the enhancer's weights, and what treats the band above its own with its hash.

    None stands for no network, and for no band above.
    """

    weights_sha256: str | None = None
    upper_band: str | None = None
    upper_band_sha256: str | None = None


def check(config: RunConfig) -> Networks:
    """Refuse settings that cannot work before anything is read; return the networks that will run.

    Raises: ConfigError that names the setting.
    """
    refuse_unreachable(config.gate, CEILINGS)
    require_extras(config)
    open_aligner(config.text)
    check_transcriber(config.text)
    if config.gate.cer_max is not None and config.text.transcriber is None:
        raise ConfigError(
            f"gate.cer_max {config.gate.cer_max:g} compares texts with what a recogniser hears; set text.transcriber"
        )
    weights = download_cache.weights(config.enhancer, config.s3) if config.enhances else None
    networks = _networks(weights, config) if weights else Networks()
    if not weights and config.variants:
        raise ConfigError(
            "variants, which --compare sets, need an enhanced version of each clip; with enhancer none there is none"
        )
    if not weights and config.gate.prefer == "enhanced":
        raise ConfigError("gate.prefer is enhanced, and with enhancer none nothing is; leave one of them out")
    if config.score.clean_dir:
        require_folder(config.score.clean_dir, "score.clean_dir", config.s3)
    if _same(config.input, config.output):
        raise ConfigError(f"INPUT and OUTPUT are both {config.input}; choose another OUTPUT")
    if own := own_files.own_folder(config.input, config.output):
        raise ConfigError(
            f"INPUT {config.input} lies in {own}/ of OUTPUT {config.output}, where a run keeps its own files; choose "
            "another OUTPUT"
        )
    if to := config.export_to:
        refuse_misplaced(to, config.input, config.output, "export.to")
    return networks


def _networks(weights: str, config: RunConfig) -> Networks:
    """Return the networks of a run with these weights.

    Raises: ConfigError if there are no such weights, or if they are for the other band.
    """
    checkpoints.require_enhancer(weights)
    sha256, upper = (
        checkpoints.weights_sha256(weights),
        download_cache.upper_band(weights, config.upper_band, config.s3),
    )
    if config.audio.sample_rate <= checkpoints.card(weights)["sample_rate"]:
        return Networks(sha256)
    if upper is None:
        return Networks(sha256, checkpoints.EXTRAPOLATED)
    return Networks(sha256, checkpoints.card(upper)["name"], checkpoints.weights_sha256(upper))


def require_extras(config: RunConfig) -> None:
    """Refuse settings whose packages are not installed, and thresholds on scores that are not measured.

    Raises: ConfigError that names the setting and the extra.
    """
    if config.speakers.embed:
        extras.require(voice.PACKAGE, voice.EXTRA, "speakers.embed")
    if config.score.distillmos:
        extras.require(distillmos.PACKAGE, distillmos.EXTRA, "score.distillmos")
    elif config.gate.distillmos_min is not None:
        raise ConfigError(
            f"gate.distillmos_min is {config.gate.distillmos_min:g}, and score.distillmos is off: nothing would be "
            "kept; set score.distillmos=true"
        )


def prepared_store(config: RunConfig) -> Store:
    """Return the store of a run's output, in which a run may begin to write.

    Raises: ConfigError if the output cannot be written, holds files of others where those of a run go, or its service
    does not do what a run needs of it.
    """
    store = open_store(config.output, config.s3)
    if isinstance(config.output, S3Folder) or config.output.is_dir():
        own_files.refuse_foreign(store)  # before prepare, which makes folders
    store.prepare()
    return store


def warn_of_other_input(config: RunConfig, newest: Manifest | None) -> None:
    """Say in the log that the newest version was made of another input: a version holds what one input holds."""
    if newest is None or not (before := newest.run.get("input")) or _same(parse_location(before), config.input):
        return
    LOG.warning(
        "%s: version %d was made of %s, this run reads %s: clips of what is not there leave the corpus; "
        "`clean-corpus rollback` brings them back",
        config.output, newest.version, before, config.input,
    )  # fmt: skip


def _same(one: Location, other: Location) -> bool:
    """Return whether two locations are one."""
    if isinstance(one, Path) and isinstance(other, Path):
        return one.resolve() == other.resolve()
    return one == other
