"""The look at all voices of a run: outliers, names for who has none, and what the next run keeps of them."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest

from clean_corpus.pipeline.core.config import SpeakersConfig
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.core.scratch_database import scratch_database
from clean_corpus.pipeline.core.types import Clip, Decision, Metadata, Verdict
from clean_corpus.pipeline.corpus import embeddings
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.corpus.speaker_look import SpeakerLook
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.quality import voice
from clean_corpus.pipeline.storage.local import LocalStore
from tests.pipeline.quality.test_speakers import voices

CONFIG = SpeakersConfig(group_min=0.6)


@pytest.fixture(autouse=True)
def _any_ruler(monkeypatch):
    monkeypatch.setattr(voice, "ruler", lambda: "ruler 1")


def clips(speaker: int, label: str | None, n: int, *, prefix: str = "", verdict=Verdict.KEPT):
    """Return rows of clips that a speaker says, under a label, and their embeddings."""
    rows, texts = [], {}
    for i, x in enumerate(voices(speaker, n, seed=sum(map(ord, prefix)))):
        clip_id = f"{prefix}{speaker}-{i}"
        clip = Clip(clip_id, f"{clip_id}.wav", None, duration_s=2.0, metadata=Metadata(speaker=label))
        rows.append(Row(clip, Decision(verdict, chosen="enhanced"), {}, {}))
        texts[clip_id] = voice.to_text(x)
    return rows, texts


def settle(*parts, known=(), config=CONFIG):
    """Return the settled rows by clip, and the embeddings that a run would store."""
    with scratch_database() as database:
        look = SpeakerLook(database, config)
        for rows, texts in parts:
            look.add(rows, texts)
        look.settle(known)
        return {r.clip.clip_id: look.settled(r) for rows, _ in parts for r in rows}, [*look.embeddings()]


def test_a_clip_under_the_wrong_label_is_an_outlier():
    own, wrong = clips(1, "anna", 12), clips(2, "anna", 1, prefix="wrong")
    few = clips(3, "bo", 7)  # too few to tell
    failed = clips(4, "anna", 1, prefix="failed", verdict=Verdict.REJECTED)
    found, stored = settle(own, wrong, few, failed)
    ends = {clip_id: row.decision.reason for clip_id, row in found.items() if row.decision.reason}
    assert ends == {"wrong2-0": "speaker_outlier"}
    assert found["wrong2-0"].decision.detail == f"voice_match {found['wrong2-0'].voice.voice_match:.4g} < 0.75"
    assert found["failed4-0"].decision.verdict is Verdict.REJECTED  # an end that it had before
    assert min(found[f"1-{i}"].voice.voice_match for i in range(12)) > 0.8
    assert found["3-0"].voice.voice_match is None and found["1-0"].voice.speaker_auto is None
    assert [row.clip_id for row in stored] == sorted(found) and {row.version for row in stored} == {"enhanced"}
    off, _ = settle(own, wrong, config=SpeakersConfig(match_min=None))
    assert not any(row.decision.reason for row in off.values())


def test_clips_without_a_label_are_named_by_their_voice_and_keep_the_name():
    first = [clips(s, None, 4) for s in (1, 2)]
    found, stored = settle(*first)
    names = {s: {found[f"{s}-{i}"].voice.speaker_auto for i in range(4)} for s in (1, 2)}
    assert all(len(of) == 1 and min(of).startswith("auto-") for of in names.values()) and names[1] != names[2]
    # the same clips and more: who was named stays so, a voice that was heard gets its name, a new one a new name
    more = [clips(s, None, 3, prefix="new") for s in (2, 3)]
    again, _ = settle(*first, *more, known=stored)
    assert all(again[clip_id].voice == row.voice for clip_id, row in found.items())
    assert {again[f"new2-{i}"].voice.speaker_auto for i in range(3)} == names[2]
    assert {again[f"new3-{i}"].voice.speaker_auto for i in range(3)}.isdisjoint(names[1] | names[2])
    # the order in which shards are judged decides nothing
    assert settle(*reversed(first))[1] == stored
    off, _ = settle(*first, config=SpeakersConfig(group_min=None))
    assert {row.voice.speaker_auto for row in off.values()} == {None}


def test_the_file_holds_every_voice_and_tells_what_decided_it(tmp_path):
    store = LocalStore(tmp_path)
    _, stored = settle(clips(1, "anna", 3), clips(2, None, 3))
    facts = {"ruler": "r", "group_min": 0.6, "version": 1}
    named = embeddings.put(store, stored, facts)
    assert named == embeddings.put(store, stored, facts) and named.samples == 6  # same rows, same bytes
    assert [*embeddings.read(store, named.key)] == stored
    table = pq.read_table(tmp_path / named.key)
    assert table.schema.names == ["clip_id", "source", "speaker", "speaker_auto", "version", "embedding"]
    assert np.linalg.norm(table["embedding"].combine_chunks().flatten().to_numpy()[: voice.SIZE]) > 0.999
    manifest = Manifest(ledger=Shard("l", "", 0, 0), shards=[], rejected=[], embeddings=named, run={})
    assert [*embeddings.known(store, manifest, facts)] == stored and named in manifest.objects
    for other in (facts | {"ruler": "other"}, {}):
        assert not [*embeddings.known(store, manifest, other)]
    assert not [*embeddings.known(store, None, facts)] and not [*embeddings.read(store, "embeddings/gone.parquet")]
    left = embeddings.without(store, named, ["1-1.wav", "elsewhere.wav"])
    assert [row.clip_id for row in embeddings.read(store, left.key)] == ["1-0", "1-2", "2-0", "2-1", "2-2"]
    assert embeddings.facts_of(store, left.key) == facts and embeddings.without(store, named, ["x"]) == named
    empty = io.BytesIO()
    assert embeddings.write([], empty, facts) == 0 and pq.read_table(empty).num_rows == 0
