"""The report of a comparison: every version of an utterance can be played, and numbers are rounded by their measure."""

import numpy as np
import pytest

from clean_corpus.pipeline.audio import encode
from clean_corpus.vocoder.comparison import report
from clean_corpus.vocoder.comparison.copy_synthesis import speech_folder
from tests.support.compared import KEYS, facts, spoken
from tests.support.tones import RATE, tone


def test_every_version_of_an_utterance_can_be_played(tmp_path):
    rows = []
    for system, hz, opinion in (("raw", 200, 2.5), ("gated", 300, 3.5), ("raw-again", 400, 2.5)):
        rows += spoken(system, np.full((2, 6), opinion), audio=hz < 400)
        for frames in (None, "common", "own"):
            for seed in (0, 1):
                folder = speech_folder(tmp_path, system, frames, seed)
                folder.mkdir(parents=True, exist_ok=True)
                for i, key in enumerate(KEYS):
                    encode.write_wav(folder / f"{key}.wav", tone(hz + 10 * i + seed, 0.1), RATE)
    about = facts("raw", "gated", aa="raw", seeds=2)
    notes = {"notes.txt": b"mine", "audio/loud.wav": b"mine too"}
    for name, data in notes.items():
        (tmp_path / "report" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "report" / name).write_bytes(data)
    (tmp_path / "report" / "audio" / "009-99.wav").write_bytes(b"of the last report")
    curves = {"raw": [[(2, 5.0), (4, 4.5)], []], "gated": [[], []], "raw-again": [[], []]}
    page = report.write(rows, KEYS, curves, about, {"spoken": 6}, tmp_path)
    html = page.read_text()
    assert page == tmp_path / "report" / "index.html"
    assert html.count("<audio") == 6 * (3 + 2 + 2), "gated speaks from its own frames, which are the common ones"
    assert all(text in html for text in ("30.0 min", "1.5 min", "+1.00", "22 to train, 2 to watch, 6 to speak"))
    assert html.count("<h1>One vocoder, 2 versions") == 1 and "2 trainings and 6 utterances" in html
    played = (page.parent / "audio" / "001-01.wav").read_bytes()
    assert played == (tmp_path / "speech/raw/common/seed0/u1.wav").read_bytes()
    assert len(list((page.parent / "spectrograms").iterdir())) == 6 * 7
    assert {name: (page.parent / name).read_bytes() for name in notes} == notes
    assert len(list((page.parent / "audio").iterdir())) == 6 * 7 + 1, "one of them is somebody's"
    assert "What people heard" not in html and "there is no clean version" in html


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [(3.14159, "", "3.14"), (0.98765, "stoi", "0.988"), (12.345, "f0_rmse_hz", "12.3"), (None, "stoi", "\N{EN DASH}")],
)
def test_numbers_are_rounded_by_their_measure(value, name, text):
    assert report._number(value, name) == text
