"""The voices of the demo corpus, what they say, and espeak-ng, which says it."""

import ctypes
import threading
from _ctypes import dlclose
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

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

_ONE_ENGINE = threading.Lock()


def speak(text: str, *, voice: str, rate_wpm: int = 170, pitch: int = 50) -> tuple[Audio, int]:
    """Let espeak-ng say a text; return its samples and their rate in Hz. The same arguments give the same samples.

    The library keeps the phase of its oscillators from one utterance to the next and has no call that resets it, so
    each utterance loads it anew (5 ms).

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
    variant = voice.partition("+")[2]
    variants = [path.name for path in (data / "voices" / "!v").iterdir()]
    if variant and variant not in variants:  # the engine itself ignores it silently
        raise DataError(f"voice {voice!r}: espeak-ng has no variant {variant!r}{nearest(variant, variants)}")

    samples, sample_rate = _synthesise(espeakng_loader.get_library_path(), data, text, voice, rate_wpm, pitch)
    if not samples.any():
        raise DataError(f"voice {voice!r}: nothing to say in {text!r}")
    return samples.astype(np.float32) / 32768, sample_rate


def _synthesise(
    library: str, data: Path, text: str, voice: str, rate_wpm: int, pitch: int
) -> tuple[NDArray[np.int16], int]:
    """Load the engine, let it say a text, and unload it.

    Shapes: -> (N,), empty if there is nothing to say.
    """
    blocks = [np.zeros(0, np.int16)]

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def receive(samples, count, _events):
        if samples and count:
            blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    with _ONE_ENGINE:
        engine = ctypes.CDLL(library)
        try:
            sample_rate = engine.espeak_Initialize(2, 0, str(data).encode(), 0)  # 2: synchronous, to memory
            engine.espeak_ng_SetRandSeed(ctypes.c_long(1))  # breath noise; after Initialize, which seeds by the clock
            engine.espeak_SetSynthCallback(receive)
            if engine.espeak_SetVoiceByName(voice.encode()) != 0:
                languages = [path.name.lower() for path in (data / "lang").rglob("*") if path.is_file()]
                language = voice.partition("+")[0]
                raise DataError(f"voice {voice!r}: espeak-ng has no such language{nearest(language, languages)}")
            engine.espeak_SetParameter(1, rate_wpm, 0)
            engine.espeak_SetParameter(3, pitch, 0)
            encoded = text.encode() + b"\0"
            engine.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, 1, 0, 1, None, None)  # flag 1: UTF-8
        finally:
            engine.espeak_Terminate()
            dlclose(engine._handle)  # ctypes has no public way to unload a library
    return np.concatenate(blocks), sample_rate


def say(speaker: Speaker, text: str, sample_rate: int) -> Audio:
    """Let a speaker say a text, at any sample rate.

    Shapes: -> (N,), full scale +-1.
    """
    audio, rate = speak(text, voice=speaker.voice, rate_wpm=speaker.rate_wpm, pitch=speaker.pitch)
    return soxr.resample(audio, rate, sample_rate)
