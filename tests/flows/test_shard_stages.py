"""What a task run does with its groups and shards when calls fail."""

from dataclasses import replace

import numpy as np
import pytest

from clean_corpus.flows import group_stages, shard_stages, shard_work, worker_functions
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import WorkerDied, WorkerHung
from clean_corpus.flows.task_runs import per_task
from clean_corpus.pipeline.core.config import SpeakersConfig, TextConfig
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.records import (
    Embedded,
    Enhanced,
    Ingested,
    Outcome,
    Published,
    RawShard,
    Scored,
    Shard,
    Transcribed,
    Voices,
)
from clean_corpus.pipeline.core.types import Clip, Metadata, Recording, Verdict
from clean_corpus.pipeline.corpus.decisions import Decided, Entry
from clean_corpus.pipeline.corpus.reviewed import Reviews
from clean_corpus.pipeline.quality import voice
from clean_corpus.pipeline.storage.base import StorageError

CONFIG = RunConfig(input="in", output="out", gate={"dnsmos_ovrl_min": 2.5})
RAW = RawShard(
    Shard("work/raw/g-000.tar", "0" * 64, 9, 2), [Clip("a", "a.wav", None), Clip("b", "b.wav", None)], ["", ""]
)
GOOD = {
    "dnsmos_sig": 3.5, "dnsmos_bak": 4.0, "dnsmos_ovrl": 3.1, "dnsmos_p808": 3.6, "snr_db": 30.0, "clipping_ratio": 0.0,
    "bandwidth_hz": 7900.0, "speech_ratio": 0.8, "loudness_lufs": -25.0,
}  # fmt: skip


