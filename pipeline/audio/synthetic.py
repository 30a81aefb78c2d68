"""Synthetic noises and rooms, and mixing at a ratio: for the demo, for tests, and for training."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from clean_corpus.pipeline.core.types import Audio


def _unit_rms(x: NDArray[np.floating]) -> Audio:
    return (x / max(float(np.sqrt(np.mean(np.square(x)))), 1e-9)).astype(np.float32)


def coloured_noise(rng: np.random.Generator, n_samples: int, *, slope: float) -> Audio:
    """Return noise whose power falls as 1 / f**slope: 0 white, 1 pink, 2 brown; unit RMS.

    Shapes: -> (n_samples,).
    """
    spec = np.fft.rfft(rng.standard_normal(n_samples))
    freq = np.fft.rfftfreq(n_samples)
    freq[0] = freq[1] if n_samples > 1 else 1.0
    return _unit_rms(np.fft.irfft(spec * freq ** (-slope / 2), n=n_samples))


def mains_hum(rng: np.random.Generator, n_samples: int, *, sample_rate: int, mains_hz: float) -> Audio:
    """Return the mains frequency and its harmonics at random falling levels; unit RMS.

    Shapes: -> (n_samples,).
    """
    time_s = np.arange(n_samples) / sample_rate
    hum = np.zeros(n_samples)
    for harmonic in range(1, 13):
        level = rng.uniform(0.2, 1.0) / harmonic**0.7
        hum += level * np.sin(2 * np.pi * mains_hz * harmonic * time_s + rng.uniform(0, 2 * np.pi))
    return _unit_rms(hum)


def clicks(rng: np.random.Generator, n_samples: int, *, sample_rate: int, per_s: float) -> Audio:
    """Return short decaying bursts at random instants, like crackle or a keyboard; unit RMS.

    Shapes: -> (n_samples,).
    """
    train = np.zeros(n_samples)
    count = max(1, rng.poisson(per_s * n_samples / sample_rate))
    for start in rng.integers(0, n_samples, count):
        length = min(int(sample_rate * rng.uniform(0.001, 0.02)), n_samples - start)
        decay = np.exp(-np.arange(length) / max(1.0, length / 5))
        train[start : start + length] += rng.uniform(0.2, 1.0) * decay * rng.standard_normal(length)
    return _unit_rms(train)


def wind(rng: np.random.Generator, n_samples: int, *, sample_rate: int) -> Audio:
    """Return a low rumble in slow gusts; unit RMS.

    Shapes: -> (n_samples,).
    """
    rumble = coloured_noise(rng, n_samples, slope=2.5)
    knots = max(2, int(n_samples / sample_rate * 2) + 2)
    gusts = np.interp(np.linspace(0, knots - 1, n_samples), np.arange(knots), rng.uniform(0.05, 1.0, knots))
    return _unit_rms(rumble * gusts)


def room_tone(rng: np.random.Generator, n_samples: int, *, sample_rate: int) -> Audio:
    """Return the noise of a quiet room: rumble, hiss and mains hum, each at a random level; unit RMS.

    Shapes: -> (n_samples,).
    """
    tone = coloured_noise(rng, n_samples, slope=rng.uniform(0.6, 2.2))
    tone += coloured_noise(rng, n_samples, slope=rng.uniform(-0.3, 1.2)) * np.float32(10 ** rng.uniform(-1.5, 0))
    mains_hz = rng.choice([50.0, 60.0]) * rng.uniform(0.99, 1.01)
    hum = mains_hum(rng, n_samples, sample_rate=sample_rate, mains_hz=mains_hz)
    return _unit_rms(tone + hum * np.float32(10 ** rng.uniform(-1.8, 0.2)))


def pause_noise(rng: np.random.Generator, n_samples: int, voice: Audio) -> Audio:
    """Return steady noise with the spectrum of a recording's pauses, which is that of room and microphone; unit RMS.

    Pauses are the quietest tenth of its frames of 512 samples.

    Shapes: voice (N,), N >= 5120 -> (n_samples,).
    """
    power = np.square(np.abs(np.fft.rfft(sliding_window_view(voice, 512)[::256] * np.hanning(512))))
    quietest = np.argsort(power.sum(1))[: len(power) // 10 + 1]
    density = power[quietest].mean(0) + 1e-12  # of digital silence: white
    spec = np.fft.rfft(rng.standard_normal(n_samples))
    shape = np.interp(np.linspace(0, 256, len(spec)), np.arange(257), np.sqrt(density))
    return _unit_rms(np.fft.irfft(spec * shape, n=n_samples))


def texture(rng: np.random.Generator, n_samples: int, *, sample_rate: int) -> Audio:
    """Return noise of a random spectrum whose level swells or beats in time, like rain, surf or rotors; unit RMS.

    Shapes: -> (n_samples,).
    """
    noise = equalise(rng, coloured_noise(rng, n_samples, slope=rng.uniform(-0.5, 1.5)), gain_db=15.0)
    time_s = np.arange(n_samples) / sample_rate
    if rng.random() < 0.5:
        beat = 0.5 + 0.5 * np.sin(2 * np.pi * (rng.uniform(0.2, 20) * time_s + rng.random()))
        envelope = beat ** rng.uniform(0.3, 12)
    else:
        knots = max(2, int(n_samples / sample_rate * rng.uniform(0.5, 12)) + 2)
        envelope = np.interp(np.linspace(0, knots - 1, n_samples), np.arange(knots), rng.random(knots) ** 2)
    return _unit_rms(noise * (envelope + 10 ** rng.uniform(-2.5, -0.3)))


def harmonic(rng: np.random.Generator, n_samples: int, *, sample_rate: int) -> Audio:
    """Return a pitched source that glides, comes and goes, like engines, saws, animals or alarms; unit RMS.

    Shapes: -> (n_samples,).
    """
    knots = max(2, int(n_samples / sample_rate * rng.uniform(0.3, 6)) + 2)
    at, grid = np.linspace(0, knots - 1, n_samples), np.arange(knots)
    lowest = 10 ** rng.uniform(np.log10(30), np.log10(1500))
    pitch = lowest * 2 ** np.interp(at, grid, np.cumsum(rng.normal(0, rng.uniform(0, 0.3), knots)))
    turns = np.cumsum(np.clip(pitch, 20, 0.4 * sample_rate)) / sample_rate
    turns += rng.uniform(0, 0.01) * np.cumsum(rng.standard_normal(n_samples))  # jitter: no engine runs true
    tone, fall = np.zeros(n_samples), rng.uniform(0.2, 1.5)
    for k in range(1, int(min(24, 0.45 * sample_rate / pitch.max())) + 1):
        tone += rng.uniform(0.2, 1.0) * k**-fall * np.sin(2 * np.pi * (k * turns + rng.random()))
    envelope = np.interp(at, grid, rng.random(knots) ** rng.uniform(0.2, 3))
    breath = coloured_noise(rng, n_samples, slope=rng.uniform(0, 1.5)) * 10 ** rng.uniform(-2, 0)
    return _unit_rms((_unit_rms(equalise(rng, tone, gain_db=12.0)) + breath) * (envelope + 0.02))


def shuffle_grains(rng: np.random.Generator, x: Audio, *, sample_rate: int) -> Audio:
    """Rebuild a noise from overlapping pieces of itself in random order; spectrum and RMS stay, the course changes.

    Source: granular synthesis; root-Hann windows of 40 to 400 ms, all of one length.
    Shapes: (N,) -> (N,); unchanged if N is shorter than two pieces.
    """
    half = int(sample_rate * 10 ** rng.uniform(np.log10(0.02), np.log10(0.2)))
    if len(x) < 4 * half:
        return x
    count = -(-len(x) // half) + 1
    starts = rng.integers(0, len(x) - 2 * half + 1, count)
    pieces = sliding_window_view(x, 2 * half)[starts] * np.sqrt(np.hanning(2 * half + 1)[:-1])  # powers add to one
    overlapped = np.zeros((count + 1, half))
    overlapped[:-1] += pieces[:, :half]
    overlapped[1:] += pieces[:, half:]
    start = rng.integers(0, half)
    shuffled = overlapped.ravel()[start : start + len(x)]
    return _unit_rms(shuffled) * np.float32(np.sqrt(np.mean(np.square(x))))


def low_pass(x: Audio, cutoff_hz: float, *, sample_rate: int, width_hz: float = 500.0) -> Audio:
    """Return signals without what lies above a frequency; the response falls over `width_hz` below it, without delay.

    Shapes: (..., N) -> (..., N).
    """
    hz = np.fft.rfftfreq(x.shape[-1], 1 / sample_rate)
    response = np.clip((cutoff_hz - hz) / width_hz, 0, 1)
    return np.fft.irfft(np.fft.rfft(x) * response, n=x.shape[-1]).astype(np.float32)


def equalise(rng: np.random.Generator, x: NDArray[np.floating], *, gain_db: float) -> Audio:
    """Filter by a random smooth frequency response, +-gain_db at eight mel-like spaced frequencies; the RMS stays.

    Shapes: (..., N), all through the same response -> (..., N).
    """
    spec = np.fft.rfft(x)
    position = np.log1p(np.linspace(0, 1, spec.shape[-1]) * 20) / np.log(21)
    gain = np.interp(position, np.linspace(0, 1, 8), rng.uniform(-gain_db, gain_db, 8))
    shaped = np.fft.irfft(spec * 10 ** (gain / 20), n=x.shape[-1])
    return _unit_rms(shaped) * np.float32(np.sqrt(np.mean(np.square(x))))


def babble(voices: list[Audio], n_samples: int) -> Audio:
    """Return several voices at equal level, each repeated to the length; unit RMS.

    Shapes: voices (N_i,) each -> (n_samples,).
    """
    return _unit_rms(np.sum([_unit_rms(np.resize(voice, n_samples)) for voice in voices], axis=0))


def room_impulse_response(rng: np.random.Generator, *, sample_rate: int, rt60_s: float) -> Audio:
    """Return the impulse response of a random shoebox room, by the image method; direct sound at sample 0, peak 1.

    Reflections go up to the 17th order, so the weak end of a long reverberation is missing.
    Source: Allen & Berkley 1979, as in pyroomacoustics (extra `demo` or `train`).
    Shapes: -> (L,).
    """
    import pyroomacoustics as pra

    pra.constants.set("num_threads", 1)  # the order of its sums, and so the last bits, depend on it
    size = rng.uniform((3.0, 3.0, 2.4), (8.0, 6.0, 3.5))
    surface = 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
    shortest_s = 0.161 * float(np.prod(size)) / surface  # Sabine with walls that absorb everything
    absorption, order = pra.inverse_sabine(max(rt60_s, 1.1 * shortest_s), size)
    room = pra.ShoeBox(size, fs=sample_rate, materials=pra.Material(absorption), max_order=min(order, 17))
    room.add_source(rng.uniform(0.5, size - 0.5))
    room.add_microphone(rng.uniform(0.5, size - 0.5))
    room.compute_rir()
    response = np.asarray(room.rir[0][0], dtype=np.float32)
    start = int(np.argmax(np.abs(response)))
    return response[start:] / np.abs(response[start])


def mix_at_snr(speech: Audio, noise: Audio, snr_db: float) -> Audio:
    """Return speech + g * noise, with g for the wanted ratio of mean powers over the whole signal.

    Shapes: (N,) twice -> (N,).

    >>> x = mix_at_snr(np.ones(4, np.float32), np.full(4, 2, np.float32), 0.0)
    >>> x.tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    power = float(np.mean(np.square(noise)))
    if power < 1e-12:
        return speech.copy()
    gain = np.sqrt(float(np.mean(np.square(speech))) / (power * 10 ** (snr_db / 10)))
    return (speech + gain * noise).astype(np.float32)
