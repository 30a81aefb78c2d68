"""All that the page shows of one clip: scores before and after, where it was cut from, what was decided over it."""

from typing import Any

from clean_corpus.flows.review.corpus import NEIGHBOURS, Corpus
from clean_corpus.flows.review.table import finite
from clean_corpus.pipeline.corpus.ledger import REVIEW
from clean_corpus.pipeline.quality.scorer import SCORES

_TOLD = (
    "detail", "chosen_why", "offset_s", "removed_s", "sample_rate_in_hz", "channels_in", "channel", "channel_why",
    "input_gain_db", "clipping_ratio", "bandwidth_hz", "cutoff_hz", "speech_s", "recording_text", "text_source",
    "text_original", "text_rate", "asr_text", "cer", "licence", "consent", "language", "speaker_auto", "gain_db",
    "shard", "residual_snr_db", "voice_likeness", "voice_constancy", "voice_match", *REVIEW,
)  # fmt: skip


def detail(corpus: Corpus, clip_id: str) -> dict[str, Any]:
    """Return what the page shows of a clip.

    Raises: NoClip; StorageError if the storage fails.
    """
    row = corpus.row_of(clip_id)
    record = corpus.table.whole([row])[row]
    end_s = record["offset_s"] + record["duration_s"] + (record["removed_s"] or 0.0)
    neighbours = _neighbours(corpus, record)
    return {
        **corpus.clips([row])[0],
        **{name: finite(record[name]) for name in _TOLD},
        "removed": record["removed_s"] or 0.0,
        "end_s": end_s,
        "recording_s": max([end_s, *(clip["end_s"] for clip in neighbours)]),
        "scores_raw": _scores(record, "before"),
        "scores_enhanced": _scores(record, "after"),
        "thresholds": _thresholds(corpus),
        "speech": corpus.sounds.speech(record),
        "neighbours": neighbours,
        "versions": corpus.sounds.levels(record),
        "around": corpus.surroundings.is_there(record),
        "decisions": corpus.deciding.history(record),
    }


def _scores(record: dict[str, Any], when: str) -> dict[str, float]:
    found = {score: finite(record[f"{when}_{score}"]) for score in SCORES}
    return {score: value for score, value in found.items() if value is not None}


def _thresholds(corpus: Corpus) -> list[dict[str, Any]]:
    """Return the thresholds that are on, each with the score that it is about."""
    found = (score.facts(corpus.config.gate) for score in corpus.table.scores.values())
    keys = ("name", "of", "setting", "threshold", "better")
    return [{key: facts[key] for key in keys} for facts in found if facts["threshold"] is not None]


def _neighbours(corpus: Corpus, record: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the clips of the same recording, those nearest to this one, in the order of time."""
    question = """SELECT clip_id, offset_s, offset_s + duration_s + coalesce(removed_s, 0) AS end_s, verdict
                  FROM clips WHERE source = $source AND clip_id <> $clip_id
                  ORDER BY abs(offset_s - $offset_s), clip_id LIMIT $limit"""
    parameters = {name: record[name] for name in ("source", "clip_id", "offset_s")} | {"limit": 2 * NEIGHBOURS}
    found = corpus.table.records(question, parameters)
    verdicts = corpus.table.values["verdict"]
    return sorted(
        ({**clip, "verdict": verdicts[clip["verdict"]]} for clip in found),
        key=lambda clip: (clip["offset_s"], clip["clip_id"]),
    )
