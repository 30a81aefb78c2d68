"""Values that the stages pass on: a recording that was found, a clip cut from it, its scores, its verdict."""

import hashlib
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

import numpy as np
from anyascii import anyascii
from numpy.typing import NDArray

from clean_corpus.pipeline.core.reasons import Reason

Audio = NDArray[np.float32]
"""Samples of one channel, (N,), full scale +-1."""

KEY_DIGITS = 16  # 64 bits: of 100 million recordings, two share them with a probability of 1 in 4,000


Version = Literal["raw", "enhanced"]
"""The two versions of a clip."""


class Verdict(StrEnum):
    """The three ends of a clip."""

    KEPT = "kept"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True)
class Metadata:
    """Metadata of a recording from manifests and sidecars; None where they give none."""

    text: str | None = None
    speaker: str | None = None
    licence: str | None = None
    consent: str | None = None
    language: str | None = None


def overlay(below: Metadata, above: Metadata) -> Metadata:
    """Return `above`, with the fields that it leaves None taken from `below`.

    >>> overlay(Metadata(text="a", speaker="s"), Metadata(text="b"))
    Metadata(text='b', speaker='s', licence=None, consent=None, language=None)
    """
    return replace(below, **{name: value for name, value in vars(above).items() if value is not None})


@dataclass(frozen=True, slots=True)
class TimedText:
    """What is spoken from `start_s` to `end_s` of a recording, and by whom where that is said."""

    start_s: float
    end_s: float
    text: str
    speaker: str | None = None


TextSource = Literal["manifest", "timed", "aligned", "asr", "reviewed"]
"""Where a clip's text is from: its recording, which is one clip; time stamps; an aligner; a recogniser; a person."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One file or object of the input.

    `path` is the name relative to INPUT as the operating system has it (surrogate escapes for bytes that are not
    UTF-8), `source` the same name as valid UTF-8 for people and the ledger. `error` says why it cannot be read at all.
    `segments` are its time-stamped texts in the order of time; the text of `metadata` is that of all of it.
    In a bucket the listing gives an `etag`; the hash of the content is known only after the download. `shares_key` says
    that the key of another recording has the same digits, so that this one's has all of them. `stamp` is the state that
    a local file had when it was hashed, and has until it changes; None where that cannot be told.
    """

    path: str
    source: str
    size: int
    sha256: str | None
    metadata: Metadata = Metadata()
    error: str | None = None
    etag: str | None = None
    shares_key: bool = False
    segments: tuple[TimedText, ...] = ()
    stamp: str | None = field(default=None, compare=False)

    @property
    def key(self) -> str:
        """A WebDataset-safe name, unique to this path: ASCII without dots and slashes, at most 65 characters.

        Other scripts are transliterated, so that people recognise a name.

        >>> Recording("a/日本 1.wav", "a/日本 1.wav", 0, None).key
        'RiBen_1-cc0b5303a4dc0df1'
        """
        stem = anyascii(self.source.rsplit("/", 1)[-1].rsplit(".", 1)[0])
        digits = path_digest(self.path)[: None if self.shares_key else KEY_DIGITS]
        return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', stem)[:48].strip('_') or 'clip'}-{digits}"


def path_digest(path: str) -> str:
    """Return the hexadecimal digest of a path, whose first digits end a recording's key."""
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()


