"""What decisions of people make of clips: of their texts before anything is judged, of their ends after the gate."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from clean_corpus.pipeline.core.reasons import ChosenWhy, Reason
from clean_corpus.pipeline.core.records import RawShard
from clean_corpus.pipeline.core.types import Clip, Decision, Metadata, ReviewFacts, Verdict
from clean_corpus.pipeline.corpus.decisions import Decided, Review
from clean_corpus.pipeline.corpus.ledger import NO_REVIEW, REVIEW, Row
from clean_corpus.pipeline.text.error_rate import character_error_rate
from clean_corpus.pipeline.text.rate import text_rate

FINAL = (Reason.DUPLICATE, Reason.FORGOTTEN)
"""Rejections that nobody overrules: the samples are published with another clip, or somebody asked for them to go."""
_GIVEN = ("text", "text_source", "text_original", "speaker")


def bar(gate: Decision) -> str | None:
    """Return why nobody can keep a clip, None if a person can.

    >>> bar(Decision(Verdict.FAILED, Reason.TRUNCATED, "truncated: 3 s of 4 s"))
    'it failed, and has no audio: truncated: 3 s of 4 s'
    """
    if gate.verdict is Verdict.FAILED:
        return f"it failed, and has no audio: {gate.detail}"
    if gate.reason in FINAL:
        return f"{gate.reason}: {gate.detail}"
    return None


def effect(gate: Decision, review: Review, *, is_enhanced: bool) -> Decision:
    """Return the end of a clip by what a person decided, else by the gate.

    What was rejected before any network ran has no enhanced version (`is_enhanced`), and is kept raw.
    """
    if review.verdict is None or bar(gate):
        return gate
    if review.verdict == "reject":
        detail = f"reviewed by {review.by}: {review.why or 'no reason given'}"
        return replace(gate, verdict=Verdict.REJECTED, reason=Reason.REVIEWED, detail=detail)
    detail = f"reviewed by {review.by}" + (f": {gate.detail}" if gate.detail else "")
    chosen, why = gate.chosen, gate.chosen_why
    if review.version and review.version != chosen:
        chosen, why = review.version, f"{ChosenWhy.REVIEWED}: by {review.by}"
    if chosen is None or (chosen == "enhanced" and not is_enhanced):
        chosen, why = "raw", f"{ChosenWhy.REVIEWED}: by {review.by}, there is no enhanced version"
    return Decision(Verdict.KEPT, None, detail, chosen, why)


def facts(review: Review, gate: Decision, given: Mapping[str, Any]) -> ReviewFacts:
    """Return the columns that say what was decided, and what stood there without."""
    found = ReviewFacts(review.words, review.by, review.at, review.note)
    if review.verdict:
        found = replace(
            found,
            gate_verdict=gate.verdict.value,
            gate_reason=gate.reason and gate.reason.value,
            gate_detail=gate.detail,
            gate_chosen=gate.chosen,
            gate_chosen_why=gate.chosen_why,
        )
    return replace(found, **{f"given_{name}": value for name, value in given.items()})


def corrected_texts(given: Mapping[str, Any], review: Review, speech_s: float | None) -> dict[str, Any]:
    """Return what a review changes of the columns of texts; those that it leaves are left out."""
    changed: dict[str, Any] = {}
    if "speaker" in review.fields:
        changed["speaker"] = review.fields["speaker"]
    if "text" in review.fields:
        text = review.fields["text"]
        changed |= {"text": text, "text_source": "reviewed", "text_rate": text_rate(text, speech_s)}
        changed["text_original"] = given["text_original"] or given["text"]
    return changed


def _given_of(review: Review, texts: Mapping[str, Any]) -> dict[str, Any]:
    names = (["text", "text_source", "text_original"] if "text" in review.fields else []) + (
        ["speaker"] if "speaker" in review.fields else []
    )
    return {name: texts[name] for name in names}


class Reviews:
    """Decisions as a run honours them, over raw shards and over the rows of its ledger."""

    def __init__(self, decided: Decided) -> None:
        self._decided = decided
        self._given: dict[str, dict[str, Any]] = {}

    def _of(self, clip: Clip) -> Review | None:
        return self._decided.of(clip.source_sha256, clip.offset_s, clip.end_s)

    def only(self, raw: RawShard) -> "Reviews":
        """Return what concerns the clips of a raw shard alone, for a worker to have."""
        part = Reviews(self._decided.only({clip.source_sha256 for clip in raw.clips}))
        names = {clip.clip_id for clip in raw.clips}
        part._given = {clip_id: given for clip_id, given in self._given.items() if clip_id in names}
        return part

    def correcting(self, before: Callable[[RawShard], RawShard]) -> Callable[[RawShard], RawShard]:
        """Return what puts right texts and speakers of a raw shard's clips, after `before`."""
        if not len(self._decided):
            return before
        return lambda raw: self.corrected(before(raw))

    def corrected(self, raw: RawShard) -> RawShard:
        """Return a raw shard with the texts and speakers that people gave its clips."""
        return replace(raw, clips=[self._corrected(clip) for clip in raw.clips])

    def _corrected(self, clip: Clip) -> Clip:
        review = self._of(clip)
        if review is None or not review.fields:
            return clip
        given = {"text": clip.metadata.text, "text_source": clip.text_source, "speaker": clip.metadata.speaker}
        given["text_original"] = clip.text_original
        self._given[clip.clip_id] = _given_of(review, given)
        changed = corrected_texts(given, review, clip.speech_s)
        facts = {name: changed.pop(name) for name in ("text", "speaker") if name in changed}
        return replace(clip, metadata=replace(clip.metadata, **facts), **changed)

    def overruled(self, row: Row) -> Row:
        """Return a row as a person decided, with what the gate had said in columns of its own."""
        review = self._of(row.clip)
        if review is None:
            return row
        gate, given, clip = row.decision, self._given.get(row.clip.clip_id, {}), row.clip
        if review.fields.get("text", "") is None:  # nor has it the one that was heard since
            clip = replace(clip, metadata=replace(clip.metadata, text=None), text_source="reviewed")
        decision = effect(gate, review, is_enhanced=bool(row.after))
        return replace(row, clip=clip, decision=decision, review=facts(review, gate, given))


