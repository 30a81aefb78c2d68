"""Settings of a comparison of vocoders, and what they mean for its trainings."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from clean_corpus.pipeline.core.config import NULL_IS_OFF, Section, TextConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.comparison.aligned_sets import Utterances
from clean_corpus.vocoder.comparison.copy_synthesis import CLEAN
from clean_corpus.vocoder.training.config import VocoderConfig

PUBLISHED = "gated"  # name of the set that a run has published, as --compare of `run` names it
AGAIN = "-again"  # behind the name of the set that is trained a second time
AA_SEED = 1000  # what is added to the seeds of that second training


class CompareConfig(Section):
    """Settings of a comparison, beside its sets."""

    utterances: Utterances = "common"
    spoken: int = Field(20, ge=2)  # utterances of the test split; at most a fifth of all
    seeds: int = Field(1, ge=1)  # trainings of each set, with seeds vocoder.seed, vocoder.seed + 1 and so on
    aa: bool = False  # train the clean set, or else the first, once more with other seeds: the noise floor
    frames_from: str | None = None  # set of the common frames; null: clean, else gated, else the last
    transcriber: Annotated[Literal["faster-whisper", "pocketsphinx"] | None, NULL_IS_OFF] = None  # for word errors
    transcriber_model: str | None = None  # folder of a faster-whisper model
    language: str | None = None  # of texts whose set names none, for the transcriber
    at_once: int | None = Field(None, ge=1)  # trainings side by side; one per GPU, or one, unless set
    vocoder: VocoderConfig = VocoderConfig()

    @field_validator("vocoder")
    @classmethod
    def _one_schedule(cls, vocoder: VocoderConfig) -> VocoderConfig:
        if vocoder.lr_schedule != "cosine":
            raise ValueError(
                f"lr_schedule {vocoder.lr_schedule} lets the validation of each set steer its rate; a comparison has "
                "one schedule for all: leave it at cosine"
            )
        return vocoder

    def text(self) -> TextConfig:
        """Return the settings of the recogniser, as a run has them."""
        return TextConfig(transcriber=self.transcriber, model=self.transcriber_model, language=self.language)

    def source_of_frames(self, sets: list[str]) -> str:
        """Return the set whose frames all vocoders speak from.

        Raises: ConfigError if `frames_from` names none.
        """
        if self.frames_from is None:
            return next((name for name in (CLEAN, PUBLISHED) if name in sets), sets[-1])
        if self.frames_from not in sets:
            raise ConfigError(f"frames_from {self.frames_from}: no such set; the sets are {', '.join(sets)}")
        return self.frames_from

    def of_training(self, seed: int, steps: int) -> VocoderConfig:
        """Return the settings of one training: so many updates, and nothing that its validation could steer."""
        return self.vocoder.model_copy(
            update={
                "seed": self.vocoder.seed + seed,
                "steps": steps,
                "warmup_steps": min(self.vocoder.warmup_steps, steps // 4),  # the rate falls to zero in any case
                "budget_min": None,
                "patience": steps,
                "keep": "last",
            }
        )


FREE: dict[str, Any] = {
    "vocoder": {"workers", "heard_s"},
    **dict.fromkeys(("seeds", "aa", "frames_from", "transcriber", "transcriber_model", "language", "at_once"), True),
}
"""Settings that may change when a comparison continues in the same folder: trainings that are there stay what they
are."""
