"""The demo corpus: espeak-ng speaks into generated rooms and noises, so that no recording has to be shipped."""

import ctypes
import json
import shutil
import threading
from _ctypes import dlclose
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import numpy as np

# audio.py decodes anything and writes what is published; the demo must write the formats people send, bad ones too.
import soundfile
import soxr
from scipy import signal

from clean_corpus.pipeline.audio.synthetic import (
    babble,
    clicks,
    coloured_noise,
    mains_hum,
    mix_at_snr,
    room_impulse_response,
    wind,
)
from clean_corpus.pipeline.core.errors import ConfigError, DataError, nearest
from clean_corpus.pipeline.core.types import Audio


@dataclass(frozen=True)
class Speaker:
    """A voice of espeak-ng with its habits; `language` is a key of SENTENCES, `pitch` goes from 0 to 99."""

    voice: str
    language: str
    rate_wpm: int
    pitch: int
    consent: str | None = None


@dataclass(frozen=True)
class Take:
    """One recording to be made; its file is `speaker/name`, whose suffix chooses the format.

    The room is dry where `rt60_s` is None, the recording clean where `noise` is None. `level_db` is the RMS of the
    speech in dBFS, `overdrive_db` the gain with which the noisy signal is driven into clipping at full scale.
    """

    speaker: str
    name: str
    sentences: tuple[str, ...]
    sample_rate: int
    rate_wpm: int
    pitch: int
    rt60_s: float | None
    noise: str | None
    snr_db: float
    level_db: float = -23.0
    channels: int = 1
    telephone: bool = False
    overdrive_db: float = 0.0

    @property
    def path(self) -> str:
        return f"{self.speaker}/{self.name}"


SPEAKERS = {
    "amelia": Speaker("en-us+f5", "en", 165, 50, consent="written, 2024"),
    "bernhard": Speaker("de+m2", "de", 160, 45),
    "carmen": Speaker("es+f2", "es", 170, 50, consent="written, 2024"),
    "douglas": Speaker("en-gb-scotland+m2", "en", 160, 45),
    "elodie": Speaker("fr+f5", "fr", 165, 50),
    "francesca": Speaker("it+f5", "it", 165, 50, consent="spoken, on the recording"),
    "george": Speaker("en+m5", "en", 170, 45),
    "hanna": Speaker("de+f5", "de", 165, 55, consent="written, 2023"),
    "ignacio": Speaker("es-419+m5", "es", 170, 45),
    "joana": Speaker("pt+f5", "pt", 160, 50),
    "kevin": Speaker("en-us+m4", "en", 170, 50, consent="written, 2024"),
}

SENTENCES = {
    "en": (
        "The library opens at nine on weekdays and at ten on Saturdays.",
        "Please leave your umbrella by the door before you come into the kitchen.",
        "Our train was late this morning, so we walked along the river instead.",
        "She planted two rows of beans and a row of onions behind the shed.",
        "The bakery on the corner sells fresh bread until about noon.",
        "We need three chairs, a long table and a lamp for the front room.",
        "He wrote the address on the back of an envelope and put it in his pocket.",
        "After dinner the children played a quiet game on the carpet.",
        "The road to the village bends twice before it reaches the bridge.",
        "I usually take the early bus because there is always a free seat.",
        "The weather report promised a little rain and a mild evening.",
        "My neighbour repairs old clocks and keeps them running for years.",
        "They painted the fence green last spring, and it still looks new.",
        "You can borrow this book for two weeks and bring it back on a Monday.",
    ),
    "de": (
        "Der Bus hält gleich hinter der Brücke und fährt alle zehn Minuten.",
        "Meine Tante hat im Garten Tomaten, Gurken und ein paar Blumen gepflanzt.",
        "Am Samstag gehen wir zusammen auf den Markt und kaufen frisches Brot.",
        "Das Fenster in der Küche lässt sich nur mit etwas Geduld schließen.",
        "Er liest am Abend gern die Zeitung und trinkt dazu eine Tasse Tee.",
        "Die Kinder haben den ganzen Nachmittag am See gespielt.",
    ),
    "es": (
        "El tren sale a las ocho y llega a la costa antes del mediodía.",
        "Mi hermana trabaja en una librería pequeña cerca de la plaza.",
        "Por la tarde paseamos junto al río y volvimos a casa con hambre.",
        "Hay que regar las plantas del balcón dos veces por semana.",
        "La panadería de la esquina abre temprano y cierra a las dos.",
        "Dejé las llaves encima de la mesa, al lado del periódico.",
    ),
    "fr": (
        "Le marché se tient chaque jeudi sur la place devant la mairie.",
        "Nous avons laissé les vélos près du pont et continué à pied.",
        "Ma voisine prépare une soupe de légumes quand il fait froid.",
        "Il reste deux places près de la fenêtre dans le dernier wagon.",
        "Les enfants rangent leurs cahiers avant de sortir dans la cour.",
    ),
    "it": (
        "La biblioteca chiude alle sette e il sabato apre più tardi.",
        "Abbiamo comprato il pane, il latte e un chilo di mele al mercato.",
        "Mio nonno aggiusta le biciclette nel cortile dietro casa.",
        "Il treno per il lago parte dal secondo binario tra dieci minuti.",
        "La sera leggiamo un libro o ascoltiamo un po' di musica.",
    ),
    "pt": (
        "A padaria da esquina abre cedo e fecha ao meio-dia.",
        "Ontem à tarde caminhámos junto ao rio até à ponte velha.",
        "O meu irmão deixou o guarda-chuva no autocarro outra vez.",
        "Precisamos de duas cadeiras e de uma mesa para a varanda.",
        "Ao domingo a família almoça no jardim quando está bom tempo.",
    ),
}

