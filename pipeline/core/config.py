"""The settings of the corpus side: frozen sections, each key and its default in one place."""

import codecs
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from clean_corpus.pipeline.core.locations import LocationField
from clean_corpus.pipeline.core.manifest_columns import SEPARATORS, declared_columns
from clean_corpus.pipeline.core.rates import BANDWIDTHS, DEFAULT_RATE, RATES_HZ, nearest_rate
from clean_corpus.pipeline.core.switches import NULL_IS_OFF, read_switch


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys, no booleans for numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        return read_switch(cls.model_fields[str(info.field_name)], value)


AUTO = "auto"
Threshold = Annotated[float | None, NULL_IS_OFF]
ThresholdOrAuto = Annotated[float | Literal["auto"] | None, NULL_IS_OFF]


class DecodeConfig(Section):
    """Decoding of a recording to one rate, which may be any."""

    sample_rate: int = Field(ge=1000, le=1_000_000, description="rate of what is decoded, Hz")
    channel: Literal["mix"] | int = Field(
        "mix", description="mean of all, or the loudest good one where one is at fault; or the number of one, from 0"
    )
    allow_truncated: bool = Field(False, description="use what is there of a file shorter than its header says")
    max_hours: float = Field(24.0, gt=0, description="a longer recording fails as too_large, hours")
    max_decoded_gb: float = Field(
        100.0, gt=0, description="... or one with more samples, all channels, 4 bytes each, GB"
    )


class AudioConfig(DecodeConfig):
    """Decoding, and rate and level of published clips."""

    sample_rate: int = Field(
        DEFAULT_RATE,
        description=f"rate of every clip, Hz: {', '.join(map(str, RATES_HZ))}",
        json_schema_extra={"enum": list(RATES_HZ)},
    )
    loudness_lufs: Threshold = Field(-23.0, ge=-70, le=0, description="level of published clips; null leaves it")
    true_peak_db: float = Field(-1.0, ge=-20, le=0, description="highest true peak of published clips, dBTP")

    @field_validator("sample_rate")
    @classmethod
    def _rate_of_a_corpus(cls, value: int) -> int:
        if value not in RATES_HZ:
            known = ", ".join(map(str, RATES_HZ))
            about = {"known": known, "nearest": nearest_rate(value)}
            raise PydanticCustomError("rate", "expected one of {known} Hz; the nearest is {nearest}", about)
        return value


class SegmentConfig(Section):
    """Cutting of long recordings into utterances, and trimming of all of them."""

    max_s: float = Field(20.0, gt=0, description="recordings longer than this are cut at pauses, seconds")
    target_s: float = Field(
        6.0, gt=0, description="length at which cutting aims: short neighbours are joined up to it, seconds"
    )
    min_s: float = Field(1.0, ge=0, description="shorter clips are rejected as too_short, seconds")
    min_pause_ms: int = Field(300, gt=0, description="a pause that may end an utterance, ms")
    trim: bool = Field(True, description="leave out silence around the speech of recordings that are not cut, too")
    pad_ms: int = Field(150, ge=0, description="kept before and after the speech of a clip, ms")
    max_pause_s: Threshold = Field(None, gt=0, description="longer pauses within a clip are shortened to it, s")
    outside: Literal["reject", "keep"] = Field(
        "reject", description="speech outside all time-stamped texts of its recording: no_text, or clips without text"
    )
    speech_threshold: float = Field(0.5, gt=0, lt=1, description="speech probability that counts as speech")
    min_speech_s: float = Field(0.3, ge=0, description="clips with less speech are rejected as no_speech, seconds")


class DedupConfig(Section):
    """Search for duplicates."""

    near: bool = Field(True, description="also find re-encoded, re-levelled or trimmed copies")
    max_bit_error: float = Field(0.25, gt=0, lt=0.5, description="fingerprint bit error rate of a near duplicate")


class ShardConfig(Section):
    """Packing of clips into shards. A shard is the unit of work that a crash can cost."""

    max_clips: int = Field(64, ge=1, description="recordings per group and clips per shard, at most")
    max_s: float = Field(600.0, gt=0, description="audio per shard, at most, seconds")


class EnhanceConfig(Section):
    """Running of the enhancer."""

    batch_s: float | None = Field(
        None, gt=0, description="padded audio per batch, seconds; null: 30 on a GPU, one clip on a core"
    )


