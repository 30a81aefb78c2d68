"""Two-pass CGCRN: the second pass, post-filter and level, limit of the gain."""

import pytest
import torch

from clean_corpus.enhancers import table
from clean_corpus.enhancers.domains import spectral
from clean_corpus.enhancers.models.cgcrn import CGCRN
from clean_corpus.enhancers.models.cgcrn_refined import RefinedCGCRN

TINY = {"channels": (4, 4, 8, 8, 16)}
STFT = spectral.Stft(320, 160)


def test_the_refined_network_is_one_network_heard_twice():
    """The second pass hears 0.7 of the first one's estimate and 0.3 of the noisy spectrum."""
    torch.manual_seed(0)
    once = CGCRN(in_channels=2, out_channels=2, **TINY).eval()
    twice = RefinedCGCRN(share=0.3, post_filter=0.0, **TINY).eval()
    twice.network.load_state_dict(once.state_dict())
    domain, spec = table.method("cgcrn-refined").domain, STFT(torch.randn(1, 4000))
    with torch.inference_mode():
        heard = 0.7 * domain.estimate(once(domain.features(spec)), spec) + 0.3 * spec
        wanted = domain.estimate(once(domain.features(heard)), heard)
        assert torch.allclose(domain.estimate(twice(domain.features(spec)), spec), wanted, atol=1e-5)
    assert sum(p.numel() for p in RefinedCGCRN().parameters()) == 3_764_502
    with pytest.raises(ValueError, match=r"share 1\.5"):
        RefinedCGCRN(share=1.5)


def test_makeup_raises_the_result_in_use_and_not_in_training():
    torch.manual_seed(0)
    plain, louder = RefinedCGCRN(**TINY), RefinedCGCRN(makeup_db=6.0, **TINY)
    louder.load_state_dict(plain.state_dict())
    x = torch.randn(1, 2, 5, 161)
    assert torch.equal(plain(x), louder(x))
    assert torch.allclose(louder.eval()(x), 1.9952623 * plain.eval()(x))


@pytest.mark.parametrize("name", ["cgcrn-refined", "cgcrn-dual-path"])
def test_no_bin_is_raised_beyond_a_limit(name):
    """Where an encoder low-passed a recording, networks have asked for 60 dB more of what was left."""
    torch.manual_seed(0)
    network = table.method(name).build().eval()
    inner = network.network if name == "cgcrn-refined" else network.first
    torch.nn.init.constant_(inner.decoder_norms[0].weight, 1e4)
    domain, highest = table.method(name).domain, {}
    features = domain.features(domain.stft(torch.randn(1, 8000)))
    for max_gain in (1e9, 2.0):
        network.max_gain = max_gain
        with torch.inference_mode():
            highest[max_gain] = network(features).square().sum(1).sqrt().max().item()
    assert highest[1e9] > 3 and highest[2.0] <= 2.001