FORMATS = (  # taken in turn
    (22050, "wav"),
    (16000, "flac"),
    (44100, "ogg"),
    (48000, "wav"),
    (22050, "mp3"),
    (48000, "opus"),
    (16000, "wav"),
    (44100, "aiff"),
)
ENCODINGS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aiff": ("AIFF", "PCM_16"),
}
NOISES = ("pink", "babble", "hum", None, "white", "clicks", "wind", "brown", None, "babble")
SNRS_DB = (20.0, 5.0, 10.0, 0.0, 15.0, 30.0, 25.0)
RT60S_S = (None, 0.2, 0.3, 0.45, 0.6)
ACCIDENTS = (  # what happens to the first takes
    {"channels": 2},
    {"telephone": True, "noise": "hum", "snr_db": 20.0},
    {"overdrive_db": 18.0},
    {"level_db": -55.0},
    {"overdrive_db": 24.0, "noise": None},
)
ODD_FILES = 8  # the files of write_corpus that are not single takes
FEWEST_CLIPS = ODD_FILES + 12  # below, the takes lack a plain WAV or FLAC to copy

_ONE_ENGINE = threading.Lock()


def speak(text: str, *, voice: str, rate_wpm: int = 170, pitch: int = 50) -> tuple[Audio, int]:
    """Speech of espeak-ng and its sample rate in Hz; the same arguments give the same samples.

    The library keeps the phase of its oscillators from one utterance to the next and has no call that resets it, so it
    is loaded anew each time (5 ms).

    Shapes: -> (N,), full scale +-1.
    Raises: ConfigError if the engine is not installed; DataError if it has no such voice or finds nothing to say.

    >>> audio, sample_rate = speak("Good morning.", voice="en-us+f3")
    >>> sample_rate, 0.5 < len(audio) / sample_rate < 1.5
    (22050, True)
    """
    try:
        import espeakng_loader
    except ImportError:
        raise ConfigError("espeakng_loader is not installed; pip install clean-corpus[demo]") from None

    data = Path(espeakng_loader.get_data_path())
    language, _, variant = voice.partition("+")
    variants = [path.name for path in (data / "voices" / "!v").iterdir()]
    if variant and variant not in variants:  # the engine itself ignores it silently
        raise DataError(f"voice {voice!r}: espeak-ng has no variant {variant!r}{nearest(variant, variants)}")

    blocks = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def receive(samples, count, _events):
        if samples and count:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    with _ONE_ENGINE:
        engine = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            sample_rate = engine.espeak_Initialize(2, 0, str(data).encode(), 0)  # 2: synchronous, to memory
            engine.espeak_ng_SetRandSeed(ctypes.c_long(1))  # breath noise; after Initialize, which seeds by the clock
            engine.espeak_SetSynthCallback(receive)
            if engine.espeak_SetVoiceByName(voice.encode()) != 0:
                languages = [path.name.lower() for path in (data / "lang").rglob("*") if path.is_file()]
                raise DataError(f"voice {voice!r}: espeak-ng has no such language{nearest(language, languages)}")
            engine.espeak_SetParameter(1, rate_wpm, 0)
            engine.espeak_SetParameter(3, pitch, 0)
            encoded = text.encode() + b"\0"
            engine.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 1, 0, 1, None, None)  # flag 1: UTF-8
        finally:
            engine.espeak_Terminate()
            dlclose(engine._handle)
    if not any(block.any() for block in blocks):
        raise DataError(f"voice {voice!r}: nothing to say in {text!r}")
    return np.concatenate(blocks).astype(np.float32) / 32768, sample_rate


def say(speaker: Speaker, text: str, sample_rate: int) -> Audio:
    """What a speaker makes of a text, at any rate.

    Shapes: -> (N,), full scale +-1.
    """
    audio, rate = speak(text, voice=speaker.voice, rate_wpm=speaker.rate_wpm, pitch=speaker.pitch)
    return soxr.resample(audio, rate, sample_rate)


