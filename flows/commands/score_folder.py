"""`clean-corpus score`: every recording of a folder scored, without flow or server."""

from rich.console import Console

from clean_corpus.flows.commands.parallel import call_in_workers
from clean_corpus.pipeline.core import extras
from clean_corpus.pipeline.core.config import DEFAULT_S3, AudioConfig, ScoreConfig, SegmentConfig
from clean_corpus.pipeline.core.locations import Location
from clean_corpus.pipeline.core.types import Recording, Scores
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.discover.clean_references import local_references, require_folder
from clean_corpus.pipeline.discover.fetch import local_group
from clean_corpus.pipeline.quality import distillmos

DEFAULT_SCORE = ScoreConfig()


def score_folder(
    source: Location, clean: Location | None, workers: int, console: Console, config: ScoreConfig = DEFAULT_SCORE
) -> tuple[dict[str, Scores], dict[str, str]]:
    """Score every recording below `source`; return scores, and failures as texts, both by the recording's name.

    `clean` holds the same recordings without noise, and adds the measures that need them.
    Raises: ConfigError if `clean` is given and is not a folder, or `config` wants DistillMOS and it is not installed.
    """
    if config.distillmos:
        extras.require(distillmos.PACKAGE, distillmos.EXTRA, "--distillmos")
    if clean is not None:
        require_folder(clean, "--clean", DEFAULT_S3)
    scores: dict[str, Scores] = {}
    failed: dict[str, str] = {}
    for recording, result in call_in_workers(
        "score", find_all(source, exclude=None), "recordings", workers, console, _score_file, source, clean, config
    ):
        if isinstance(result, dict):
            scores[recording.source] = result
        else:
            failed[recording.source] = str(result)
    return dict(sorted(scores.items())), dict(sorted(failed.items()))


def _score_file(recording: Recording, source: Location, clean: Location | None, config: ScoreConfig) -> Scores | str:
    """Score one recording in a worker; return why it has no scores where it has none."""
    from clean_corpus.flows.worker_functions import scorer
    from clean_corpus.pipeline.corpus.score import score_file

    ruler = scorer(SegmentConfig().speech_threshold, config)
    with (
        local_group(source, [recording], DEFAULT_S3) as (folder, [local_recording]),
        local_references(clean, [recording.path], DEFAULT_S3) as clean_versions,
    ):
        return score_file(local_recording, folder, clean_versions.get(recording.path), ruler, AudioConfig())


def means(scores: dict[str, Scores]) -> dict[str, tuple[float, int]]:
    """Return the mean of each score over the files that have it, and their number.

    >>> means({"a.wav": {"snr_db": 10.0, "stoi": None}, "b.wav": {"snr_db": 20.0}})
    {'snr_db': (15.0, 2)}
    """
    columns: dict[str, list[float]] = {}
    for row in scores.values():
        for name, value in row.items():
            if value is not None:
                columns.setdefault(name, []).append(value)
    return {name: (sum(values) / len(values), len(values)) for name, values in columns.items()}