class TextConfig(Section):
    """Alignment of the text of long recordings, and transcription."""

    language: str | None = Field(
        None, description="of texts whose manifest gives none, ISO 639, for example en; null: unknown"
    )
    aligner: Annotated[Literal["auto", "pocketsphinx", "ctc"] | None, NULL_IS_OFF] = Field(
        "auto", description="finds the words of a long recording's text; auto: what is there for its language"
    )
    aligner_model: Path | None = Field(
        None, description="CTC network (.onnx, samples of 16 kHz to logits) with tokens.txt or vocab.json beside it"
    )
    transcriber: Annotated[Literal["faster-whisper", "pocketsphinx"] | None, NULL_IS_OFF] = Field(
        None, description="gives clips without text one, and compares that of the others with what it hears"
    )
    model: str | None = Field(
        None, description="folder of a faster-whisper model; a name, for example small, needs text.download"
    )
    download: bool = Field(False, description="let faster-whisper fetch a model that text.model names")


class ScoreConfig(Section):
    """Scoring of a clip before and after it is enhanced."""

    clean_dir: Annotated[LocationField | None, NULL_IS_OFF] = Field(
        None, description="folder of clean references, local or s3://, same relative name: adds PESQ, STOI, SI-SDR"
    )
    dnsmos_windows: Literal["whole", "speechmos"] = Field(
        "whole", description="DNSMOS of the whole clip, or of the windows of package speechmos, as published figures"
    )
    distillmos: bool = Field(False, description="also score naturalness by DistillMOS, extra `distillmos`; slow")
    all: bool = Field(
        False, description="also enhance and score clips that are clipped or lack bandwidth, and are rejected anyway"
    )


class SpeakersConfig(Section):
    """Voices of the clips: whether one speaker is in a clip, and behind a label."""

    embed: bool = Field(False, description="embed the voice of each clip, by the extra `speakers`; the rest needs it")
    constancy_min: Threshold = Field(
        0.65, ge=0, le=1, description="reject as speaker_change where the voices of two parts are less alike, a cosine"
    )
    match_min: Threshold = Field(
        0.75, ge=0, le=1, description="reject as speaker_outlier where it is less like its speaker's clips, a cosine"
    )
    min_clips: int = Field(8, ge=3, description="... for speakers with so many clips or more")
    group_min: Threshold = Field(
        0.775, ge=0, le=1, description="clips without a speaker are one speaker_auto if so alike on average, a cosine"
    )


class GateConfig(Section):
    """Thresholds on the version of a clip that would be published; null, or off, switches a check off.

    docs/GATE.md derives the defaults.
    """

    dnsmos_ovrl_min: Threshold = Field(2.6, description="DNSMOS P.835 overall, MOS")
    dnsmos_sig_min: Threshold = Field(3.0, description="DNSMOS P.835 speech, MOS")
    dnsmos_bak_min: Threshold = Field(3.5, description="DNSMOS P.835 background, MOS")
    dnsmos_p808_min: Threshold = Field(None, description="DNSMOS P.808 overall, MOS")
    distillmos_min: Threshold = Field(None, description="DistillMOS, MOS; needs score.distillmos")
    snr_db_min: Threshold = Field(10.0, description="estimated SNR, dB")
    clipping_ratio_max: Threshold = Field(0.002, description="share of clipped samples of the raw recording")
    bandwidth_hz_min: ThresholdOrAuto = Field(
        AUTO, description="effective bandwidth of the raw recording, Hz; auto: by audio.sample_rate, see docs/GATE.md"
    )
    speech_ratio_min: Threshold = Field(0.15, description="share of the clip that is speech")
    cer_max: Threshold = Field(
        None, ge=0, description="character error rate between the text and what text.transcriber hears"
    )
    text_rate_deviations_max: Threshold = Field(
        5.0, gt=0, description="letters per second of speech, robust standard deviations from the speaker's median"
    )
    text_rate_min_clips: int = Field(
        20, ge=2, description="clips with text that a speaker has at least for the check of their rate"
    )
    prefer: Literal["raw_if_good", "enhanced"] = Field(
        "raw_if_good", description="publish a raw clip that passes all thresholds, these four too; or always enhance"
    )
    raw_snr_db_min: Threshold = Field(20.0, description="SNR of a raw clip that is published as it is, dB")
    raw_dnsmos_bak_min: Threshold = Field(4.0, description="DNSMOS BAK of such a clip, MOS")
    raw_bandwidth_hz_min: ThresholdOrAuto = Field(
        AUTO, description="bandwidth of such a clip, Hz; auto: by audio.sample_rate"
    )
    raw_residual_snr_db_min: Threshold = Field(
        28.0, description="speech of such a clip over what enhancing would remove, in the 160 ms with most of it, dB"
    )
    guard_sig_drop: float = Field(
        0.5, ge=0, description="keep the raw clip if enhancement lowers SIG by more than this"
    )
    guard_clipping_rise: float = Field(1e-4, ge=0, description="... or raises the clipping ratio by more than this")
    guard_level_drop_db: float = Field(6.0, gt=0, description="... or lowers the loudness by more than this")
    guard_likeness_min: Threshold = Field(
        0.75,
        description="... or leaves the voice less alike, a cosine, at 25 dB SNR; 0.02 less for each dB below; "
        "where speakers.embed is on",
    )

    def at_rate(self, sample_rate: int) -> "GateConfig":
        """Return the gate of a corpus of one rate: each `auto` is the threshold of that rate."""
        defaults = {
            "bandwidth_hz_min": BANDWIDTHS[sample_rate].kept,
            "raw_bandwidth_hz_min": BANDWIDTHS[sample_rate].raw,
        }
        gate = self.model_copy(update={key: value for key, value in defaults.items() if getattr(self, key) == AUTO})
        gate.model_fields_set.intersection_update(self.model_fields_set)  # what was not set stays so
        return gate