Scores = dict[str, float | None]
"""Name of quality.scorer.SCORES -> value; None where it cannot be measured (no speech, too short)."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of the ledger before its scores: an utterance, or a whole recording that could not become one.

    `error` makes it `failed`; `reject` (reason, sentence with the two values) makes it `rejected` before any network
    runs.

    `clipping_ratio` and `bandwidth_hz` are of the clip as it was recorded, at `sample_rate_in_hz`; `cutoff_hz` is where
    its spectrum ends as a resampler's or a coder's does, None where it fades or fills the band. `channel` is the one
    that was taken, from 0, or `mix`, and `channel_why` says why where the setting did not choose it. `input_gain_db` is
    the gain from the recording to the raw clip. `removed` says what of the recording was taken out of the clip's
    pauses: where it began in the recording and how long it was, seconds.

    The text of `metadata` is what is spoken in this clip and nothing else, and `text_source` says where it is from;
    `recording_text` is what is known of a recording that was cut without knowing whose text is whose.
    `text_original` is the text as it came, where cleaning it changed it; `text_rate` its letters per second of speech.
    `asr_text` is what a recogniser heard, and `cer` the character error rate between that and the text.
    """

    clip_id: str
    source: str
    source_sha256: str | None
    offset_s: float = 0.0
    duration_s: float = 0.0
    sample_rate_in_hz: int | None = None
    channels_in: int | None = None
    speech_s: float | None = None
    pcm_sha256: str | None = None
    metadata: Metadata = field(default_factory=Metadata)
    error: str | None = None
    reject: tuple[Reason, str] | None = None
    channel: str | None = None
    channel_why: str | None = None
    input_gain_db: float | None = None
    clipping_ratio: float | None = None
    bandwidth_hz: float | None = None
    recording_text: str | None = None
    text_source: TextSource | None = None
    text_original: str | None = None
    text_rate: float | None = None
    asr_text: str | None = None
    cer: float | None = None
    cutoff_hz: float | None = None
    removed: tuple[tuple[float, float], ...] = ()

    @property
    def removed_s(self) -> float:
        """Seconds that were taken out of the clip's pauses."""
        return sum(seconds for _, seconds in self.removed)

    @property
    def end_s(self) -> float:
        """Where the clip ends in the recording."""
        return self.offset_s + self.duration_s + self.removed_s

    @property
    def origin(self) -> dict[str, object]:
        """The clip's columns of the ledger and the tars that say where it was cut from; seconds."""
        return {
            "clip_id": self.clip_id,
            "source": self.source,
            "source_sha256": self.source_sha256,
            "offset_s": self.offset_s,
            "duration_s": self.duration_s,
            "removed_s": self.removed_s,
        }

    @property
    def texts(self) -> dict[str, object]:
        """The clip's columns of the ledger and the tars that say what is spoken in it, by whom, and what is allowed."""
        return {
            "text": self.metadata.text,
            "recording_text": self.recording_text,
            "text_source": self.text_source,
            "text_original": self.text_original,
            "text_rate": self.text_rate,
            "asr_text": self.asr_text,
            "cer": self.cer,
            **{name: getattr(self.metadata, name) for name in ("speaker", "licence", "consent", "language")},
        }


@dataclass(frozen=True, slots=True)
class VoiceFacts:
    """What the voices of a clip say of its speaker, as columns of the ledger; None where they were not embedded.

    `voice_likeness` is that of the raw and the enhanced version, `voice_constancy` that of the parts of the version
    that was chosen, `voice_match` its likeness to the other clips of its speaker: cosines. `speaker_auto` names the
    clips without a speaker's label that sound like one.
    """

    voice_likeness: float | None = None
    voice_constancy: float | None = None
    voice_match: float | None = None
    speaker_auto: str | None = None


@dataclass(frozen=True, slots=True)
class ReviewFacts:
    """What a person decided over a clip, as columns of the ledger; None where nothing was decided.

    `reviewed` says what in the words of the entries, `gate_` fields are what the gate said where a verdict or a version
    was decided, `given_` fields the text and the speaker that were corrected.
    """

    reviewed: str | None = None
    reviewed_by: str | None = None
    reviewed_at: str | None = None
    review_note: str | None = None
    gate_verdict: str | None = None
    gate_reason: str | None = None
    gate_detail: str | None = None
    gate_chosen: str | None = None
    gate_chosen_why: str | None = None
    given_text: str | None = None
    given_text_source: str | None = None
    given_text_original: str | None = None
    given_speaker: str | None = None


@dataclass(frozen=True)
class Decision:
    """The verdict on a clip: `reason` is one of a closed list, `detail` the sentence with the two numbers."""

    verdict: Verdict
    reason: Reason | None = None
    detail: str | None = None
    chosen: Version | None = None
    chosen_why: str | None = None
