"""What a task run does with its groups and shards when calls fail."""

import pytest

from clean_corpus.flows import shard_stages, worker_functions
from clean_corpus.flows.clean_corpus import _per_task
from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.engines.base import WorkerDied
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.records import Enhanced, Ingested, Outcome, Published, RawShard, Scored, Shard
from clean_corpus.pipeline.core.types import Clip, Recording, Verdict
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

    def run(self, function, *args):
        self.asked.append((function.__name__, args))
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
    finished = shard_stages.finish_shard(engine, CONFIG, "g-000", RAW)
    assert [name for name, _ in engine.asked] == ["clean"] * 3 + ["publish"]
    assert [(row.decision.verdict, row.gain_db, row.shard) for row in finished.rows] == [
        (Verdict.KEPT, 1.5, "shards/s.tar"), (Verdict.KEPT, -1.5, "shards/s.tar"),
    ]  # fmt: skip
    assert [result.stage for result in finished.stages] == ["score before", "enhance", "score after", "publish"]


@pytest.mark.parametrize("fatal", [StorageError("disk full"), ConfigError("wrong")])
def test_what_will_be_the_same_next_time_is_not_tried_again(fatal):
    engine = Played(clean=[fatal])
    with pytest.raises(type(fatal), match=str(fatal)):
        shard_stages.finish_shard(engine, CONFIG, "g-000", RAW)
    assert len(engine.asked) == 1


def test_a_shard_without_result_ends_as_failed_clip_by_clip():
    engine = Played(clean=[WorkerDied("worker process died in clean")], publish=[outcome(Published(None, None, {}))])
    finished = shard_stages.finish_shard(engine, CONFIG, "g-000", RAW)
    assert [(row.clip.clip_id, row.decision.verdict, row.decision.reason) for row in finished.rows] == [
        ("a", Verdict.FAILED, "worker"), ("b", Verdict.FAILED, "worker"),
    ]  # fmt: skip
    assert finished.rows[0].decision.detail == "worker: worker process died in clean" and finished.enhanced is None
    assert [(result.stage, type(result.outcome)) for result in finished.stages] == [
        ("clean", WorkerDied),
        ("publish", Outcome),
    ]


def test_a_clip_that_a_ruler_cannot_read_fails_alone():
    finished = shard_stages.finish_shard(
        Played(clean=[cleaned(b="score: broken")], publish=[TARS]), CONFIG, "g-000", RAW
    )
    assert [row.decision.verdict for row in finished.rows] == [Verdict.KEPT, Verdict.FAILED]
    assert finished.rows[1].clip.error == "score: broken" and finished.rows[1].before == GOOD


def test_clips_whose_tar_could_not_be_written_are_failed_with_their_scores():
    engine = Played(clean=[cleaned()], publish=[RuntimeError("no")])
    finished = shard_stages.finish_shard(engine, CONFIG, "g-000", RAW)
    assert {row.decision.detail for row in finished.rows} == {"publish: no"} and finished.rows[0].after == GOOD
    assert (finished.tars.kept, finished.tars.rejected) == (None, None)


def test_a_variant_that_could_not_be_written_ends_the_run():
    engine = Played(clean=[cleaned()], publish=[TARS], variant=[TARS, RuntimeError("no")])
    with pytest.raises(CleanCorpusError, match=r"variants of work/raw/g-000\.tar: no; run the same command again"):
        shard_stages.finish_shard(engine, CONFIG.model_copy(update={"variants": True}), "g-000", RAW)


def test_a_group_that_kills_its_worker_is_read_one_by_one():
    group = [Recording(f"{name}.wav", f"{name}.wav", 1, "0" * 64) for name in "abc"]
    fine = outcome(Ingested([RAW], [Clip("silent", "c.wav", None, reject=("no_speech", "speech_s 0 < 1"))]))
    died = WorkerDied("gone")
    engine = Played(ingest=[died, died, died, fine, died, died, died, fine])
    finished = shard_stages.ingest_group(engine, CONFIG, group)
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
    assert _per_task(total, workers) == each
