"""Paper [003]: DCCRN, DCUNET, LSTM, complex CRN and NSNet; their layers, spectra, masks and losses."""

import pytest
import torch
from torch.nn import functional

from clean_corpus.enhancers.domains.dccrn import (
    ComplexMapping,
    ComplexMask,
    LogPowerMask,
)
from clean_corpus.enhancers.domains.spectral import MagnitudeMask
from clean_corpus.enhancers.models.complex_crn import ComplexCRN
from clean_corpus.enhancers.models.complex_layers import (
    ComplexBatchNorm,
    ComplexConv,
    ComplexLSTM,
    ComplexUpConv,
    complex_cat,
)
from clean_corpus.enhancers.models.dccrn import DCCRN
from clean_corpus.enhancers.models.dcunet import DCUNet
from clean_corpus.enhancers.models.layers import Memory
from clean_corpus.enhancers.models.lstm_msa import LstmMsa
from clean_corpus.enhancers.models.nsnet import NSNet, OnlineNorm, decayed_sum
from clean_corpus.enhancers.objectives.losses import weighted_distortion
from clean_corpus.enhancers.objectives.targets import masked_magnitude, speech_and_noise
from clean_corpus.enhancers.serving.enhancer import Enhancer
from clean_corpus.enhancers.table import ENHANCERS

ROWS = {name: row for name, row in ENHANCERS.items() if row.paper == "003"}
STFT_25MS, STFT_512_20MS = ROWS["dccrn-e"].domain.stft, ROWS["nsnet"].domain.stft
PRINTED_CHANNELS = (32, 64, 128, 128, 256, 256)
CL_CHANNELS = (32, 64, 128, 256, 256, 256)
SMALL_DCCRN = {"channels": (4, 4, 4, 8, 8, 8), "units": 8}
SMALL = {name: SMALL_DCCRN for name in ROWS} | {
    "dcunet-16": {"channels": (4,) * 8},
    "lstm-9.6m": {"units": 8},
    "nsnet": {"layers": 1},
}
COUNTS = {
    "dccrn-r": 3_742_973,
    "dccrn-c": 3_742_973,
    "dccrn-e": 3_742_973,
    "dccrn-e-printed": 3_982_317,
    "dccrn-cl": 3_671_917,
    "dcunet-16": 3_604_000,
    "lstm-9.6m": 9_183_657,
    "complex-crn": 5_707_698,
    "nsnet": 1_259_814,
}
LOOKAHEAD = {name: 6 for name in ROWS} | {"nsnet": 0}


def small(name):
    """A small network in use, with weights and statistics that no two parts share."""
    torch.manual_seed(0)
    network = ROWS[name].build(**SMALL[name])
    domain = ROWS[name].domain
    domain.forward(network, torch.randn(2, 4000), torch.randn(2, 4000))  # moves the running statistics
    return network.eval()


def spectrum(*shape):
    return torch.randn(*shape, 257, dtype=torch.complex64)


@pytest.mark.parametrize("name", ROWS)
def test_parameter_counts_are_those_of_the_specification(name):
    with torch.device("meta"):
        assert sum(p.numel() for p in ROWS[name].build().parameters()) == COUNTS[name]


@pytest.mark.parametrize(
    ("sizes", "count"),
    [({}, 3_742_349), ({"channels": PRINTED_CHANNELS}, 3_981_581),
     ({"channels": CL_CHANNELS, "lstm": "complex"}, 3_671_053),
     ({"channels": PRINTED_CHANNELS, "lstm": "complex"}, 2_933_005)],
)  # fmt: skip
def test_parameter_counts_with_real_batch_normalisation(sizes, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in DCCRN(norm="real", **sizes).parameters()) == count


@pytest.mark.parametrize("name", ROWS)
def test_shape_is_kept_and_every_parameter_learns(name):
    network, domain = small(name), ROWS[name].domain
    features = domain.features(spectrum(2, 9))
    output = network(features)
    assert output.shape == features.shape
    output.square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", ROWS)
def test_look_ahead_is_that_of_the_paper(name):
    """A frame changes outputs from `lookahead` frames before it on, and leaves all earlier ones bit-equal."""
    network, domain, at = small(name), ROWS[name].domain, 12
    spec = spectrum(1, 20)
    changed = spec.clone()
    changed[:, at:] *= 1000  # what comes by the longest way, through every layer, must not drown in round-off
    with torch.inference_mode():
        before, after = (domain.run(network, x, torch.tensor([20])) for x in (spec, changed))
    assert before.shape[-2] == 20
    first = at - LOOKAHEAD[name]
    assert torch.equal(before[:, :, :first], after[:, :, :first])
    assert not torch.equal(before[:, :, first], after[:, :, first])


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("step", [1, 5])
def test_frames_in_pieces_equal_the_whole(name, step):
    network, features = small(name), ROWS[name].domain.features(spectrum(2, 25))
    with torch.inference_mode():
        whole, state, parts = network(features), [], []
        for piece in features.split(step, 2):
            memory = Memory(state)
            parts.append(network(piece, memory))
            state = memory.state
    assert torch.allclose(torch.cat(parts, 2), whole, atol=1e-4)


