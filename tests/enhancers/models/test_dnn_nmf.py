"""DNN-IRM+DNN-NMF-Sep: parameters, and bases fitted to each source."""

import pytest
import torch

from clean_corpus.enhancers.models.dnn_nmf import DNNNMF
from clean_corpus.enhancers.table import method
from tests.support.networks import parameter_count


@pytest.mark.parametrize(
    ("sizes", "count"),
    [
        ({}, 7_573_961),
    ],
)
def test_parameter_counts_are_those_of_the_specification(sizes, count):
    assert parameter_count(lambda: DNNNMF(**sizes)) == count


def test_bases_are_fitted_to_speech_and_noise_apart():
    """Speech of one bin and noise of another: each base has its bin."""
    row = method("dnn-irm-dnn-nmf")
    network = row.build(hidden=(16, 16), n_bases=5)
    time = torch.arange(4096) / 512
    speech, noise = torch.sin(2 * torch.pi * 40 * time)[None], torch.sin(2 * torch.pi * 160 * time)[None]
    network.fit_bases([row.domain.forward(network, speech + noise, speech)])
    peaks = network.bases.argmax(-1)
    assert bool(((peaks - torch.tensor([[40], [160]])).abs() <= 5).all())  # where a tone starts it is not sharp
