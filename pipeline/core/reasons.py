"""The closed list of reasons for which a clip is not kept; what one clip adds to it stands in its detail."""

import errno
import os
from enum import StrEnum


class Reason(StrEnum):
    """Why a clip is rejected or failed. The text of an error begins with its reason in words and a colon.

    A new kind of error is a new member and its row in MEANINGS: a text that begins otherwise counts as OTHER_ERROR.
    """

    # rejected before any network runs
    FORGOTTEN = "forgotten"
    NO_SPEECH = "no_speech"
    TOO_SHORT = "too_short"
    NO_TEXT = "no_text"
    TEXT_CUT = "text_cut"
    DUPLICATE = "duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    TEXT_RATE = "text_rate"
    # rejected by the gate, named by the score
    SPEECH_RATIO = "speech_ratio"
    CLIPPING_RATIO = "clipping_ratio"
    BANDWIDTH_HZ = "bandwidth_hz"
    UPSAMPLED = "upsampled"
    SNR_DB = "snr_db"
    DNSMOS_SIG = "dnsmos_sig"
    DNSMOS_BAK = "dnsmos_bak"
    DNSMOS_OVRL = "dnsmos_ovrl"
    DNSMOS_P808 = "dnsmos_p808"
    DISTILLMOS = "distillmos"
    CER = "cer"
    # rejected by the voice
    SPEAKER_CHANGE = "speaker_change"
    SPEAKER_OUTLIER = "speaker_outlier"
    # rejected by a person
    REVIEWED = "reviewed"
    # failed: the file or object cannot be had
    NOT_FOUND = "not_found"
    MALFORMED_MANIFEST = "malformed_manifest"
    NO_FILE_NAME = "no_file_name"
    BROKEN_LINK = "broken_link"
    SYMLINK_LOOP = "symlink_loop"
    KEY_TAKEN = "key_taken"
    PERMISSION_DENIED = "permission_denied"
    ACCESS_DENIED = "access_denied"
    ARCHIVED = "archived"
    REFUSED = "refused"
    SOURCE_CHANGED = "source_changed"
    CANNOT_BE_READ = "cannot_be_read"
    # failed: what it holds cannot be used
    EMPTY_FILE = "empty_file"
    NOT_AUDIO = "not_audio"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    CANNOT_DECODE = "cannot_decode"
    JOINED = "joined"
    NO_SAMPLES = "no_samples"
    NOT_FINITE = "not_finite"
    SAMPLE_RATE = "sample_rate"
    NO_SUCH_CHANNEL = "no_such_channel"
    TOO_LARGE = "too_large"
    # failed: a stage could not do its work
    INGEST = "ingest"
    ENHANCE = "enhance"
    SCORE = "score"
    GATE = "gate"
    PUBLISH = "publish"
    TRANSCRIBE = "transcribe"
    WORKER = "worker"
    TIMED_OUT = "timed_out"
    OTHER_ERROR = "other_error"