class Played:
    """An engine that gives what a function has been given, exceptions raised; the last one for good."""

    def __init__(self, **answers):
        self.answers, self.asked = {name: list(some) for name, some in answers.items()}, []
        self.limits_s = []

    def run(self, function, *args, limit_s=None):
        if function is shard_work.finish and "finish" not in self.answers:
            raise WorkerDied("each stage is asked for")
        self.asked.append((function.__name__, args))
        self.limits_s.append(limit_s)
        some = self.answers[function.__name__]
        answer = some.pop(0) if len(some) > 1 else some[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def outcome(result):
    return Outcome("name", result, 1.0, reused=False)


def cleaned(**failed):
    scores = {clip.clip_id: GOOD for clip in RAW.clips}
    twin = Shard("work/enhanced/e.tar", "1" * 64, 9, 2)
    return worker_functions.Cleaned(
        outcome(Scored(scores, failed)), outcome(Enhanced(twin, {})), outcome(Scored(scores, {}))
    )


TARS = outcome(Published(Shard("shards/s.tar", "2" * 64, 9, 2), None, {"a": 1.5, "b": -1.5}))


def test_a_call_that_fails_twice_gives_its_result_the_third_time():
    engine = Played(clean=[WorkerDied("1"), WorkerDied("2"), cleaned()], publish=[TARS])
    (finished,) = shard_stages.finish_shard(engine, CONFIG, "g-000", RAW)
    assert [name for name, _ in engine.asked] == ["clean"] * 3 + ["publish"]
    assert [(row.decision.verdict, row.gain_db, row.shard) for row in finished.rows] == [
        (Verdict.KEPT, 1.5, "shards/s.tar"), (Verdict.KEPT, -1.5, "shards/s.tar"),
    ]  # fmt: skip
    assert [result.stage for result in finished.stages] == ["score before", "enhance", "score after", "publish"]


def test_one_call_does_what_the_calls_of_all_stages_do(monkeypatch):
    """In a worker, with what people decided over the shard's own clips; it is asked once, and not again if it hangs."""
    entry = Entry(by="ann", what="reject", clip_id="a", source="a.wav", source_sha256="a" * 64, offset_s=0, end_s=0)
    other = entry.model_copy(update={"id": "0" * 16, "source_sha256": "c" * 64})
    reviews = Reviews(Decided([entry, other]))
    raw = replace(RAW, clips=[replace(clip, source_sha256=clip.clip_id * 64) for clip in RAW.clips])
    one_by_one = Played(clean=[cleaned()], publish=[TARS])
    (expected,) = shard_stages.finish_shard(one_by_one, CONFIG, "g-000", raw, reviews)
    with monkeypatch.context() as patched:
        patched.setattr(worker_functions, "clean", lambda config, raw: cleaned())
        patched.setattr(worker_functions, "publish", lambda config, raw, enhanced, endings: TARS)
        assert shard_work.finish(CONFIG, raw, "g-000", reviews.only(raw)) == expected
    assert [row.decision.reason for row in expected.rows] == ["reviewed", None] and len(reviews.only(raw)._decided) == 1
    engine = Played(finish=[expected])
    assert shard_stages.finish_shard(engine, CONFIG, "g-000", raw, reviews) == [expected]
    assert [name for name, _ in engine.asked] == ["finish"] and engine.limits_s == [pytest.approx(600)]
    hung = Played(finish=[WorkerHung("long")], clean=[cleaned()], publish=[TARS])
    parts = shard_stages.finish_shard(hung, CONFIG, "g-000", raw)
    assert [name for name, _ in hung.asked] == ["finish", "clean", "clean", "publish", "publish"]
    assert [row.clip.clip_id for part in parts for row in part.rows] == ["a", "b"]
    with pytest.raises(StorageError, match="full"):
        shard_stages.finish_shard(Played(finish=[StorageError("disk full")]), CONFIG, "g-000", raw)


def test_without_an_enhancer_clips_are_scored_once_and_published_as_they_came():
    scored = worker_functions.Cleaned(cleaned().before, None, None)
    config = CONFIG.model_copy(update={"enhancer": "none"})
    (finished,) = shard_stages.finish_shard(Played(clean=[scored], publish=[TARS]), config, "g-000", RAW)
    assert [result.stage for result in finished.stages] == ["score before", "publish"] and finished.enhanced is None
    for row in finished.rows:
        assert (row.decision.verdict, row.decision.chosen, row.before, row.after) == (Verdict.KEPT, "raw", GOOD, {})
        assert row.decision.chosen_why == "not_enhanced: enhancer is none" and row.residual_snr_db is None


@pytest.mark.parametrize("fatal", [StorageError("disk full"), ConfigError("wrong")])
def test_what_will_be_the_same_next_time_is_not_tried_again(fatal):
    engine = Played(clean=[fatal])
    with pytest.raises(type(fatal), match=str(fatal)):
        shard_stages.finish_shard(engine, CONFIG, "g-000", RAW)
    assert len(engine.asked) == 1


def test_a_shard_whose_file_is_damaged_ends_as_failed_clip_by_clip():
    engine = Played(clean=[DataError("shard g: cut")], publish=[outcome(Published(None, None, {}))])
    (finished,) = shard_stages.finish_shard(engine, CONFIG, "g-000", RAW)
    assert [(row.clip.clip_id, row.decision.verdict, row.decision.reason) for row in finished.rows] == [
        ("a", Verdict.FAILED, "worker"), ("b", Verdict.FAILED, "worker"),
    ]  # fmt: skip
    assert finished.rows[0].decision.detail == "worker: shard g: cut" and finished.enhanced is None
    assert [(result.stage, type(result.outcome)) for result in finished.stages] == [
        ("clean", DataError),
        ("publish", Outcome),
    ]


def test_voices_are_judged_with_the_scores_and_published_once_all_are_known():
    config = CONFIG.model_copy(update={"speakers": SpeakersConfig(embed=True)})
    one, other = (voice.to_text(x) for x in np.eye(voice.SIZE, dtype=np.float32)[:2])
    embedded = Embedded(Voices({"a": one, "b": one}, {}), Voices({"a": other, "b": one}, {"b": 0.4}))
    engine = Played(clean=[cleaned()], embed=[outcome(embedded)], publish=[TARS])
    (judged,) = shard_stages.judge_shard(engine, config, "g-000", RAW)
    a, b = judged.rows
    # the enhanced voice of `a` is another's, so its raw version is published; that of `b` changes
    assert (a.decision.verdict, a.decision.chosen, a.voice.voice_likeness) == (Verdict.KEPT, "raw", 0.0)
    assert a.decision.chosen_why == "damage: voice_likeness 0 < 0.75"
    assert (b.decision.reason, b.decision.detail) == ("speaker_change", "voice_constancy 0.4 < 0.65")
    assert judged.embeddings == {"a": one, "b": one} and [r.stage for r in judged.stages][-1] == "embed"
    named = replace(a, voice=replace(a.voice, speaker_auto="auto-1"))
    (finished,) = shard_stages.publish_judged(engine, config, replace(judged, rows=[named, b]))
    _, (_, _, _, endings) = engine.asked[-1]
    assert [ending.speaker_auto for ending in endings] == ["auto-1", None]
    assert [name for name, _ in engine.asked] == ["clean", "embed", "publish"]
    assert [row.voice.speaker_auto for row in finished.rows] == ["auto-1", None]
    lost = Played(clean=[cleaned()], embed=[WorkerDied("no")], publish=[TARS])
    parts = shard_stages.judge_shard(lost, config, "g-000", RAW)
    assert {row.decision.reason for part in parts for row in part.rows} == {"worker"} and len(parts) == 2


def test_a_clip_that_a_ruler_cannot_read_fails_alone():
    (finished,) = shard_stages.finish_shard(
        Played(clean=[cleaned(b="score: broken")], publish=[TARS]), CONFIG, "g-000", RAW
    )
    assert [row.decision.verdict for row in finished.rows] == [Verdict.KEPT, Verdict.FAILED]
    assert finished.rows[1].clip.error == "score: broken" and finished.rows[1].before == GOOD


def test_clips_that_would_be_kept_are_transcribed_before_they_are_published():
    config = CONFIG.model_copy(
        update={"text": TextConfig(transcriber="pocketsphinx"), "gate": CONFIG.gate.model_copy(update={"cer_max": 0.2})}
    )
    texts = [replace(clip, metadata=Metadata(text)) for clip, text in zip(RAW.clips, ("two words", None), strict=True)]
    raw = replace(RAW, clips=texts)
    answers = {"clean": [cleaned()], "publish": [TARS]}
    engine = Played(**answers, transcribe=[outcome(Transcribed({"a": "too birds", "b": "three"}, {}))])
    (finished,) = shard_stages.finish_shard(engine, config, "g-000", raw)
    assert [name for name, _ in engine.asked] == ["clean", "transcribe", "publish"]
    a, b = finished.rows
    assert (a.decision.reason, a.clip.cer) == (Reason.CER, 0.375) and a.decision.verdict is Verdict.REJECTED
    assert (b.clip.metadata.text, b.clip.text_source, b.decision.verdict) == ("three", "asr", Verdict.KEPT)
    ended = engine.asked[-1][1][-1]
    assert [ending.clip.metadata.text for ending in ended] == ["two words", "three"]

    engine = Played(**answers, transcribe=[DataError("shard g: cut")])
    (finished,) = shard_stages.finish_shard(engine, config, "g-000", raw)
    assert [row.decision.detail for row in finished.rows] == ["transcribe: shard g: cut"] * 2
    engine = Played(**answers, transcribe=[WorkerDied("no memory")])
    halves = shard_stages.finish_shard(engine, config, "g-000", raw)
    assert [row.decision.detail for half in halves for row in half.rows] == ["transcribe: no memory"] * 2


# ---- clips that take their worker with them

IDS = [f"c{i:02d}" for i in range(16)]
LONG = RawShard(
    Shard("work/raw/g-000.tar", "0" * 64, 9, 16),
    [Clip(i, f"{i}.wav", None, duration_s=6.0) for i in IDS],
    [f"print {i}" for i in IDS],
)


class Poisoned:
    """An engine in which some clips kill the worker in `clean`, and others in `publish` or `variant`."""

    def __init__(self, *, error=WorkerDied, **poison):
        self.error, self.poison, self.asked = error, poison, []

    def run(self, function, config, raw, *args, limit_s=None):
        name = function.__name__
        ids = [clip.clip_id for clip in raw.clips]
        assert raw.fingerprints == [f"print {i}" for i in ids]
        self.asked.append((name, len(ids), round(limit_s)))
        failed = {e.clip.clip_id for e in args[1] if e.clip.error} if args else set()
        if set(ids) & set(self.poison.get(name, ())) - failed:
            raise self.error(f"worker process died in {name}")
        first, count = ids[0], len(ids) - len(failed)
        if name == "clean":
            scores = outcome(Scored(dict.fromkeys(ids, GOOD), {}))
            return worker_functions.Cleaned(
                scores, outcome(Enhanced(Shard(f"work/enhanced/{first}.tar", "1" * 64, 9, count), {})), scores
            )
        folder = "shards" if name == "publish" else f"variants/{args[2]}"
        tar = Shard(f"{folder}/{first}.tar", "2" * 64, 9, count) if count else None
        return outcome(Published(tar, None, dict.fromkeys(ids, 1.5)))


def ends(parts):
    return {row.clip.clip_id: (row.decision.verdict.value, row.shard) for part in parts for row in part.rows}


@pytest.mark.parametrize("stage", ["clean", "publish", "variant"])
def test_clips_that_kill_their_worker_fail_alone(stage):
    config = CONFIG.model_copy(update={"variants": True})
    engine = Poisoned(**{stage: ["c05", "c11"]})
    parts = shard_stages.finish_shard(engine, config, "g-000", LONG)
    found = ends(parts)
    assert list(found) == IDS and [i for i in IDS if found[i][0] == "failed"] == ["c05", "c11"]
    assert found["c04"] == ("kept", "shards/c04.tar") and found["c05"][1] is None
    assert found["c00"] == found["c03"] == ("kept", "shards/c00.tar")
    bad = next(row for part in parts for row in part.rows if row.clip.clip_id == "c05")
    assert f"worker process died in {stage}" in bad.decision.detail
    calls = [count for name, count, _ in engine.asked if name == stage]
    assert calls[:3] == [16] * 3 and 8 in calls[3:]
    assert sum(len(part.variants) for part in parts) == 2 * sum(part.tars.kept is not None for part in parts)
    counted = [result for part in parts for result in part.stages if not isinstance(result.outcome, Exception)]
    assert sum(len(r.clips) for r in counted if r.stage == "publish") >= 14
    assert sum(isinstance(r.outcome, Exception) for part in parts for r in part.stages) == 9  # 1 + 2 + 2 + 2 + 2


def test_a_shard_too_large_for_its_worker_ends_well_in_parts():
    class Small(Poisoned):
        def run(self, function, config, raw, *args, limit_s=None):
            if len(raw.clips) > 4 and function.__name__ == "clean":
                raise WorkerDied("out of memory")
            return super().run(function, config, raw, *args, limit_s=limit_s)

    parts = shard_stages.finish_shard(Small(), CONFIG, "g-000", LONG)
    assert {verdict for verdict, _ in ends(parts).values()} == {"kept"} and list(ends(parts)) == IDS
    assert [part.enhanced.key for part in parts] == [f"work/enhanced/c{i:02d}.tar" for i in (0, 4, 8, 12)]


def test_a_call_that_hangs_is_not_made_again_but_for_halves_of_its_shard():
    engine = Poisoned(error=WorkerHung, clean=["c03"])
    parts = shard_stages.finish_shard(engine, CONFIG, "g-000", LONG)
    assert [i for i, (verdict, _) in ends(parts).items() if verdict == "failed"] == ["c03"]
    cleaned = [(count, limit_s) for name, count, limit_s in engine.asked if name == "clean"]
    # 600 s, and as much again for each 120 s of audio
    assert cleaned[:4] == [(16, 1080), (8, 840), (4, 720), (2, 660)] and cleaned[4:7] == [(2, 660), (1, 630), (1, 630)]
    assert cleaned.count((1, 630)) == 4  # one fine, one three times


def test_a_group_that_hangs_is_read_one_by_one():
    group = [Recording(f"{name}.wav", f"{name}.wav", 320_000, "0" * 64) for name in "ab"]
    fine, hung = outcome(Ingested([RAW], [])), WorkerHung("long")
    engine = Played(ingest=[hung, fine, hung])
    finished = group_stages.ingest_group(engine, CONFIG, [group])
    assert [len(args[1]) for _, args in engine.asked] == [2, 1, 1, 1, 1] and len(finished.rows) == 1
    assert engine.limits_s[:2] == pytest.approx([600 + 100, 600 + 50])
    unlimited = RunConfig(input="in", output="out", engine={"call_limit_s": None})
    engine = Played(ingest=[fine])
    group_stages.ingest_group(engine, unlimited, [group])
    assert engine.limits_s == [None]


def test_a_group_that_kills_its_worker_is_read_one_by_one():
    group = [Recording(f"{name}.wav", f"{name}.wav", 1, "0" * 64) for name in "abc"]
    fine = outcome(Ingested([RAW], [Clip("silent", "c.wav", None, reject=("no_speech", "speech_s 0 < 1"))]))
    died = WorkerDied("gone")
    engine = Played(ingest=[died, died, died, fine, died, died, died, fine])
    finished = group_stages.ingest_group(engine, CONFIG, [group])
    assert [[r.source for r in args[1]] for _, args in engine.asked] == (
        [["a.wav", "b.wav", "c.wav"]] * 3 + [["a.wav"]] + [["b.wav"]] * 3 + [["c.wav"]]
    )
    assert [result.name for result in finished.stages] == [f"{group[0].key} and 2 more", "name", group[1].key, "name"]
    assert len(finished.raw_shards) == 2
    assert [(row.clip.source, row.decision.reason) for row in finished.rows] == [
        ("c.wav", "no_speech"), ("b.wav", "ingest"), ("c.wav", "no_speech"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("total", "workers", "each"),
    [(10, 2, 1), (400, 2, 13), (400, 32, 2), (100_000, 64, 16)],  # enough task runs for all workers, at most 16 a run
)
def test_a_task_run_has_more_shards_where_there_are_many(total, workers, each):
    assert per_task(total, workers) == each


def test_a_decision_that_cannot_be_made_fails_its_clip_alone(monkeypatch):
    def decide(before, after, gate, own):
        return shard_work.failed(f"truncated: {1 / own['residual_snr_db']:g}")

    monkeypatch.setattr(shard_work, "decide", decide)
    scored = cleaned()
    scored.enhanced.result.residual_snr_db.update(a=0.0, b=4.0)
    rows = [shard_work._judge(clip, scored, CONFIG) for clip in RAW.clips]
    assert [(row.decision.reason, row.decision.detail, row.residual_snr_db) for row in rows] == [
        ("gate", "gate: ZeroDivisionError: float division by zero", 0.0), ("truncated", "truncated: 0.25", 4.0),
    ]  # fmt: skip


def test_the_scores_of_a_copy_that_is_not_kept_stand_in_its_row():
    """They tell why another one is."""
    copy = replace(RAW.clips[0], reject=(Reason.NEAR_DUPLICATE, "of b: bit error 0.1 <= 0.25; snr_db 3 < 30"))
    row = shard_work._judge(copy, cleaned(), CONFIG)
    assert (row.decision.verdict, row.decision.reason, row.before, row.after) == (
        Verdict.REJECTED, Reason.NEAR_DUPLICATE, GOOD, {},
    )  # fmt: skip
    raw = replace(RAW, clips=[copy, replace(RAW.clips[1], reject=(Reason.DUPLICATE, "of a: equal samples"))])
    engine = Played(score_raw=[WorkerDied("1"), outcome(Scored({"a": GOOD}, {}))])
    result = shard_stages.score_raw(engine, CONFIG, "g-000", raw)
    assert result.outcome.result.scores == {"a": GOOD} and result.clips == [copy], "one of equal samples is scored"
    lost = shard_stages.score_raw(Played(score_raw=[WorkerDied("no")]), CONFIG, "g-000", raw)
    assert isinstance(lost.outcome, WorkerDied), "the run goes on without these scores"