def draw_takes(count: int, seed: int) -> list[Take]:
    """The table of recordings: speakers and formats in turn, the rest drawn.

    >>> draw_takes(12, 0)[1].path
    'bernhard/bernhard-001.flac'
    """
    rng = np.random.default_rng(seed)
    texts = {language: cycle(rng.permutation(known).tolist()) for language, known in SENTENCES.items()}
    noises = rng.permutation(np.resize(np.array(NOISES, dtype=object), count))
    snrs_db = rng.permutation(np.resize(SNRS_DB, count))
    rt60s_s = rng.permutation(np.resize(np.array(RT60S_S, dtype=object), count))
    takes = []
    for index, name, (sample_rate, suffix) in zip(range(count), cycle(SPEAKERS), cycle(FORMATS), strict=False):
        speaker = SPEAKERS[name]
        takes.append(
            Take(
                speaker=name,
                name=f"{name}-{index:03d}.{suffix}",
                sentences=(next(texts[speaker.language]),),
                sample_rate=sample_rate,
                rate_wpm=speaker.rate_wpm + int(rng.integers(-8, 9)),
                pitch=speaker.pitch + int(rng.integers(-4, 5)),
                rt60_s=rt60s_s[index],
                noise=noises[index],
                snr_db=float(snrs_db[index]),
                level_db=float(rng.uniform(-28, -20)),
            )
        )
    for index, accident in enumerate(ACCIDENTS[:count]):
        takes[index] = replace(takes[index], **accident)
    return takes


def render(take: Take, rng: np.random.Generator) -> tuple[Audio, Audio]:
    """A take and its clean twin: the same speech in the same room and channel at the same gain, without the noise.

    The reverberation belongs to both, so the twin measures what a denoiser restores; the twin of an overdriven take
    has the gain of before the overdrive, and that of a stereo take is what reaches the first microphone.

    Shapes: -> noisy (N, channels), clean (N,), full scale +-1.
    """
    speaker = replace(SPEAKERS[take.speaker], rate_wpm=take.rate_wpm, pitch=take.pitch)
    parts = [_pause(rng, take.sample_rate)]
    for sentence in take.sentences:
        parts += [say(speaker, sentence, take.sample_rate), _pause(rng, take.sample_rate)]
    speech = np.concatenate(parts)
    if take.rt60_s is not None:
        response = room_impulse_response(rng, sample_rate=take.sample_rate, rt60_s=take.rt60_s)
        speech = signal.fftconvolve(speech, response)[: len(speech)]
    noise = _noise(take.noise, rng, len(speech), take.sample_rate) if take.noise else np.zeros_like(speech)
    if take.telephone:
        band = signal.butter(6, (300, 3400), "bandpass", fs=take.sample_rate, output="sos")
        speech, noise = signal.sosfilt(band, speech), signal.sosfilt(band, noise)

    clean = speech * 10 ** (take.level_db / 20) / np.sqrt(np.mean(np.square(speech)))
    noisy = mix_at_snr(clean, noise, take.snr_db)
    gain = min(1.0, 0.95 / max(np.abs(noisy).max(), np.abs(clean).max()))
    clean, noisy = gain * clean, gain * noisy
    if take.overdrive_db:
        noisy = np.clip(noisy * 10 ** (take.overdrive_db / 20), -1, 1)
    microphones = np.stack([noisy * 0.7**number for number in range(take.channels)], axis=1)
    return microphones.astype(np.float32), clean.astype(np.float32)


def write_corpus(out: Path, *, clips: int = 40, seed: int = 0, twins: Path | None = None) -> None:
    """`clips` files in a folder per speaker with its metadata.csv, and a folder of what goes wrong; twins if asked for.

    The twins are 16 kHz WAV files under the relative names of the takes, aligned to them in time. Besides the takes
    there are one long recording and, in `unsorted`, two exact duplicates, an MP3 of a WAV, a FLAC cut short, a text
    file named .wav, silence and noise without speech. The same arguments give the same bytes.

    Raises: ConfigError if `clips` is too small to hold one of each.
    """
    if clips < FEWEST_CLIPS:
        raise ConfigError(f"demo: {clips} clips cannot hold one of each kind; {FEWEST_CLIPS} or more")
    takes = draw_takes(clips - ODD_FILES, seed)
    reading = Take(
        speaker="george",
        name="george-reading.flac",
        sentences=SENTENCES["en"][:10],
        sample_rate=44100,
        rate_wpm=SPEAKERS["george"].rate_wpm,
        pitch=SPEAKERS["george"].pitch,
        rt60_s=0.3,
        noise="pink",
        snr_db=20.0,
    )
    for index, take in enumerate([*takes, reading]):
        noisy, clean = render(take, np.random.default_rng([seed, index]))
        _write(out / take.path, noisy, take.sample_rate)
        speaker = SPEAKERS[take.speaker]
        about = {"speaker": take.speaker, "language": speaker.language, "licence": "generated"}
        if speaker.consent:
            about["consent"] = speaker.consent
        (out / take.path).with_suffix(".json").write_text(json.dumps(about) + "\n", "utf-8")
        if twins is not None:
            _write((twins / take.path).with_suffix(".wav"), soxr.resample(clean, take.sample_rate, 16000), 16000)
    _write_metadata(out, [*takes, reading])
    _write_odd_files(out, takes[len(ACCIDENTS) :], np.random.default_rng([seed, clips]))


