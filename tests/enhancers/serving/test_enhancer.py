"""A trained system, loaded and run: padding, level, silence, weights that do not fit."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from clean_corpus.enhancers import checkpoints, table
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.pipeline.core.errors import ConfigError

TINY = {"channels": (4, 4, 8, 8, 16)}


@pytest.fixture
def trained(tmp_path):
    """Weights of a small untrained network with a card, as training writes them; BatchNorm statistics not trivial."""
    torch.manual_seed(0)
    network = table.method("cgcrn-complex").build(**TINY)
    network(torch.randn(4, 2, 50, 161))
    save_file(network.state_dict(), tmp_path / "tiny.safetensors")
    card = {"name": "tiny", "method": "cgcrn-complex", "sizes": TINY, "sample_rate": 16000}
    (tmp_path / "tiny.json").write_text(json.dumps(card))
    return tmp_path / "tiny.safetensors"


def test_padding_does_not_change_a_result(trained):
    enhancer = load_enhancer(str(trained))
    lengths = torch.tensor([16000, 9001, 4000])
    batch = torch.zeros(3, 16000)
    for row, n in zip(batch, lengths, strict=True):
        row[:n] = torch.randn(int(n)) * 0.1
    together = enhancer(batch, lengths)
    for row, result, n in zip(batch, together, lengths, strict=True):
        alone = enhancer(row[None, :n], n[None])[0]
        assert torch.allclose(result[:n], alone, atol=1e-6)  # other batch size, other order of float32 sums
        assert not result[n:].any()


def test_level_goes_through(trained):
    """Ten times louder in, ten times louder out: the network runs at one level."""
    enhancer = load_enhancer(str(trained))
    x, n = torch.randn(1, 8000) * 0.01, torch.tensor([8000])
    assert torch.allclose(enhancer(10 * x, n), 10 * enhancer(x, n), atol=1e-5)


def test_bad_batches_are_refused(trained):
    with pytest.raises(ValueError, match="length 9 exceeds the batch's 8"):
        load_enhancer(str(trained))(torch.zeros(1, 8), torch.tensor([9]))


def test_silence_stays_silence(trained):
    assert not load_enhancer(str(trained))(torch.zeros(1, 4000), torch.tensor([4000])).any()


def test_unknown_names_and_foreign_weights_are_explained(trained):
    with pytest.raises(ConfigError, match="did you mean 'default-causal'"):
        load_enhancer("default-casual")
    card = json.loads(trained.with_suffix(".json").read_text())
    trained.with_suffix(".json").write_text(json.dumps(card | {"sizes": {"channels": [4, 4, 8, 8, 32]}}))
    with pytest.raises(ConfigError, match=r"does not fit.*file \(.*network \("):
        load_enhancer(str(trained))
    trained.with_suffix(".json").unlink()
    with pytest.raises(ConfigError, match="card of these weights is missing"):
        load_enhancer(str(trained))


def test_damaged_files_and_the_card_of_a_vocoder_are_refused_by_name(trained):
    data, card = trained.read_bytes(), trained.with_suffix(".json")
    trained.write_bytes(data[:1000])
    with pytest.raises(ConfigError, match=r"tiny\.safetensors: 1000 bytes that are no whole \.safetensors file"):
        load_enhancer(str(trained))
    trained.write_bytes(data)
    for text, expected in (
        (card.read_text()[:50], "this card is damaged"),
        ("[]", "no card of an enhancer, but a list"),
        ('{"sizes": {}, "features": {}, "speakers": []}', "no card of an enhancer: name is missing, expected a text"),
    ):
        card.write_text(text)
        for read in (load_enhancer, checkpoints.require_enhancer, checkpoints.upper_band):
            with pytest.raises(ConfigError, match=rf"tiny\.json: {expected}"):
                read(str(trained))


def test_weights_for_the_band_above_another_enhancer_are_not_run_alone(upper_band_weights):
    with pytest.raises(ConfigError, match=r"upper\.safetensors is a full-band, which works above 8 kHz after another"):
        load_enhancer(str(upper_band_weights))


@pytest.mark.parametrize("name", checkpoints.shipped())
def test_shipped_weights_mend_noisy_speech_and_turn_none_upside_down(name):
    """What they are for: at 5 dB of noise the signal must come out nearer to the clean one, at its sign and level."""
    from clean_corpus.pipeline.audio.synthetic import coloured_noise, mix_at_snr
    from clean_corpus.pipeline.quality.signal_measures import si_sdr_db
    from tests.support.signals import speech

    clean = speech(3.0, seed=3)
    noisy = mix_at_snr(clean, coloured_noise(np.random.default_rng(0), len(clean), slope=0.5), 5.0)
    output = load_enhancer(name)(torch.from_numpy(noisy)[None], torch.tensor([len(noisy)]))[0].numpy()
    gained = si_sdr_db(output, clean) - si_sdr_db(noisy, clean)
    assert gained > {checkpoints.DEFAULT: 5, "default-causal": 3}.get(name, 0)
    assert np.dot(output, clean) / np.dot(output, output) == pytest.approx(1, abs=0.15)  # least squares
