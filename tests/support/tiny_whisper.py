"""A Whisper of one layer with drawn weights in the format of CTranslate2: it runs, and writes what means nothing."""

from pathlib import Path

import numpy as np
import pytest

WIDTH = 16
WORDS = ["!", "a", "b", "c"]
SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|translate|>", "<|transcribe|>", "<|startoflm|>"]
SPECIAL += ["<|startofprev|>", "<|nospeech|>", "<|notimestamps|>", "<|0.00|>"]


def write(folder: Path) -> Path:
    """Write the model into a new folder."""
    specs = pytest.importorskip("ctranslate2.specs", reason="the extra transcribe is not installed")
    tokenizers = pytest.importorskip("tokenizers", reason="the extra transcribe is not installed")
    spec = specs.WhisperSpec(1, 2, 1, 2)
    draw = np.random.default_rng(0)
    missing = [name for name, value in spec.variables().items() if value is None]
    for name in [*missing, *OPTIONAL]:
        fill(spec, name, draw)
    spec.register_vocabulary([*WORDS, *SPECIAL])
    spec.config.suppress_ids = spec.config.suppress_ids_begin = spec.config.lang_ids = []
    spec.config.alignment_heads = [(0, 0)]
    folder.mkdir()
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    model = tokenizers.models.BPE({word: at for at, word in enumerate(WORDS)}, [], unk_token="!")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def fill(spec, name: str, draw: np.random.Generator) -> None:
    """Give a weight of the model a drawn value of its shape."""
    shape = next(shape for end, shape in SHAPES.items() if name.endswith(end))
    *path, last = name.split("/")
    for part in path:
        stem, _, number = part.rpartition("_")
        spec = getattr(spec, stem)[int(number)] if number.isdigit() and hasattr(spec, stem) else getattr(spec, part)
    value = np.ones(shape) if last == "gamma" else 0.1 * draw.standard_normal(shape)
    setattr(spec, last, value.astype(np.float32))


SHAPES = {
    "conv1/weight": (WIDTH, 80, 3),
    "conv2/weight": (WIDTH, WIDTH, 3),
    "encoder/position_encodings/encodings": (1500, WIDTH),
    "decoder/position_encodings/encodings": (448, WIDTH),
    "embeddings/weight": (len(WORDS + SPECIAL), WIDTH),
    "projection/weight": (len(WORDS + SPECIAL), WIDTH),
    "self_attention/linear_0/weight": (3 * WIDTH, WIDTH),
    "attention/linear_0/weight": (WIDTH, WIDTH),
    "ffn/linear_0/weight": (4 * WIDTH, WIDTH),
    "ffn/linear_1/weight": (WIDTH, 4 * WIDTH),
    "self_attention/linear_1/weight": (WIDTH, WIDTH),
    "attention/linear_1/weight": (2 * WIDTH, WIDTH),
    "attention/linear_2/weight": (WIDTH, WIDTH),
    "": (WIDTH,),
}
"""End of a weight's name -> its shape; the first that fits."""

OPTIONAL = [f"{side}/position_encodings/encodings" for side in ("encoder", "decoder")]
OPTIONAL += ["encoder/conv1/bias", "encoder/conv2/bias"]
