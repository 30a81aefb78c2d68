"""Non-negative matrix factorisation of known parts."""

import torch

from clean_corpus.enhancers.models import nmf


def test_nmf_finds_the_parts_that_made_the_magnitudes():
    bases = torch.tensor([[0.5, 0.5, 0, 0, 0], [0, 0, 0.2, 0.3, 0.5]])
    played = torch.rand(40, 2) * torch.tensor([[1, 0], [0, 1], [1, 1], [1, 1]]).repeat(10, 1)  # each alone at times
    found = nmf.fit(played @ bases, n_bases=2, updates=200, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(found.sum(1), torch.ones(2))
    found = found[found[:, 0].argsort(descending=True)]
    assert torch.allclose(found, bases, atol=1e-3)
    assert torch.allclose(nmf.activations(played @ bases, bases), played, atol=1e-3)


def test_nmf_lowers_the_divergence_and_keeps_the_level():
    magnitudes = torch.rand(2, 30, 20)

    def divergence(updates):
        bases = nmf.fit(magnitudes, n_bases=4, updates=updates, generator=torch.Generator().manual_seed(0))
        played = nmf.activations(magnitudes, bases)
        assert torch.allclose(played.sum(-1), magnitudes.sum(-1), rtol=1e-4)
        model = played @ bases
        return (magnitudes * (magnitudes / model).log() - magnitudes + model).sum((1, 2))

    history = torch.stack([divergence(n) for n in (1, 5, 50)])
    assert bool((history[1:] < history[:-1]).all())
