"""Live audio at 48 kHz: what changes nothing returns the input, hops agree with files, and nothing is added above."""

import numpy as np
import pytest
import torch
from torch import nn

from clean_corpus.enhancers import table
from clean_corpus.enhancers.domains.high_band import HighBand
from clean_corpus.enhancers.domains.spectral import MagnitudeMask, Stft, rms_level
from clean_corpus.enhancers.serving.any_rate import AnyRate
from clean_corpus.enhancers.serving.enhancer import Enhancer
from clean_corpus.enhancers.serving.full_band_stream import FullBandStream
from clean_corpus.enhancers.serving.onnx_export import export_streaming
from clean_corpus.enhancers.serving.streaming import LiveStream
from clean_corpus.enhancers.serving.upper_band import UpperBand
from clean_corpus.pipeline.audio.resample import resample
from clean_corpus.pipeline.core.errors import ConfigError

SMALL = {"lean-causal": {"narrow": 8, "channels": 8, "blocks": 1, "along": 8}, "pl-lstm": {"units": 16}}


class Constant(nn.Module):
    """Gives every bin one gain, whatever it sees: an upper network."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, bands, bins, memory=None):
        return torch.full_like(bins, self.gain)


class ConstantMask(Constant):
    """The same as a lower network, which may wait for frames ahead."""

    def __init__(self, gain, lookahead=0):
        super().__init__(gain)
        self.lookahead = lookahead

    def forward(self, features, memory):
        return memory.delay(torch.full_like(features, self.gain), self.lookahead)


def constant(lower, upper, n_fft=512, hop_length=256, lookahead=0):
    domain = MagnitudeMask(Stft(n_fft, hop_length, "sqrt_hann"))
    stream = FullBandStream(LiveStream(ConstantMask(lower, lookahead), domain), Constant(upper), HighBand())
    return without_offset(stream)


def without_offset(stream):
    """The stream, told that there is none: noise of finite length has a little of one."""
    for part in (stream, stream.enhancer):
        part.offset_of.weights.zero_()
    return stream


def enhancer(name):
    """A small causal network of random weights, whose gains differ from bin to bin and from frame to frame."""
    torch.manual_seed(0)
    row = table.method(name)
    network = row.build(**SMALL[name])
    with torch.no_grad():
        row.domain.forward(network, *0.1 * torch.randn(2, 2, 8000)).output  # noqa: B018 - BatchNorm's statistics
        for x in network.parameters():
            x.add_(0.05 * torch.randn_like(x))
    return Enhancer(row, network, name=name, sha256="lower")


def upper_band():
    torch.manual_seed(1)
    row = table.method("full-band-causal")
    network = row.build(width=16, hidden=16)
    for x in network.parameters():
        nn.init.normal_(x, std=0.3)
    return UpperBand(network, row.domain, sha256="upper")


def noise(n_samples):
    return 0.1 * torch.randn(1, n_samples, generator=torch.Generator().manual_seed(2))


def above(x, hz):
    """Energy of a signal above a frequency, under a window without an edge."""
    spec = np.fft.rfft(x[0].numpy() * np.hanning(x.shape[1]))
    return float(np.square(np.abs(spec[np.fft.rfftfreq(x.shape[1], 1 / 48000) >= hz])).sum())


@pytest.mark.parametrize("frames", [(512, 256), (320, 160), (320, 160, 1), (512, 128, 3)])
def test_networks_that_change_nothing_return_the_delayed_input(frames):
    stream, x = constant(1.0, 1.0, *frames), noise(15000)
    for hops in (1, 7):
        assert (stream.run(x, hops=hops) - x).abs().max() < 1e-6, hops


def test_the_delay_is_that_of_two_windows_and_of_the_filter():
    """From a sample to its result at most: hop, head and delay; windows of 32 and of 20 ms, then one of 32 ms."""
    stated = {
        hop: (stream.hop_length, stream.head, stream.delay)
        for hop, stream in ((256, constant(1, 1)), (160, constant(1, 1, 320, 160)))
    }
    assert stated == {256: (768, 255, 1536), 160: (480, 255, 1920)}
    assert [round(sum(times) / 48, 1) for times in stated.values()] == [53.3, 55.3]


@pytest.mark.parametrize("name", SMALL)
def test_hop_by_hop_equals_many_at_once_and_the_file_at_its_level(name):
    """The resamplers differ by some 1e-5, which the logarithmic features of faint bins show: 50 dB are asked for."""
    lower, upper, x = enhancer(name), upper_band(), noise(48000)
    low = torch.from_numpy(resample(x[0].numpy(), 48000, 16000))[None]
    level = rms_level(low, torch.tensor([low.shape[1]]))
    live = LiveStream(lower.network, lower.row.domain)
    live.level_of = lambda power, memory: level.expand(1, power.shape[1])
    stream = FullBandStream(live, upper.network, upper.domain)
    stream.level_of = lambda power, memory: level
    without_offset(stream)
    result = stream.run(x, hops=8)
    assert torch.allclose(stream.run(x[:, :9600]), stream.run(x[:, :9600], hops=8), atol=1e-6)
    in_file = AnyRate(lower, 48000, high_band=upper)(x, torch.tensor([48000]))
    wanted = in_file[:, :43200]  # live, the signal does not end there
    difference = result[:, :43200] - wanted
    assert 10 * torch.log10(wanted.square().sum() / difference.square().sum()) > 50
    assert above(wanted, 9000) / above(difference, 9000) > 1e5
    assert above(wanted, 9000) < 0.9 * above(x[:, :43200], 9000)  # the gains do something


def test_an_offset_does_not_stay_in_what_is_out_nor_change_the_gains_of_the_band_above():
    lower, upper, x = enhancer("lean-causal"), upper_band(), noise(10 * 48000)
    stream = FullBandStream(LiveStream(lower.network, lower.row.domain), upper.network, upper.domain)
    settled = slice(7 * 48000, 9 * 48000)
    without = stream.run(x, hops=50)[:, settled]
    difference = stream.run(x + 0.1, hops=50)[:, settled] - without
    assert 20 * torch.log10(difference.square().mean().sqrt() / without.square().mean().sqrt()) < -30
    assert above(without, 9000) / above(difference, 9000) > 1e3


def test_nothing_is_added_above_8_khz_and_nothing_left_where_nothing_was():
    x = noise(24000)
    x[:, 12000:] = torch.from_numpy(resample(resample(x[0, 12000:].numpy(), 48000, 8000), 8000, 48000))
    full, limited = x[:, :12000], x[:, 12000:]
    for lower, upper in ((1.0, 1.0), (0.1, 0.7), (1.5, 0.0)):
        result = constant(lower, upper).run(x)
        assert above(result[:, :12000], 8200) <= (upper**2 + 1e-4) * above(full, 8200)
        assert above(result[:, 13000:], 8200) < 1e-8 * above(limited, 0)
    silent = constant(1.0, 1.0).run(torch.zeros(1, 9600))
    assert torch.equal(silent, torch.zeros(1, 9600))


def test_a_network_for_whole_signals_and_another_rate_are_refused():
    domain, upper = MagnitudeMask(Stft(512, 256, "sqrt_hann")), table.method("full-band").build()
    with pytest.raises(ValueError, match=r"FullBand needs whole signals: .* take one of full-band-causal"):
        FullBandStream(LiveStream(ConstantMask(1.0), domain), upper, HighBand())
    with pytest.raises(ValueError, match="the enhancer works at 8000 Hz, the band above it needs 16000"):
        FullBandStream(LiveStream(ConstantMask(1.0), domain, sample_rate=8000), Constant(1.0), HighBand())


def test_an_upper_network_for_whole_signals_is_not_exported(tmp_path):
    row = table.method("full-band")
    upper = UpperBand(row.build(), row.domain, sha256="")
    with pytest.raises(ConfigError, match="pl-lstm and the band above: FullBand needs whole signals"):
        export_streaming(enhancer("pl-lstm"), tmp_path / "live.onnx", upper=upper)
    assert not list(tmp_path.iterdir())
