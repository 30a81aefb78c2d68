"""The report of a comparison: every version of an utterance can be played, and numbers are rounded by their measure."""

import pytest

from clean_corpus.pipeline.audio import encode
from clean_corpus.vocoder.comparison import report
from clean_corpus.vocoder.comparison.copy_synthesis import Spoken
from clean_corpus.vocoder.comparison.measures import MEASURES, OPINION
from tests.support.tones import RATE, tone


def test_every_version_of_an_utterance_can_be_played(tmp_path):
    spoken = []
    for system, hz, opinion in (("raw", 200, 2.5), ("gated", 300, 3.5)):
        for frames in (None, "own"):
            folder = tmp_path / "speech" / system / (frames or "audio")
            folder.mkdir(parents=True)
            for i in range(2):
                encode.write_wav(folder / f"u{i}.wav", tone(hz + 10 * i, 0.3), RATE)
                spoken.append(Spoken(system, frames, f"u{i}", dict.fromkeys(MEASURES) | {OPINION: opinion}))
    took_s = {"raw": 30.0, "gated": 90.0}
    facts = {"steps": 4, "common": 2, "hours": {"raw": 0.5, "gated": 2.0}, "took_s": took_s, "twins": {}}
    curves = {"raw": [(2, 5.0), (4, 4.5)], "gated": []}
    page = report.write(spoken, ["u0", "u1"], curves, facts, {"spoken": 2}, tmp_path)
    html = page.read_text()
    assert page == tmp_path / "report" / "index.html"
    assert html.count("<audio") == 2 * 4 and all(text in html for text in ("30.0 min", "2.00 h", "1.5 min", "+1.00"))
    played = (page.parent / "audio" / "001-02.wav").read_bytes()
    assert played == (tmp_path / "speech/gated/audio/u1.wav").read_bytes()
    assert len(list((page.parent / "spectrograms").iterdir())) == 8
    assert "What people heard" not in html


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [(3.14159, "", "3.14"), (0.98765, "stoi", "0.988"), (12.345, "f0_rmse_hz", "12.3"), (None, "stoi", "\N{EN DASH}")],
)
def test_numbers_are_rounded_by_their_measure(value, name, text):
    assert report._number(value, name) == text
