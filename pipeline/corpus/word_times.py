"""The words of a long recording's text with their times: its speech is read once more, for an aligner."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from clean_corpus.pipeline.audio import decode, segment
from clean_corpus.pipeline.core.config import AudioConfig, SegmentConfig
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.core.types import Recording
from clean_corpus.pipeline.corpus.intake import look_over, take_in
from clean_corpus.pipeline.text.aligners import Aligner
from clean_corpus.pipeline.text.alignment import Alignment
from clean_corpus.pipeline.text.spool import RATE, Piece


def word_times(aligner: Aligner, folder: Path, recording: Recording, config: AudioConfig) -> Alignment | None:
    """Return when the words of a recording's text are spoken; None if it has none or nobody knows.

    Of a recording that cannot be read to its end, its beginning is aligned.
    """
    metadata = recording.metadata
    if metadata.text is None:
        return None
    at_16k = config.model_copy(update={"sample_rate": RATE})
    return aligner(_pieces(folder / recording.path, at_16k), metadata.text, metadata.language)


def _pieces(path: Path, config: AudioConfig) -> Iterator[Piece]:
    """Yield the speech of a recording between its pauses, whatever the lengths of clips, at the rate of `config`."""
    try:
        with decode.open_recording(path, config, log_messages=False) as reader:
            intake = look_over(path, config)
            blocks = take_in(reader, intake, sample_rate=RATE)
            loudened = partial(intake.loudened, sample_rate=RATE)
            for cut in segment.utterances(blocks, SegmentConfig(), sample_rate=RATE, loudened=loudened):
                yield Piece(cut.start / RATE, cut.samples)
    except (DataError, OSError):
        return  # the clips say so
