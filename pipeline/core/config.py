"""The settings of the corpus side: frozen sections, each key and its default in one place."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from clean_corpus.pipeline.core.locations import LocationField


class Section(BaseModel):
    """Base of every section: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AudioConfig(Section):
    """Decoding, and the level of published clips."""

    sample_rate: int = Field(16000, ge=8000, le=48000, description="rate of every clip, Hz")
    channel: Literal["mix"] | int = Field("mix", description="mean of all channels, or the number of one, from 0")
    loudness_lufs: float | None = Field(-23.0, ge=-70, le=0, description="level of published clips; null leaves it")
    true_peak_db: float = Field(-1.0, ge=-20, le=0, description="highest true peak of published clips, dBTP")
    allow_truncated: bool = Field(False, description="use what is there of a file shorter than its header says")


class SegmentConfig(Section):
    """Cutting of long recordings into utterances."""

    max_s: float = Field(20.0, gt=0, description="recordings longer than this are cut at pauses, seconds")
    min_s: float = Field(1.0, ge=0, description="shorter clips are rejected as too_short, seconds")
    min_pause_ms: int = Field(300, gt=0, description="a pause that may end an utterance, ms")
    pad_ms: int = Field(150, ge=0, description="kept before and after the speech of a cut utterance, ms")
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

    batch_s: float = Field(4.0, gt=0, description="padded audio per batch, seconds; a GPU likes 100")


class ScoreConfig(Section):
    """Scoring of a clip before and after it is enhanced."""

    clean_dir: LocationField | None = Field(
        None, description="folder of clean references, local or s3://, same relative name: adds PESQ, STOI, SI-SDR"
    )


class GateConfig(Section):
    """Thresholds on the version of a clip that would be published; null switches a check off.

    docs/GATE.md derives the defaults.
    """

    dnsmos_ovrl_min: float | None = Field(2.6, description="DNSMOS P.835 overall, MOS")
    dnsmos_sig_min: float | None = Field(3.0, description="DNSMOS P.835 speech, MOS")
    dnsmos_bak_min: float | None = Field(3.5, description="DNSMOS P.835 background, MOS")
    dnsmos_p808_min: float | None = Field(None, description="DNSMOS P.808 overall, MOS")
    snr_db_min: float | None = Field(10.0, description="estimated SNR, dB")
    clipping_ratio_max: float | None = Field(0.002, description="share of clipped samples of the raw recording")
    bandwidth_hz_min: float | None = Field(5000.0, description="effective bandwidth of the raw recording, Hz")
    speech_ratio_min: float | None = Field(0.15, description="share of the clip that is speech")
    guard_sig_drop: float = Field(
        0.5, ge=0, description="keep the raw clip if enhancement lowers SIG by more than this"
    )
    guard_clipping_rise: float = Field(1e-4, ge=0, description="... or raises the clipping ratio by more than this")
    guard_level_drop_db: float = Field(6.0, gt=0, description="... or lowers the loudness by more than this")


class S3Config(Section):
    """Buckets of INPUT, OUTPUT, clean references and weights; credentials and region come from the AWS chain."""

    endpoint_url: str | None = Field(
        None,
        pattern=r"^https?://[^@/]+/?$",
        description="another vendor's server; default AWS_ENDPOINT_URL_S3",
    )
    requester_pays: bool = Field(False, description="pay for what others' buckets give")
    sse_kms_key_id: str | None = Field(None, description="encrypt what is written with this KMS key")
    checksum: Literal["crc32", "crc32c", "sha1", "sha256"] | None = Field(
        "crc32", description="sent with what is written, for the server to check; null for servers that know none"
    )


DEFAULT_S3 = S3Config()


class PipelineConfig(Section):
    """The corpus side's sections together."""

    audio: AudioConfig = AudioConfig()
    segment: SegmentConfig = SegmentConfig()
    dedup: DedupConfig = DedupConfig()
    shards: ShardConfig = ShardConfig()
    enhance: EnhanceConfig = EnhanceConfig()
    score: ScoreConfig = ScoreConfig()
    gate: GateConfig = GateConfig()
    s3: S3Config = S3Config()
