"""Vocoders on disk: what was saved is loaded, and what does not fit its card is refused."""

import json
import os
import stat

import pytest
import torch
from safetensors.torch import load_file, save_file

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.vocoder.checkpoint import Vocoder, build, load_vocoder, save_vocoder, shipped
from clean_corpus.vocoder.features import LogMel
from tests.support.wavenets import SMALL, small_wavenet


@pytest.fixture
def saved(tmp_path):
    card = {"sizes": SMALL, "speaker_conditioning": False, "steps": 3}
    mel = LogMel(hop_length=8, win_length=16, n_fft=32)
    save_vocoder(tmp_path / "best.safetensors", Vocoder(small_wavenet(), mel, ("anna",), card))
    return tmp_path


def test_a_saved_vocoder_is_loaded_from_its_folder_or_its_file(saved):
    for path in (saved, saved / "best.safetensors"):
        vocoder = load_vocoder(path)
        expected = small_wavenet().state_dict()
        assert all(torch.equal(x, expected[name]) for name, x in vocoder.network.state_dict().items())
        assert vocoder.mel.hop_length == 8 and vocoder.speakers == ("anna",) and vocoder.card["steps"] == 3
        assert not vocoder.network.training


def test_shipped_voices_are_loaded_by_name():
    assert shipped() == ["base", "english-voice", "german-voice"]
    assert all(load_vocoder(name).mel == LogMel() for name in shipped())


def test_weights_that_do_not_fit_their_card_are_refused(saved, tmp_path):
    with pytest.raises(ConfigError, match=r"no trained vocoder; .* a shipped voice: base, english-voice, german-voice"):
        load_vocoder(tmp_path / "nowhere")
    state = load_file(saved / "best.safetensors")
    save_file({name: x for name, x in state.items() if name != "hidden.bias"}, saved / "best.safetensors")
    with pytest.raises(ConfigError, match=r"does not fit the sizes .*: hidden\.bias"):
        load_vocoder(saved)
    (saved / "best.json").unlink()
    with pytest.raises(ConfigError, match="the card of these weights is missing"):
        load_vocoder(saved)


def test_damaged_files_and_the_card_of_an_enhancer_are_refused_by_name(saved):
    weights, card = saved / "best.safetensors", saved / "best.json"
    data, text = weights.read_bytes(), card.read_text()
    for half in (data[: len(data) // 2], b""):
        weights.write_bytes(half)
        with pytest.raises(ConfigError, match=rf"best\.safetensors: {len(half)} bytes that are no whole"):
            load_vocoder(saved)
    weights.write_bytes(data)
    for other, expected in (
        (text[:100], "this card is damaged"),
        ("[]", "no card of a vocoder, but a list"),
        ('{"name": "a", "method": "lean", "sizes": {}}', "no card of a vocoder: speakers is missing, expected a list"),
        (text.replace('"sizes": {', '"sizes": 3, "others": {'), "sizes is 3, expected an object"),
        (text.replace("n_mels", "bands"), "features .*bands"),
    ):
        card.write_text(other)
        with pytest.raises(ConfigError, match=rf"best\.json: .*{expected}"):
            load_vocoder(saved)


def test_sizes_come_as_json_has_them():
    assert build(json.loads(json.dumps(SMALL)), ["a", "b"]).speaker.num_embeddings == 2
    with pytest.raises(ConfigError, match="layerz"):
        build({"layerz": 3}, [])


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_others_may_read_weights_as_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        save_vocoder(tmp_path / "best.safetensors", Vocoder(small_wavenet(), LogMel(), (), {"sizes": SMALL}))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {mode}


def test_weights_are_the_bytes_that_safetensors_writes(saved, tmp_path):
    save_file({k: v.contiguous() for k, v in small_wavenet().state_dict().items()}, tmp_path / "other.safetensors")
    assert (tmp_path / "other.safetensors").read_bytes() == (saved / "best.safetensors").read_bytes()