MEANINGS: dict[Reason, str] = {
    Reason.FORGOTTEN: "somebody asked for it to be forgotten; the request is named, no audio and no text is left",
    Reason.NO_SPEECH: "holds less speech than `segment.min_speech_s`",
    Reason.TOO_SHORT: "is shorter than `segment.min_s`",
    Reason.NO_TEXT: "is spoken outside all time-stamped texts of its recording, see `segment.outside`",
    Reason.TEXT_CUT: "its text is cut in two, or overlaps another speaker's, so nobody knows what is said in this clip",
    Reason.DUPLICATE: "has the samples of another clip; the copy that is kept is named",
    Reason.NEAR_DUPLICATE: "is another clip coded, levelled or trimmed otherwise; the copy that is kept is named",
    Reason.TEXT_RATE: "its text is too long or too short for its speech, by what is usual of its speaker: "
    "`gate.text_rate_deviations_max`",
    Reason.SPEECH_RATIO: "has a smaller share of speech than `gate.speech_ratio_min`",
    Reason.CLIPPING_RATIO: "was recorded with a larger share of clipped samples than `gate.clipping_ratio_max`",
    Reason.BANDWIDTH_HZ: "was recorded with less bandwidth than `gate.bandwidth_hz_min`",
    Reason.UPSAMPLED: "has less bandwidth than `gate.bandwidth_hz_min`, since it is of a lower sample rate",
    Reason.SNR_DB: "has a lower SNR than `gate.snr_db_min`",
    Reason.DNSMOS_SIG: "has a lower DNSMOS SIG than `gate.dnsmos_sig_min`",
    Reason.DNSMOS_BAK: "has a lower DNSMOS BAK than `gate.dnsmos_bak_min`",
    Reason.DNSMOS_OVRL: "has a lower DNSMOS OVRL than `gate.dnsmos_ovrl_min`",
    Reason.DNSMOS_P808: "has a lower DNSMOS P.808 than `gate.dnsmos_p808_min`",
    Reason.DISTILLMOS: "has a lower DistillMOS than `gate.distillmos_min`",
    Reason.CER: "what a recogniser heard differs from its text by more than `gate.cer_max`",
    Reason.SPEAKER_CHANGE: "its voice changes: two parts are less alike than `speakers.constancy_min`",
    Reason.SPEAKER_OUTLIER: "its voice is not that of its speaker's other clips, by `speakers.match_min`",
    Reason.REVIEWED: "a person decided so in a [review](review.md); who and why stand in `detail`",
    Reason.NOT_FOUND: "a manifest names it, and it is not there",
    Reason.MALFORMED_MANIFEST: "a line of a manifest, or a sidecar, came to nothing",
    Reason.NO_FILE_NAME: "an object's key is no name of a file",
    Reason.BROKEN_LINK: "a link to nothing",
    Reason.SYMLINK_LOOP: "a link that leads back to itself",
    Reason.KEY_TAKEN: "the hash of its path ends the key of another recording too, which is named",
    Reason.PERMISSION_DENIED: "the file system does not let it be read",
    Reason.ACCESS_DENIED: "the bucket's credentials do not let it be read",
    Reason.ARCHIVED: "the object lies in a storage class that has to be restored first",
    Reason.REFUSED: "the server does not give this object",
    Reason.SOURCE_CHANGED: "it was changed or taken away during the run",
    Reason.CANNOT_BE_READ: "the disk or the server gave an error",
    Reason.EMPTY_FILE: "no byte in it",
    Reason.NOT_AUDIO: "no format of audio is recognised",
    Reason.UNSUPPORTED_FORMAT: "a known format that this installation does not decode",
    Reason.TRUNCATED: "it holds less than its header announces",
    Reason.CANNOT_DECODE: "its coding is damaged",
    Reason.JOINED: "it goes on with a recording of another rate or other channels, which is not read",
    Reason.NO_SAMPLES: "audio without a sample",
    Reason.NOT_FINITE: "a sample is NaN or infinite",
    Reason.SAMPLE_RATE: "its header states a sample rate that no recording has",
    Reason.NO_SUCH_CHANNEL: "it lacks the channel that `audio.channel` names",
    Reason.TOO_LARGE: "it exceeds a limit on length or size",
    Reason.INGEST: "reading and cutting it ended in an error",
    Reason.ENHANCE: "the network gave up on it",
    Reason.SCORE: "it could not be scored",
    Reason.GATE: "no decision could be made over its scores",
    Reason.PUBLISH: "its shard could not be written",
    Reason.TRANSCRIBE: "the recogniser gave up on it",
    Reason.WORKER: "the worker process died with it",
    Reason.TIMED_OUT: "work on it did not end in time",
    Reason.OTHER_ERROR: "another error",
}


class ChosenWhy(StrEnum):
    """Why a version of a clip was chosen; the ledger's `chosen_why` begins with it, behind a colon are the numbers."""

    DAMAGE = "damage"
    RAW_IS_GOOD = "raw_is_good"
    RAW_FALLS_SHORT = "raw_falls_short"
    ENHANCED_PREFERRED = "enhanced_preferred"
    NOT_ENHANCED = "not_enhanced"
    REVIEWED = "reviewed"


_SYSTEM = {errno.EACCES: Reason.PERMISSION_DENIED, errno.EPERM: Reason.PERMISSION_DENIED}
_SYSTEM |= {errno.ELOOP: Reason.SYMLINK_LOOP, errno.ENOENT: Reason.SOURCE_CHANGED}
_OF_SYSTEM_ERRORS = {
    os.strerror(code).lower(): _SYSTEM.get(code, Reason.CANNOT_BE_READ) for code in sorted(errno.errorcode)
}


def reason_of(error: str) -> Reason:
    """Return the reason that the text of an error begins with, in words; the rest of the text is its detail.

    A text of the operating system's alone is one of three reasons, and any other text is another error.

    >>> [str(reason_of(text)) for text in ("truncated: 3 s of 4 s", "Input/output error", "sample_at_3_s_is_nan")]
    ['truncated', 'cannot_be_read', 'other_error']
    """
    head = error.partition(":")[0].strip()
    try:
        return Reason(head.replace(" ", "_"))
    except ValueError:
        return _OF_SYSTEM_ERRORS.get(head.lower(), Reason.OTHER_ERROR)
