"""Speech for many utterances: each is its own, whatever lies beside it."""

import numpy as np
import pytest
import torch

from clean_corpus.vocoder.emphasis import de_emphasised
from clean_corpus.vocoder.features import SILENCE, LogMel
from clean_corpus.vocoder.generation.generate import PIECE, _conditioning_blocks, _source_blocks, generate
from clean_corpus.vocoder.pitch import REACH
from clean_corpus.vocoder.source import HIDDEN, Voice
from clean_corpus.vocoder.training.segments import CONTEXT, cut_frames
from tests.support.tones import tone
from tests.support.wavenets import small_wavenet


def test_an_utterance_does_not_depend_on_its_neighbours():
    net = small_wavenet()
    mels = [torch.randn(45, frames) for frames in (30, 7, 120, 55)]
    together = generate(net, mels, [0, 1, 2, 3], batch_size=4)
    apart = generate(net, mels[::-1], [3, 2, 1, 0], threads=2, batch_size=1)[::-1]
    for i, mel in enumerate(mels):
        assert together[i].shape == (mel.shape[1] * net.hop_length,) and np.array_equal(apart[i], together[i]), i
    many = generate(net, mels * 5, [0, 1, 2, 3] * 5)
    assert all(np.array_equal(x, together[i % 4]) for i, x in enumerate(many)), "in two rows of lanes"


def test_what_an_emphasised_network_speaks_is_de_emphasised():
    """The same weights with and without: the loop makes the same samples, the way back is taken once, at the end."""
    net, mels = small_wavenet(), [torch.randn(45, frames) for frames in (120, 7)]
    plain = generate(net, mels, [0, 1])
    net.emphasis = 0.85
    for before, after in zip(plain, generate(net, mels, [0, 1]), strict=True):
        assert np.array_equal(after, de_emphasised(before, 0.85)) and not np.array_equal(after, before)


def test_temperatures_are_those_of_the_frames():
    """All 1 changes no sample; colder from frame 60 on, the samples before are the same, whatever lies beside."""
    net, mels = small_wavenet(upsampling=(2,), conditioning_hop=4), [torch.randn(45, frames) for frames in (120, 7)]
    plain = generate(net, mels, [0, 1])
    alike = generate(net, mels, [0, 1], temperatures=[torch.ones(120), torch.ones(7)])
    assert all(map(np.array_equal, plain, alike))
    cold = torch.ones(120)
    cold[60:] = 1e-4
    found = generate(net, mels[::-1], [1, 0], temperatures=[torch.ones(7), cold])[::-1]
    assert np.array_equal(found[1], plain[1]) and np.array_equal(found[0][:480], plain[0][:480])
    assert found[0][480:].std() < 0.5 * plain[0][480:].std()
    with pytest.raises(ValueError, match="2 utterances, but 1 temperatures"):
        generate(net, mels, [0, 1], temperatures=[cold])


def test_progress_counts_every_sample_once():
    net, made = small_wavenet(upsampling=(2,), conditioning_hop=4), []
    generate(net, [torch.randn(45, frames) for frames in (60, 7)], [0, 1], advance=made.append)
    assert made == [57 * net.hop_length, 10 * net.hop_length]  # blocks of 50 frames


@pytest.mark.parametrize("sizes", [{"upsampling": (5, 4, 4)}, {"upsampling": (5,), "conditioning_hop": 16}])
def test_conditioning_at_the_ends_is_that_of_training(sizes):
    """Silent frames lie beyond them there, not frames of mean energy; in between blocks leave no seam."""
    network, mel, x = small_wavenet(**sizes), LogMel(), tone(300)[1600:10500]  # 112 frames, loud at ends
    network.mel_mean.fill_(-8.0)
    _, log_mel = cut_frames(x, mel, 0, 112)
    beside = CONTEXT * network.vectors_per_frame
    with torch.no_grad():
        learnt = network.condition(log_mel[None])[0, :, beside:-beside]
        spoken = torch.cat(list(_conditioning_blocks(network, mel(torch.as_tensor(x)[None])[0], None))).t()
    assert torch.allclose(spoken, learnt, atol=1e-4)  # other lengths, other orders of float32 sums


def test_the_source_of_a_long_utterance_is_read_in_pieces_without_a_seam():
    """No more than a piece is held; phase, voicing and period go on through all of them as read of the whole."""
    net = small_wavenet(upsampling=(5,), conditioning_hop=16, harmonics=4)
    torch.nn.init.normal_(net.source.pitch.output.weight)
    log_mel = torch.randn(45, 2 * PIECE + 70, generator=torch.Generator().manual_seed(0))
    spoken, sizes = net.source.spoken, []
    net.source.spoken = lambda frames, hop: sizes.append(frames.shape[2]) or spoken(frames, hop)
    found = list(_source_blocks(net, log_mel))
    context = REACH + 1
    assert sizes == [PIECE + 2 * context, PIECE + 2 * context, 70 + 2 * context]
    voice = spoken(torch.nn.functional.pad(log_mel, (context, context), value=SILENCE)[None], 80)
    for number in (0, 39, 40, 79, 80, 81):  # around the seams and at both ends
        first = (context + 50 * number) * 80
        now = Voice(*(part[:, first : first + len(found[number])] for part in voice))
        with torch.no_grad():
            whole = net.source.phases(now)[0]
        # a whole of single-precision places is off by 0.0005 frames here, and F0 jumps in random frames
        assert torch.allclose(found[number][:, :HIDDEN], whole, atol=0.01), number
        assert torch.allclose(found[number][:, HIDDEN], now.voiced[0], atol=1e-3), number
        assert (found[number][:, HIDDEN + 1] - now.period[0]).abs().max() <= 1, number


def test_seeds_are_as_many_as_utterances():
    with pytest.raises(ValueError, match="2 utterances, but 1 seeds"):
        generate(small_wavenet(), [torch.randn(45, 3)] * 2, [0])


@pytest.mark.parametrize("shape", [(45, 0), (44, 3), (45,)])
def test_an_utterance_whose_frames_do_not_fit_is_named(shape):
    with pytest.raises(ValueError, match=r"utterance 1: frames \(4[45],.*\), expected \(45, T\), T at least 1"):
        generate(small_wavenet(), [torch.randn(45, 3), torch.zeros(shape)], [0, 1])
    assert generate(small_wavenet(), [], []) == []