@pytest.mark.parametrize("name", ROWS)
def test_padding_does_not_change_a_result(name):
    enhancer = Enhancer(ROWS[name], small(name), name=name, sha256="")
    lengths = torch.tensor([4000, 2301, 150])
    batch = torch.zeros(3, 4000)
    for row, n in zip(batch, lengths, strict=True):
        row[:n] = torch.randn(int(n)) * 0.1
    together = enhancer(batch, lengths)
    for row, result, n in zip(batch, together, lengths, strict=True):
        assert torch.allclose(result[:n], enhancer(row[None, :n], n[None])[0], atol=1e-5)  # other order of sums
        assert not result[n:].any()


@pytest.mark.parametrize("name", ROWS)
def test_three_steps_of_training_stay_finite(name):
    torch.manual_seed(0)
    row = ROWS[name]
    network = row.build(**SMALL[name])
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    clean = torch.randn(2, 2000)
    clean[:, :500] = 0  # silence has no phase and no logarithm
    noisy = clean.clone()
    noisy[:, 1000:] += torch.randn(2, 1000)
    before = [p.detach().clone() for p in network.parameters()]
    for _ in range(3):
        estimate, reference = row.target(row.domain.forward(network, noisy, clean))
        loss = sum(weight * function(estimate, reference) for function, weight in row.losses.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.isfinite(new).all() and not torch.equal(old, new)


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [(DCCRN, (1, 2, 3, 257), r"\(1, 2, 3, 257\): expected \(B, 2, T, 256\)"),
     (DCUNet, (1, 1, 3, 256), r"\(1, 1, 3, 256\): expected \(B, 2, T, 256\)"),
     (LstmMsa, (1, 2, 3, 257), r"\(1, 2, 3, 257\): expected \(B, 1, T, 257\)"),
     (ComplexCRN, (1, 2, 3, 256), r"\(1, 2, 3, 256\): expected \(B, 2, T, 257\)"),
     (NSNet, (1, 1, 3, 161), r"\(1, 1, 3, 161\): expected \(B, 1, T, 257\)")],
)  # fmt: skip
def test_wrong_features_are_refused_with_both_shapes(network, shape, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        network()(torch.zeros(shape))


def test_impossible_sizes_are_refused():
    with torch.device("meta"):
        for network in (DCCRN, DCUNet):
            with pytest.raises(ValueError, match=r"257 bins cannot be halved \d times"):
                network(n_freq=257)
        with pytest.raises(ValueError, match="255 bins above DC cannot be halved 6 times"):
            ComplexCRN(n_freq=256)
        with pytest.raises(ValueError, match="7 channels do not split"):
            DCCRN(channels=(7, 8))


def joined(x):
    """Halves of the channels as one complex tensor."""
    return torch.complex(*x.chunk(2, 1))


@pytest.mark.parametrize("kernel", [(2, 5), (3, 5), (5, 7)])
def test_complex_convolution_is_that_of_complex_numbers(kernel):
    layer, x = ComplexConv(6, 8, kernel=kernel), torch.randn(2, 6, 7, 16)
    weight = torch.complex(layer.real.weight, layer.imag.weight)
    padded = functional.pad(joined(x), (kernel[1] // 2, kernel[1] // 2, kernel[0] - 1, 0))
    bias = (1 + 1j) * layer.real.bias + (-1 + 1j) * layer.imag.bias  # added to both parts, as in eq. 1
    expected = functional.conv2d(padded, weight, stride=(1, 2)) + bias[:, None, None]
    assert torch.allclose(joined(layer(x, Memory())), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [(2, 5), (3, 6), (5, 7)])
def test_complex_transposed_convolution_is_that_of_complex_numbers(kernel):
    layer, x = ComplexUpConv(6, 8, kernel=kernel), torch.randn(2, 6, 7, 16)
    weight = torch.complex(layer.real.weight, layer.imag.weight)
    bias = (1 + 1j) * layer.real.bias + (-1 + 1j) * layer.imag.bias
    extra = (0, kernel[1] % 2)
    full = functional.conv_transpose2d(joined(x), weight, None, (1, 2), (0, (kernel[1] - 1) // 2), extra)
    output = joined(layer(x, Memory()))
    assert output.shape == (2, 4, 7, 32)
    assert torch.allclose(output, full[:, :, :7] + bias[:, None, None], atol=1e-5)


def test_complex_lstm_follows_its_equations():
    layer, x = ComplexLSTM(6, 4), torch.randn(2, 5, 6)
    real, imag = x.chunk(2, -1)
    output = layer(x, Memory())
    assert torch.allclose(output[..., :2], layer.real(real)[0] - layer.imag(imag)[0], atol=1e-6)
    assert torch.allclose(output[..., 2:], layer.imag(real)[0] + layer.real(imag)[0], atol=1e-6)


def test_complex_batch_norm_whitens():
    """In training its output has no mean and covariance I / 2; in use the inverse root of what it saw applies."""
    norm, x = ComplexBatchNorm(4, momentum=1.0), torch.randn(8, 4, 50, 3)
    x[:, 2:] = 3 * x[:, 2:] + 0.5 * x[:, :2] + 7  # imaginary part follows the real one
    y = norm(x)
    pairs = y.unflatten(1, (2, 2)).permute(2, 1, 0, 3, 4).flatten(2)  # (channel, part, all)
    assert torch.allclose(pairs.mean(-1), torch.zeros(2, 2), atol=1e-5)
    for channel in pairs:
        assert torch.allclose(torch.cov(channel, correction=0), torch.eye(2) / 2, atol=1e-4)
    with torch.no_grad():
        norm.scale.copy_(torch.tensor([[1.0, 2.0], [0.5, 0.0], [3.0, 1.0]]))
        norm.shift.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    parts = x.unflatten(1, (2, 2)).permute(2, 1, 0, 3, 4).flatten(2)
    values, vectors = torch.linalg.eigh(torch.stack([torch.cov(c, correction=0) for c in parts]) + 1e-5 * torch.eye(2))
    whiten = vectors @ torch.diag_embed(values.rsqrt()) @ vectors.mT
    scale = torch.tensor([[[1.0, 0.5], [0.5, 3.0]], [[2.0, 0.0], [0.0, 1.0]]])
    shift = torch.tensor([[1.0, 3.0], [2.0, 4.0]])
    expected = scale @ whiten @ (parts - parts.mean(-1, keepdim=True)) + shift[..., None]
    found = norm.eval()(x).unflatten(1, (2, 2)).permute(2, 1, 0, 3, 4).flatten(2)
    assert torch.allclose(found, expected, atol=1e-3)  # float32 eigenvectors


def test_complex_batch_norm_survives_parts_that_agree():
    x = torch.randn(2, 1, 5, 3)
    for parts in (torch.cat((x, x), 1) * 1e4, torch.zeros(2, 2, 5, 3)):
        assert torch.isfinite(ComplexBatchNorm(2)(parts)).all()


def test_late_output_is_the_papers_decoder():
    """The paper keeps frames in place: each decoder layer makes T + 1 frames and drops the first."""
    network, features = small("dccrn-e"), torch.randn(1, 2, 20, 256)

    def paper(x):
        encoded = []
        for conv, end in zip(network.encoder, network.encoder_ends, strict=True):
            x = end(conv(x, Memory()))
            encoded.append(x)
        x = network.middle(x.transpose(1, 2).flatten(2), Memory()).unflatten(2, (x.shape[1], -1)).transpose(1, 2)
        for conv, end in zip(network.decoder, network.decoder_ends, strict=True):
            x = functional.pad(complex_cat(x, encoded.pop()), (0, 0, 0, 1))
            x = end(conv(x, Memory())[:, :, 1:])
        return x

    with torch.inference_mode():
        assert torch.allclose(network(features)[:, :, 6:], paper(features)[:, :, :14], atol=1e-5)


@pytest.mark.parametrize("stft", [STFT_25MS, STFT_512_20MS])
@pytest.mark.parametrize("n_samples", [1, 99, 100, 101, 4000, 4001])
def test_short_window_inverts_at_every_length(stft, n_samples):
    x = torch.randn(2, n_samples)
    spec = stft(x)
    assert spec.shape == (2, stft.n_frames(n_samples), 257)
    assert torch.allclose(stft.inverse(spec, n_samples), x, atol=1e-5)
    assert not stft(functional.pad(x, (0, 1000)))[:, spec.shape[1] :].any()  # every frame with signal was there


def test_short_window_stands_at_the_start_of_the_frame():
    impulse = torch.zeros(1, 1000)
    impulse[0, 500] = 1
    spec = STFT_25MS(impulse)[0]  # frame 5 begins 256 samples before sample 500, where the window is 256 in
    expected = torch.hann_window(400)[256] * (-1.0) ** torch.arange(257) + 0j  # half a frame of 512 is half a turn
    assert torch.allclose(spec[5], expected, atol=1e-5)
    assert spec.abs().sum(-1).nonzero().flatten().tolist() == [4, 5, 6, 7]  # four windows of 400 every 100


def one_bin(real, imag):
    return torch.tensor([real, imag]).reshape(1, 2, 1, 1)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [("R", 2 * 3 + 1j * -1 * 4), ("C", (2 - 1j) * (3 + 4j)), ("E", (2 - 1j) * (0.6 + 0.8j) * 0.9999092)],
)
def test_masks_know_their_answers(mask, expected):
    noisy = torch.tensor([[[5.0, 2 - 1j]]])
    estimate = ComplexMask(STFT_25MS, "as_is", mask).estimate(one_bin(3.0, 4.0), noisy)
    assert torch.allclose(estimate, torch.tensor([[[0, expected]]]), atol=1e-5)


def test_a_mask_of_zero_has_a_gradient():
    output = one_bin(0.0, 0.0).requires_grad_()
    ComplexMask(STFT_25MS, "as_is", "E").estimate(
        output, torch.ones(1, 1, 2, dtype=torch.complex64)
    ).real.sum().backward()
    assert output.grad.flatten().tolist() == [1.0, 0.0]


def test_complex_features_lack_dc_only_where_masked():
    spec = spectrum(1, 2)
    mapping, mask = ComplexMapping(STFT_25MS, "as_is"), ComplexMask(STFT_25MS, "as_is")
    assert torch.equal(mask.features(spec), mapping.features(spec)[..., 1:])
    assert torch.equal(mapping.estimate(mapping.features(spec), spec), spec)


def test_log_power_of_silence_is_finite():
    features = LogPowerMask(STFT_512_20MS, "as_is").features(torch.tensor([[[0, 3 + 4j]]]))
    assert features.flatten().tolist() == pytest.approx([-18.420681, 3.218876])


def test_speech_and_noise_pay_their_own_weights():
    domain = LogPowerMask(STFT_512_20MS, "as_is")

    def gain(value):
        return lambda features: torch.full_like(features, value)

    clean, noise = torch.randn(2, 2000), torch.randn(2, 2000)
    speech_power, noise_power = (domain.stft(x).abs().square().mean().item() for x in (clean, noise))
    for value, expected in ((1.0, 0.65 * noise_power), (0.0, 0.35 * speech_power)):
        estimate, reference = speech_and_noise(domain.forward(gain(value), clean + noise, clean))
        assert weighted_distortion(estimate, reference).item() == pytest.approx(expected, rel=1e-4)


def test_magnitude_approximation_of_an_all_pass_mask():
    domain, x = MagnitudeMask(STFT_25MS, "as_is"), torch.randn(2, 2000)
    estimate, reference = masked_magnitude(domain.forward(torch.ones_like, x, x))
    assert torch.equal(estimate, reference) and estimate.shape == (2, 23, 257)


def test_online_normalisation_is_the_plain_recursion():
    """Against weighted averages over all frames so far, written out; a new frame weighs 1, the last exp(-1 / 10)."""
    x = 5 + 2 * torch.randn(1, 40, 3, dtype=torch.float64)
    found = OnlineNorm(10.0)(x, Memory())
    for t in range(1, 40):
        weights = torch.exp(-torch.arange(t, -1, -1, dtype=torch.float64) / 10)[:, None]
        seen = x[0, : t + 1]
        mean = (weights * seen).sum(0) / weights.sum()
        variance = (weights * (seen - mean).square()).sum(0) / weights.sum()
        assert torch.allclose(found[0, t], (x[0, t] - mean) / variance.clamp_min(1e-2).sqrt(), atol=1e-9)


def test_online_normalisation_of_silence_is_silence():
    assert OnlineNorm(300.0)(torch.full((1, 2000, 4), -18.42), Memory()).abs().max() < 1e-3  # round-off / minimum


def test_decayed_sum_is_a_loop():
    x, y = torch.randn(2, 37, 3), torch.randn(2, 1, 3)
    found = decayed_sum(x, y, 0.9)
    for t in range(37):
        y = x[:, t : t + 1] + 0.9 * y
        assert torch.allclose(found[:, t : t + 1], y, atol=1e-5)
