"""The clips that the report plays: their players, samples and pictures."""

import wave

import numpy as np
from PIL import Image

from clean_corpus.pipeline.report.page import write_report
from tests.support.ledgers import RATE, audio, clip, ledger, run_of


def test_without_enhanced_audio_there_is_one_player_per_clip(tmp_path):
    rows = [clip(f"k{i}", before=3.0, chosen="raw") for i in range(3)]
    raw_only = lambda clip_id, version: audio(clip_id, version) if version == "raw" else None  # noqa: E731
    page = write_report(ledger(tmp_path, rows), run_of(), tmp_path / "report", raw_only).read_text()
    assert page.count("<audio") == 3
    assert sorted(path.name for path in (tmp_path / "report/audio").iterdir()) == [
        "001-raw.wav",
        "002-raw.wav",
        "003-raw.wav",
    ]


def test_audio_and_spectrogram_of_a_tone(tmp_path):
    """4 kHz lies in the middle of a picture that ends at 8 kHz; -20 dB of it stays 20 dB below on the shared scale."""
    tone = (0.5 * np.sin(2 * np.pi * 4000 / RATE * np.arange(RATE))).astype(np.float32)
    versions = {"raw": tone, "enhanced": 0.1 * tone}
    rows = [clip("tone", before=3.0, after=3.0, chosen="enhanced", duration_s=1.0)]
    write_report(
        ledger(tmp_path, rows), run_of(), tmp_path / "report", lambda clip_id, version: (versions[version], RATE)
    )
    with wave.open(str(tmp_path / "report/audio/001-raw.wav")) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (RATE, 2, 1)
        samples = np.frombuffer(file.readframes(-1), "<i2") / 32768
    assert np.abs(samples - tone).max() <= 0.5001 / 32768  # rounding alone
    steps = {v: np.array(Image.open(tmp_path / f"report/spectrograms/001-{v}.png")) for v in versions}
    middle = steps["raw"].shape[1] // 2
    assert steps["raw"].shape[0] == 257
    assert steps["raw"][:, middle].argmax() == 128
    assert steps["raw"][128, middle] - steps["enhanced"][128, middle] == 10  # steps of 2 dB
