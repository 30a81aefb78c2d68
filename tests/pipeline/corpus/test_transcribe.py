"""Stage `transcribe`: what a recogniser hears in clips that would be kept."""

from dataclasses import replace

import numpy as np
import pytest

from clean_corpus.pipeline.core.config import GateConfig, PipelineConfig
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.records import Ending, RawShard, Transcribed
from clean_corpus.pipeline.core.types import Clip, Decision, Metadata, Verdict
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.corpus.heard import heard
from clean_corpus.pipeline.corpus.ledger import Row
from clean_corpus.pipeline.corpus.transcribe import transcribe_shard
from clean_corpus.pipeline.storage.local import LocalStore

RATE = 24000
CONFIG = PipelineConfig(audio={"sample_rate": RATE}, text={"transcriber": "pocketsphinx", "language": "en-GB"})


class Ear:
    """A recogniser that tells the frequency of a tone, and the language that it was told."""

    def __init__(self):
        self.heard = []

    def transcribe(self, x, *, language):
        assert x.dtype == np.float32 and len(x) == 16000
        hz = int(np.abs(np.fft.rfft(x)).argmax())
        if hz == 500:
            raise RuntimeError("too high")
        self.heard.append(hz)
        return f"{hz} {language}"


@pytest.fixture
def cleaned(tmp_path):
    store = LocalStore(tmp_path)

    def write(key, tones):
        audio = {name: 0.1 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE) for name, hz in tones.items()}
        samples = (
            {"__key__": name, "flac": shards.encode_clip(x.astype(np.float32), RATE, bits=24)}
            for name, x in audio.items()
        )
        return shards.write_shard(store, key, samples)

    languages = {"raw": None, "enhanced": "nl", "faulty": None, "low": None}
    clips = [Clip(name, f"{name}.wav", None, metadata=Metadata(language=code)) for name, code in languages.items()]
    ends = [Decision(Verdict.KEPT, chosen="raw"), *[Decision(Verdict.KEPT, chosen="enhanced")] * 2]
    ends.append(Decision(Verdict.REJECTED, Reason.SNR_DB, "snr_db 3 < 10", "raw"))
    endings = [Ending(clip, end, {}, {}) for clip, end in zip(clips, ends, strict=True)]
    raw = write("work/raw/g.tar", dict.fromkeys(languages, 300))
    twin = write("work/enhanced/g.tar", {"raw": 400, "enhanced": 400, "faulty": 500, "low": 400})
    return store, RawShard(raw, clips, [""] * 4), twin, endings


def test_the_version_that_would_be_published_is_heard_in_its_language(cleaned):
    store, *inputs = cleaned
    ear = Ear()
    first = transcribe_shard(store, *inputs, lambda: ear, "ear 1", CONFIG)
    assert first.result.texts == {"raw": "300 en", "enhanced": "400 nl"}  # the fallback of the settings, the clip's own
    assert first.result.failed == {"faulty": "transcribe: too high"}
    again = transcribe_shard(store, *inputs, lambda: pytest.fail("loaded"), "ear 1", CONFIG)
    assert again.reused and again.result == first.result
    assert not transcribe_shard(store, *inputs, lambda: ear, "ear 2", CONFIG).reused


def row(text: str | None) -> Row:
    kept = Decision(Verdict.KEPT, chosen="raw")
    return Row(Clip("a", "a.wav", None, metadata=Metadata(text), recording_text="all of it"), kept, {}, {})


def test_a_clip_without_text_gets_one():
    found = heard(row(None), Transcribed({"a": " what\u200b was  said"}, {}), GateConfig(cer_max=0.1))
    assert (found.clip.metadata.text, found.clip.text_source) == ("what was said", "asr")
    assert (found.clip.asr_text, found.clip.cer) == ("what was said", None)
    assert found.decision.verdict is Verdict.KEPT
    nothing = heard(row(None), Transcribed({"a": ""}, {}), GateConfig())
    assert (nothing.clip.metadata.text, nothing.clip.text_source) == (None, None)


@pytest.mark.parametrize(
    ("said", "limit", "cer", "reason"),
    [
        ("HALF a loaf", 0.0, 0.0, None),
        ("half an oaf", 0.1, 0.1111, Reason.CER),
        ("half an oaf", None, 0.1111, None),
        ("", 0.9, 1.0, Reason.CER),
        (None, 0.9, None, Reason.CER),  # a language that the recogniser does not know
        (None, None, None, None),
    ],
)
def test_a_text_is_compared_with_what_is_heard(said, limit, cer, reason):
    found = heard(row("Half a loaf."), Transcribed({"a": said}, {}), GateConfig(cer_max=limit))
    assert (found.clip.cer, found.decision.reason) == (cer, reason)
    assert (found.clip.metadata.text, found.clip.text_source) == ("Half a loaf.", None)
    if reason:
        assert found.decision.verdict is Verdict.REJECTED and found.decision.chosen == "raw"


def test_clips_that_were_not_heard():
    other = replace(row("b"), clip=replace(row("b").clip, clip_id="b"))
    assert heard(other, Transcribed({"a": "x"}, {}), GateConfig(cer_max=0.1)) == other
    found = heard(row("x"), Transcribed({}, {"a": "transcribe: no memory"}), GateConfig())
    assert found.decision.reason is Reason.TRANSCRIBE and found.clip.error == "transcribe: no memory"
