"""A user's CTC network as an aligner of any language: an ONNX file, and its tokens in a file beside it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.hashing import sha256_file
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.text.long_alignment import Heard, Placed
from clean_corpus.pipeline.text.words import Word, split_words

RATE = 16000  # Hz
BLANKS = ("<blk>", "<blank>", "<pad>", "[PAD]", "<eps>", "_", "-")
DELIMITERS = ("|", "\u2581", " ", "<space>")  # between words
TOKEN_FILES = ("tokens.txt", "vocab.json")
LEAST_SPELT = 0.8  # share of a text's words that the tokens can spell: else it is another language


class CtcEngine:
    """Recognise and align the words of one text by the probabilities that a network gives its tokens.

    A score is the mean log probability of a word's tokens.
    """

    least_score, guess_score, sure_score = -3.0, -3.0, -1.2

    def __init__(self, path: Path) -> None:
        """Load a network from `path`.

        Raises: ConfigError as check_model.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._tokens = read_tokens(path)
        self._names = {number: token for token, number in self._tokens.items()}
        self._blank = next(self._tokens[token] for token in BLANKS if token in self._tokens)
        self._delimiter = next((self._tokens[token] for token in DELIMITERS if token in self._tokens), None)
        self._fold = str.upper if "E" in self._tokens and "e" not in self._tokens else str.lower
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._spelt: list[list[int] | None] = []
        self._keys: set[str] = set()
        self._longest = 0

    def prepare(self, text: str, words: Sequence[Word]) -> bool:
        """Spell the words of a text in tokens; return False if most cannot be."""
        self._spelt = [self._spelling(text[word.first : word.end]) for word in words]
        self._keys = {word.key for word in words}
        self._longest = max(map(len, self._keys), default=0)
        return sum(spelt is not None for spelt in self._spelt) >= LEAST_SPELT * len(words)

    def _spelling(self, word: str) -> list[int] | None:
        letters = [c for c in self._fold(word.replace("\u2019", "'")) if c in self._tokens or c.isalnum()]
        known = [self._tokens[c] for c in letters if c in self._tokens]
        return known if known and len(known) == len(letters) else None

    def recognise(self, x: Audio) -> list[Heard]:
        """Return the words that the likeliest token of each frame makes."""
        log_p, frame_s = self._log_probabilities(x)
        text, frames = "", []
        at = 0
        for token, run in groupby(log_p.argmax(1).tolist()):
            length = len(list(run))
            if token != self._blank:
                name = " " if token == self._delimiter else self._names.get(token, " ")
                text += name
                frames += [(at, at + length)] * len(name)
            at += length
        words = split_words(text) if self._delimiter is not None else self._known_in(text)
        return [Heard(word.key, frames[word.first][0] * frame_s, frames[word.end - 1][1] * frame_s) for word in words]

    def _known_in(self, letters: str) -> list[Word]:
        """Return the words of the text that letters without spaces are made of, so that fewest letters are left over.

        Source: the tokens of torchaudio's MMS_FA know no space.
        """
        folded = letters.casefold()
        best: list[tuple[int, Word | None]] = [(0, None)]  # letters covered up to a place, and the word that ends there
        for end in range(1, len(folded) + 1):
            options = [(best[end - 1][0], None)]
            for length in range(1, min(end, self._longest) + 1):
                if (key := folded[end - length : end]) in self._keys:
                    options.append((best[end - length][0] + length, Word(end - length, end, key)))
            best.append(max(options, key=lambda option: option[0]))
        found, end = [], len(folded)
        while end:
            word = best[end][1]
            found += [word] if word else []
            end = word.first if word else end - 1
        return found[::-1]

    def align(self, x: Audio, first: int, last: int) -> list[Placed | None] | None:
        """Return where some words of the text lie in a stretch.

        Source: torchaudio.functional.forced_align, the best path of a CTC network through given tokens.
        """
        import torch
        from torchaudio.functional import forced_align

        spelt = self._spelt[first : last + 1]
        targets: list[int] = []
        owner: list[int] = []
        for number, tokens in enumerate(spelt):
            if tokens and targets and self._delimiter is not None:
                targets.append(self._delimiter)
                owner.append(-1)
            targets += tokens or []
            owner += [number] * len(tokens or [])
        log_p, frame_s = self._log_probabilities(x)
        repeats = sum(a == b for a, b in pairwise(targets))
        if not targets or len(log_p) < len(targets) + repeats:
            return None
        path, scores = forced_align(torch.from_numpy(log_p)[None], torch.tensor([targets]), blank=self._blank)
        return _placed(path[0].tolist(), scores[0].tolist(), owner, len(spelt), self._blank, frame_s)

    def _log_probabilities(self, x: Audio) -> tuple[NDArray[np.float32], float]:
        """Return the log probabilities of the tokens in each frame, and how long a frame is, seconds.

        Shapes: x (N,) at RATE -> (T, V).
        """
        normal = (x - x.mean()) / np.float32(x.std() + 1e-7)
        name = self._session.get_inputs()[0].name
        (logits,) = self._session.run(None, {name: normal[None].astype(np.float32)})[:1]
        logits = logits[0] - logits[0].max(axis=-1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        return np.ascontiguousarray(log_p, np.float32), len(x) / RATE / len(log_p)


def _placed(
    path: Sequence[int], scores: Sequence[float], owner: Sequence[int], n_words: int, blank: int, frame_s: float
) -> list[Placed | None]:
    """Return the words of a path: `owner` is the word of each of its tokens in turn, -1 of a delimiter."""
    frames: dict[int, list[int]] = {}
    place, last = -1, blank
    for frame, token in enumerate(path):
        if token != blank:
            place += token != last
            frames.setdefault(owner[place], []).append(frame)
        last = token
    return [
        Placed(
            frames[n][0] * frame_s,
            (frames[n][-1] + 1) * frame_s,
            float(np.mean([scores[frame] for frame in frames[n]])),
        )
        if n in frames
        else None
        for n in range(n_words)
    ]


# ---- files -------------------------------------------------------------------------------------------------------


def read_tokens(path: Path) -> Mapping[str, int]:
    """Return the tokens of a network with their numbers, from tokens.txt or vocab.json beside it.

    Raises: ConfigError if there is no such file, or it is not understood.
    """
    file = next((path.parent / name for name in TOKEN_FILES if (path.parent / name).is_file()), None)
    if file is None:
        raise ConfigError(f"text.aligner_model {path}: {' or '.join(TOKEN_FILES)} is missing beside it")
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            tokens = {str(token): int(number) for token, number in json.loads(text).items()}
        else:
            rows = [line.rsplit(maxsplit=1) for line in text.splitlines() if line.strip()]
            tokens = {row[0] if len(row) == 2 else " ": int(row[-1]) for row in rows}
    except (ValueError, AttributeError, OSError) as error:
        expected = "expected a token and its number a line, or a JSON object of them"
        raise ConfigError(f"{file}: {expected}: {error}") from None
    if not set(BLANKS) & tokens.keys():
        raise ConfigError(f"{file}: no token for the blank, which is one of {' '.join(BLANKS)}")
    return tokens


def check_model(path: Path) -> None:
    """Refuse a file that is no CTC network over waveforms.

    Raises: ConfigError that says what it takes and gives.
    """
    if not path.is_file():
        raise ConfigError(f"text.aligner_model {path}: no such file")
    tokens = read_tokens(path)
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ConfigError(f"text.aligner_model {path}: no ONNX network: {str(error)[:200]}") from None
    taken = [(node.name, node.shape) for node in session.get_inputs()]
    given = [(node.name, node.shape) for node in session.get_outputs()]
    size = max(tokens.values()) + 1
    fits = len(taken) == 1 and len(taken[0][1]) == 2 and len(given[0][1]) == 3
    if not fits or (isinstance(given[0][1][2], int) and given[0][1][2] != size):
        raise ConfigError(
            f"text.aligner_model {path} takes {taken} and gives {given}; expected samples (1, N) at 16 kHz and logits "
            f"(1, T, {size}) of the tokens beside it"
        )


@cache
def model_digest(path: Path) -> str:
    """Return a hash of a network with its tokens, once in a process."""
    files = [path, *(path.parent / name for name in TOKEN_FILES)]
    return hashlib.sha256(repr([sha256_file(file) for file in files if file.is_file()]).encode()).hexdigest()[:32]
