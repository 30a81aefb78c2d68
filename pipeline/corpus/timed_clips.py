"""Clips of a recording with time-stamped texts: each with the texts that are spoken in it, or why it has none."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from clean_corpus.pipeline.audio.timed_plan import Piece
from clean_corpus.pipeline.core.config import SegmentConfig
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.types import Clip, Recording
from clean_corpus.pipeline.text.alignment import Spoken

Words = Callable[[Clip], Spoken | None]
"""A clip -> what the recording's text says in it; None if that is not known."""


def with_texts(clip: Clip, piece: Piece, recording: Recording, config: SegmentConfig, words: Words) -> Clip:
    """Return the clip of a piece of a recording with the texts that are spoken in it, and nothing else.

    It is rejected if they are not spoken in it alone, or if nothing says what is.
    """
    bare = replace(clip.metadata, text=None)
    if not piece.texts:
        detail = f"no text has speech from {clip.offset_s:.2f} s to {clip.end_s:.2f} s; see segment.outside"
        reject = clip.reject or ((Reason.NO_TEXT, detail) if config.outside == "reject" else None)
        return replace(clip, metadata=bare, recording_text=recording.metadata.text, reject=reject)
    text = " ".join(said.text for said in piece.texts)
    speaker = piece.texts[0].speaker or clip.metadata.speaker
    bare = replace(bare, speaker=speaker)
    if piece.overlaps is not None:
        other = piece.overlaps
        detail = f"{other.text[:60]!r} is spoken at the same time, {other.start_s:.2f} s to {other.end_s:.2f} s"
        return _cut(replace(clip, metadata=bare), text, detail)
    if not piece.is_part:
        return replace(clip, metadata=replace(bare, text=text), text_source="timed")
    spoken = words(clip)
    if spoken is not None and spoken.cut is None:
        return replace(clip, metadata=replace(bare, text=spoken.text), text_source="aligned", recording_text=text)
    said = piece.texts[0]
    detail = f"its text lasts {said.end_s - said.start_s:.4g} s, segment.max_s is {config.max_s:g}"
    detail = f"the clip's edge is in {spoken.cut!r}" if spoken else detail
    return _cut(replace(clip, metadata=bare), text, detail)


def _cut(clip: Clip, text: str, detail: str) -> Clip:
    return replace(clip, recording_text=text, reject=clip.reject or (Reason.TEXT_CUT, detail))


def behind_the_end(clip: Clip, recording: Recording, duration_s: float) -> Iterator[Clip]:
    """Yield a rejected clip for each text whose time begins where the recording has ended."""
    for number, said in enumerate(recording.segments):
        if said.start_s >= duration_s:
            detail = f"its text is spoken from {said.start_s:.2f} s on, the recording ends at {duration_s:.2f} s"
            yield replace(
                clip,
                clip_id=f"{clip.clip_id}-text-{number:05d}",
                offset_s=said.start_s,
                speech_s=0.0,
                metadata=replace(clip.metadata, text=said.text, speaker=said.speaker or clip.metadata.speaker),
                text_source="timed",
                reject=(Reason.NO_SPEECH, detail),
            )
