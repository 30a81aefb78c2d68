"""Decisions over a row: as a run makes it of what it heard, so a ledger is made of what it says; and back again."""

from dataclasses import asdict, replace

import pytest

from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.core.records import RawShard, Shard, Transcribed
from clean_corpus.pipeline.core.types import Clip, Decision, Metadata, Verdict
from clean_corpus.pipeline.corpus.decisions import Decided, Entry
from clean_corpus.pipeline.corpus.heard import heard
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.corpus.reviewed import Reviews, redecided
from clean_corpus.pipeline.text.rate import with_rate

TAR = Shard("work/raw/a.tar", "0" * 64, 1, 1)
OF = {"clip_id": "c", "source": "c.wav", "source_sha256": "a" * 64, "offset_s": 0.0, "end_s": 2.0}


def as_in_a_run(given: str | None, said: str | None, entries: list[Entry]) -> dict[str, object]:
    """The columns of a ledger that a run writes of a clip with a text, in which a recogniser hears something."""
    clip = Clip("c", "c.wav", "a" * 64, 0.0, 2.0, speech_s=1.0, metadata=Metadata(given, "bob"))
    clip = with_rate(replace(clip, text_source=given and "manifest"))
    reviews = Reviews(Decided(entries))
    (clip,) = reviews.corrected(RawShard(TAR, [clip], [""])).clips
    row = Row(clip, Decision(Verdict.KEPT, chosen="enhanced"), {}, {"snr_db": 9.0}, raw_shard=TAR.key)
    row = heard(row, Transcribed({"c": said}, {}), GateConfig()) if said else row
    row = reviews.overruled(replace(row, enhanced_shard="work/enhanced/a.tar"))
    decision = {**asdict(row.decision), "verdict": row.decision.verdict.value}
    shards = {"raw_shard": row.raw_shard, "enhanced_shard": row.enhanced_shard}
    return {"speech_s": 1.0, **row.clip.texts, **decision, **shards, **asdict(row.review)}


@pytest.mark.parametrize("said", [None, "one two"])
@pytest.mark.parametrize("given", [None, "One twa."])
@pytest.mark.parametrize("wanted", [[("text", "One two.")], [("text", None), ("speaker", "bert")], [("reject", "hum")]])
def test_a_ledger_becomes_what_a_run_would_write_and_what_it_was(given, said, wanted):
    entries = [Entry(by="anna", what=what, value=value, **OF) for what, value in wanted]
    plain, run = as_in_a_run(given, said, []), as_in_a_run(given, said, entries)
    review = Decided(entries).of("a" * 64, 0.0, 2.0)
    assert redecided(plain, review) == run != plain
    assert redecided(run, review) == run and redecided(run, None) == plain
