"""TorchAudio-Squim is asked only if its weights lie on this machine."""

import numpy as np
import torch
import torchaudio

from clean_corpus.vocoder.comparison import squim


def test_squim_is_asked_only_where_its_weights_are(tmp_path, monkeypatch):
    """With weights of the right shapes that mean nothing: they are found, and nothing is fetched."""
    x = (0.1 * np.random.default_rng(0).standard_normal(squim.RATE)).astype(np.float32)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert squim.scores(x) is None
    squim.weights().parent.mkdir(parents=True)
    torch.save(torchaudio.models.squim_objective_base().state_dict(), squim.weights())
    assert squim.scores(x).keys() == {"squim_stoi", "squim_pesq", "squim_si_sdr_db"}