class ManifestConfig(Section):
    """Reading of the tables, JSON lines and sidecars that give recordings their text."""

    columns: str | None = Field(
        None,
        description="what the columns of tables are, for example audio|speaker|text: audio or id, text, normalised, "
        "speaker, licence, consent, language, and _ for one to pass over; null: as the header line says, without one "
        "as LJSpeech",
    )
    separator: Literal["|", "\t", ";", ","] | None = Field(
        None, description="between columns of tables: |, ;, a comma or tab; null: as the first line tells"
    )
    encoding: str | None = Field(
        None, description="of manifests and sidecars without a byte order mark, for example windows-1252; null: UTF-8"
    )
    max_lines: int = Field(10_000_000, ge=1, description="further lines of one manifest are not read")
    max_mb: int = Field(4096, ge=1, description="what one manifest holds beyond this, unpacked, is not read, MiB")
    max_sidecar_kb: int = Field(1024, ge=1, description="a larger sidecar is not read, KiB")
    tier: str | None = Field(
        None,
        description="tier of TextGrids that holds utterances; null: the one that is called so, or all that do not hold "
        "words or phones, a speaker each",
    )
    files: str | None = Field(
        None, description="pattern of names that are tables besides metadata.csv, for example filelist*.txt"
    )

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, value: str | None) -> str | None:
        if value is not None:
            declared_columns(value)
        return value

    @field_validator("separator", mode="before")
    @classmethod
    def _tab_by_name(cls, value: Any) -> Any:
        return SEPARATORS.get(value, value) if isinstance(value, str) else value

    @field_validator("encoding")
    @classmethod
    def _text_encoding(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                "a".encode(value).decode(value)
                value = codecs.lookup(value).name
        except (LookupError, UnicodeError):
            raise ValueError("expected an encoding of text, for example windows-1252") from None
        return value


DEFAULT_MANIFEST = ManifestConfig()


class S3Config(Section):
    """Buckets of INPUT, OUTPUT, clean references and weights; credentials and region come from the AWS chain."""

    endpoint_url: str | None = Field(
        None,
        pattern=r"^https?://[^@/]+/?$",
        description="another vendor's server; default AWS_ENDPOINT_URL_S3",
    )
    requester_pays: bool = Field(False, description="pay for what others' buckets give")
    sse_kms_key_id: Annotated[str | None, NULL_IS_OFF] = Field(
        None, description="encrypt what is written with this KMS key"
    )
    checksum: Annotated[Literal["crc32", "crc32c", "sha1", "sha256"] | None, NULL_IS_OFF] = Field(
        "crc32", description="sent with what is written, for the server to check; null for servers that know none"
    )


DEFAULT_S3 = S3Config()


class PipelineConfig(Section):
    """The corpus side's sections together."""

    manifest: ManifestConfig = ManifestConfig()
    audio: AudioConfig = AudioConfig()
    segment: SegmentConfig = SegmentConfig()
    dedup: DedupConfig = DedupConfig()
    shards: ShardConfig = ShardConfig()
    enhance: EnhanceConfig = EnhanceConfig()
    text: TextConfig = TextConfig()
    score: ScoreConfig = ScoreConfig()
    speakers: SpeakersConfig = SpeakersConfig()
    gate: GateConfig = GateConfig()
    s3: S3Config = S3Config()

    @model_validator(mode="after")
    def _thresholds_of_the_rate(self) -> Self:
        object.__setattr__(self, "gate", self.gate.at_rate(self.audio.sample_rate))  # a field of a frozen model
        return self
