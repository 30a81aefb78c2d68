"""What a transcription makes of a clip: a text where it has none, or the error rate of the one that it has."""

from dataclasses import replace

from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.core.records import Transcribed
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.quality.gate import decide_text, failed
from clean_corpus.pipeline.text.error_rate import character_error_rate
from clean_corpus.pipeline.text.normalise import clean_text


def heard(row: Row, transcribed: Transcribed, gate: GateConfig) -> Row:
    """Return the row of a clip after transcription: with a text, or with the error rate of the one that it has.

    A clip that was not transcribed stays as it is.
    """
    clip = row.clip
    if clip.clip_id in transcribed.failed:
        error = transcribed.failed[clip.clip_id]
        return replace(row, clip=replace(clip, error=error), decision=failed(error))
    if clip.clip_id not in transcribed.texts:
        return row
    asr_text = clean_text(transcribed.texts[clip.clip_id])
    if clip.metadata.text is None:
        text_source = "asr" if asr_text else clip.text_source
        filled = replace(clip.metadata, text=asr_text)
        return replace(row, clip=replace(clip, metadata=filled, text_source=text_source, asr_text=asr_text))
    known = transcribed.texts[clip.clip_id] is not None
    cer = character_error_rate(clip.metadata.text, asr_text or "") if known else None
    clip = replace(clip, asr_text=asr_text, cer=cer)
    return replace(row, clip=clip, decision=decide_text(row.decision, cer, gate))
