"""Settings of a vocoder's training."""

from typing import Any, Literal

from pydantic import Field

from clean_corpus.pipeline.core.config import Section
from clean_corpus.vocoder.features import LogMel

EMPHASIS = 0.85  # of a training from random weights, unless the configuration says another

SplitBy = Literal["utterance", "speaker"]


class FeatureConfig(Section):
    """Settings of the frames; sizes in samples, f_max_hz null for half the rate."""

    sample_rate: int = Field(16000, gt=0)
    n_mels: int = Field(45, ge=1)
    win_length: int = Field(400, ge=1)
    hop_length: int = Field(80, ge=1)
    n_fft: int = Field(512, ge=1)
    f_max_hz: float | None = Field(None, gt=0)

    def log_mel(self) -> LogMel:
        """Return the transform with these settings."""
        return LogMel(**(self.model_dump() | {"f_max_hz": self.f_max_hz or self.sample_rate / 2}))


class VocoderConfig(Section):
    """Settings on which a training depends, beside its shards."""

    start_from: str | None = None  # trained vocoder, --out or .safetensors, s3:// too, or shipped voice, to fine-tune
    steps: int = Field(200_000, ge=1)
    batch_size: int = Field(8, ge=1)
    frames: int = Field(100, ge=1)  # of each segment, without those of its history
    learning_rate: float = Field(1e-3, ge=0)
    lr_schedule: Literal["cosine", "halve_on_plateau"] = "cosine"  # cosine: to zero over the steps
    warmup_steps: int = Field(200, ge=0)
    halve_after: int = Field(2, ge=1)  # rises of the validation loss in a row, with halve_on_plateau
    steps_per_epoch: int = Field(1000, ge=1)  # a checkpoint and a validation follow each epoch
    validation_share: float = Field(0.05, gt=0, lt=1)
    validation_disjoint: SplitBy = "utterance"
    validation_clips: int = Field(32, ge=1)
    patience: int = Field(20, ge=1)  # epochs without a better validation
    keep: Literal["best", "last"] = "best"  # best validation, or last: equally many steps for all that are compared
    ema_decay: float = Field(0.999, ge=0, lt=1)
    clip_norm: float = Field(1.0, gt=0)
    shuffle_clips: int = Field(256, ge=1)
    speaker_conditioning: bool = False
    heard_s: float = Field(2.0, ge=0)  # of a held-out clip, spoken at each validation for TensorBoard; 0: none
    voiced_temperature: float = Field(1.0, gt=0, le=1)  # of draws in voiced frames; for the card, as vocode's default
    equaliser_ms: float = Field(0.0, ge=0)  # over which speech gets the energies of its frames; for the card
    workers: int = Field(1, ge=0)
    seed: int = Field(0, ge=0)
    precision: str | None = None  # Lightning's names; null: bf16-mixed on a GPU, 32-true on a CPU
    budget_min: float | None = Field(None, gt=0)  # stop after so many minutes
    features: FeatureConfig = FeatureConfig()  # those left out are start_from's
    emphasis: float | None = Field(None, ge=0, lt=1)  # of modelled samples; 0: none; null: 0.85, or start_from's
    sizes: dict[str, Any] = Field(default_factory=dict)  # keywords of WaveNet; those left out are start_from's


FREE = {"workers", "budget_min", "heard_s"}  # may change when a training continues in the same folder