def _write_metadata(out: Path, takes: Sequence[Take]) -> None:
    lines: dict[str, list[str]] = {}
    for take in takes:
        lines.setdefault(take.speaker, []).append(f"{Path(take.name).stem}|{' '.join(take.sentences)}\n")
    for speaker, rows in lines.items():
        (out / speaker / "metadata.csv").write_text("".join(rows), "utf-8")


def _write_odd_files(out: Path, takes: Sequence[Take], rng: np.random.Generator) -> None:
    first, second = [out / take.path for take in takes if take.name.endswith(".wav")][:2]
    flac = next(out / take.path for take in takes if take.name.endswith(".flac"))
    odd = out / "unsorted"
    odd.mkdir(exist_ok=True)
    shutil.copyfile(first, odd / "copy of a recording.wav")
    shutil.copyfile(flac, odd / "backup.flac")
    _write(odd / "sent by mail.mp3", *soundfile.read(second, dtype="float32"))
    whole = flac.read_bytes()
    (odd / "interrupted-upload.flac").write_bytes(whole[: len(whole) * 3 // 5])
    (odd / "shopping-list.wav").write_text("bread\nmilk\ntwo onions\n")
    _write(odd / "muted.wav", np.zeros(5 * 16000, np.float32), 16000)
    _write(odd / "empty-room.wav", 0.05 * coloured_noise(rng, 6 * 22050, slope=1), 22050)


def _pause(rng: np.random.Generator, sample_rate: int) -> Audio:
    return np.zeros(int(rng.uniform(0.4, 0.9) * sample_rate), np.float32)


def _noise(kind: str, rng: np.random.Generator, n_samples: int, sample_rate: int) -> Audio:
    match kind:
        case "white" | "pink" | "brown":
            return coloured_noise(rng, n_samples, slope={"white": 0, "pink": 1, "brown": 2}[kind])
        case "hum":
            return mains_hum(rng, n_samples, sample_rate=sample_rate, mains_hz=50)
        case "clicks":
            return clicks(rng, n_samples, sample_rate=sample_rate, per_s=8)
        case "wind":
            return wind(rng, n_samples, sample_rate=sample_rate)
        case "babble":
            talkers = [SPEAKERS[name] for name in rng.choice(list(SPEAKERS), 5, replace=False)]
            lines = [say(talker, str(rng.choice(SENTENCES[talker.language])), sample_rate) for talker in talkers]
            return babble([np.roll(line, rng.integers(len(line))) for line in lines], n_samples)
        case _:
            raise ValueError(f"unknown noise {kind!r}")


def _write(path: Path, audio: Audio, sample_rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    container, subtype = ENCODINGS[path.suffix]
    soundfile.write(path, audio, sample_rate, format=container, subtype=subtype)
    if container == "OGG":
        path.write_bytes(_with_ogg_serial(path.read_bytes(), 1))


def _with_ogg_serial(data: bytes, serial: int) -> bytes:
    """An Ogg file with one stream under a chosen serial number, where libsndfile puts a random one.

    Source: RFC 3533, section 6: serial at byte 14 of each page, CRC-32 (0x04c11db7, not reflected) at byte 22.
    """
    result = bytearray(data)
    start = 0
    while start < len(result):
        table = result[start + 27 : start + 27 + result[start + 26]]
        end = start + 27 + len(table) + sum(table)
        result[start + 14 : start + 18] = serial.to_bytes(4, "little")
        result[start + 22 : start + 26] = bytes(4)
        crc = 0
        for byte in result[start:end]:
            crc = (crc << 8 & 0xFFFFFFFF) ^ _OGG_CRC[crc >> 24 ^ byte]
        result[start + 22 : start + 26] = crc.to_bytes(4, "little")
        start = end
    return bytes(result)


def _ogg_crc_entry(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)
    return crc & 0xFFFFFFFF


_OGG_CRC = [_ogg_crc_entry(byte) for byte in range(256)]