NO_REVIEWS = Reviews(Decided())

# ---- rows of a ledger that is there ----------------------------------------------------------------------------


def gate_decision(row: Mapping[str, Any]) -> Decision:
    """Return what the gate said of a clip, whoever overruled it."""
    of = "gate_" if row.get("gate_verdict") else ""
    reason = row[f"{of}reason"]
    return Decision(
        Verdict(row[f"{of}verdict"]),
        Reason(reason) if reason else None,
        row[f"{of}detail"],
        row[f"{of}chosen"],
        row[f"{of}chosen_why"],
    )


def redecided(row: Mapping[str, Any], review: Review | None) -> dict[str, Any]:
    """Return a row of a ledger as it is after a review, None for one without: decisions before are taken back.

    Its tar and gain are those of before. A clip without audio stays as it is, as in a run.
    """
    if row["raw_shard"] is None:
        return dict(row)
    gate, new, texts = gate_decision(row), dict(row), _as_given(row)
    new |= texts | asdict(NO_REVIEW)
    if texts["text"] != row["text"]:
        new["text_rate"] = text_rate(texts["text"], row["speech_s"])
    decision = gate
    if review is not None:
        given = _given_of(review, texts)
        new |= corrected_texts(texts, review, row["speech_s"])
        decision = effect(gate, review, is_enhanced=row["enhanced_shard"] is not None)
        new |= asdict(facts(review, gate, given))
    if new["text"] is None and new["text_source"] != "reviewed" and row["asr_text"]:
        new |= {"text": row["asr_text"], "text_source": "asr"}
    if new["text"] != row["text"] and row["asr_text"] is not None:
        is_held = new["text"] and new["text_source"] != "asr"
        new["cer"] = character_error_rate(new["text"], row["asr_text"]) if is_held else None
    new |= {"verdict": decision.verdict.value, "reason": decision.reason and decision.reason.value}
    return new | {"detail": decision.detail, "chosen": decision.chosen, "chosen_why": decision.chosen_why}


def _as_given(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return text and speaker of a row as they came, before anyone corrected them and anything was heard."""
    texts = {name: row[name] for name in _GIVEN}
    before = [part.strip() for part in (row.get("reviewed") or "").split(",")]
    for part, names in (("text", _GIVEN[:3]), ("speaker", _GIVEN[3:])):
        if part in before:
            texts |= {name: row[f"given_{name}"] for name in names}
    return texts | ({"text": None, "text_source": None} if texts["text_source"] == "asr" else {})


def differs(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two rows of one clip differ in what people decide."""
    names = ("verdict", "reason", "detail", "chosen", "text", "speaker", *REVIEW)
    return any(row.get(name) != other.get(name) for name in names)


def clip_of(row: Mapping[str, Any]) -> Clip:
    """Return the clip of a row, as far as tars say anything of it."""
    return Clip(
        row["clip_id"],
        row["source"],
        row["source_sha256"],
        row["offset_s"],
        row["duration_s"],
        speech_s=row["speech_s"],
        metadata=Metadata(row["text"], row["speaker"], row["licence"], row["consent"], row["language"]),
        recording_text=row["recording_text"],
        text_source=row["text_source"],
        text_original=row["text_original"],
        text_rate=row["text_rate"],
        asr_text=row["asr_text"],
        cer=row["cer"],
        removed=((0.0, row["removed_s"]),) if row["removed_s"] else (),
    )
