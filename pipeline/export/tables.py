"""Layouts that are lines of columns between "|": Piper, F5-TTS, XTTS, LJSpeech, VITS, StyleTTS 2, GPT-SoVITS.

Readers that parse CSV get CSV, in which a text may hold "|" and quotes. Those that split lines get lines: their texts
have no "|" any more.
"""

import csv
from collections.abc import Callable
from typing import Any, TextIO

from clean_corpus.pipeline.export.utterances import UNKNOWN, Lists, Side, Utterance

Columns = tuple[str | None, ...]


def piper(lists: Lists) -> None:
    """Write metadata.csv: file|text, or file|speaker|text if there are several speakers.

    Source: OHF-Voice/piper1-gpl, docs/TRAINING.md and src/piper/train/vits/dataset.py (csv.reader, delimiter "|", paths
    relative to the list); rhasspy/piper, src/python/piper_train/preprocess.py reads the same.
    """
    several = lists.n_speakers > 1
    for side in lists.sides:
        with lists.text_file(_suffixed("metadata", side)) as file:
            rows = _csv(file)
            for u in lists.utterances(side):
                rows.writerow([u.path, u.speaker or UNKNOWN, u.text] if several else [u.path, u.text])


def f5_tts(lists: Lists) -> None:
    """Write metadata.csv: header audio_file|text, absolute paths.

    Source: SWivid/F5-TTS, src/f5_tts/train/datasets/prepare_csv_wavs.py: read_audio_text_pairs (csv.reader, delimiter
    "|"; newer releases refuse a relative path).
    """
    for side in lists.sides:
        with lists.text_file(_suffixed("metadata", side)) as file:
            rows = _csv(file)
            rows.writerow(["audio_file", "text"])
            rows.writerows([lists.prefix + str(u.path), u.text] for u in lists.utterances(side))


def xtts(lists: Lists) -> None:
    """Write metadata_train.csv, metadata_eval.csv: header audio_file|text|speaker_name.

    Source: coqui-ai/TTS, TTS/tts/datasets/formatters.py: coqui (pandas.read_csv, sep "|"), and idiap/coqui-ai-TTS
    (csv.DictReader); file names as in TTS/demos/xtts_ft_demo/utils/formatter.py.
    """
    names = {"train": "metadata_train.csv", "dev": "metadata_eval.csv", "test": "metadata_test.csv"}
    for side in lists.sides:
        with lists.text_file(names[side]) as file:
            rows = _csv(file)
            rows.writerow(["audio_file", "text", "speaker_name"])
            rows.writerows([u.path, u.text, u.speaker or UNKNOWN] for u in lists.utterances(side))


def ljspeech(lists: Lists) -> None:
    """Write metadata.csv: id|text|normalised text, without quotes; the audio of an id is wavs/ID.wav.

    Source: keithito.com/LJ-Speech-Dataset; torchaudio.datasets.LJSPEECH and coqui-ai/TTS read it so.
    """
    for side in lists.sides:
        _lines(lists, _suffixed("metadata", side), side, lambda u: (u.stem, u.text, u.text))


def vits(lists: Lists) -> None:
    """Write filelists: path|text, or path|speaker number|text if there are several speakers.

    Source: jaywalnut310/vits, utils.py: load_filepaths_and_text, data_utils.py: TextAudioLoader and
    TextAudioSpeakerLoader (int(sid)); paths are opened as they stand.
    """
    several = lists.n_speakers > 1

    def columns(u: Utterance) -> Columns:
        path = lists.prefix + str(u.path)
        return (path, _number(lists, u), u.text) if several else (path, u.text)

    for side in lists.sides:
        _lines(lists, f"filelists/{_VAL[side]}.txt", side, columns)


def styletts2(lists: Lists) -> None:
    """Write train_list.txt, val_list.txt: file below wavs|text|speaker number.

    Source: yl4579/StyleTTS2, README (filename.wav|transcription|speaker) and meldataset.py: FilePathDataset.
    Departs: the transcription is the text as it is. Its lists hold IPA phonemes, which its TextCleaner alone knows.
    """

    def columns(u: Utterance) -> Columns:
        return str(u.path).rpartition("/")[2], u.text, _number(lists, u)

    for side in lists.sides:
        _lines(lists, f"{_VAL[side]}_list.txt", side, columns)


def gpt_sovits(lists: Lists) -> None:
    """Write train.list: path|speaker|language|text.

    Source: RVC-Boss/GPT-SoVITS, README (vocal_path|speaker_name|language|text) and prepare_datasets/1-get-text.py
    (line.split("|"), exactly four; languages that it does not know are passed over).
    """

    def columns(u: Utterance) -> Columns:
        return lists.prefix + str(u.path), u.speaker or UNKNOWN, u.language, u.text

    for side in lists.sides:
        _lines(lists, f"{side}.list", side, columns)


_VAL: dict[Side, str] = {"train": "train", "dev": "val", "test": "test"}


def _number(lists: Lists, u: Utterance) -> str:
    return str(lists.speakers[u.speaker or UNKNOWN])


def _suffixed(name: str, side: Side) -> str:
    return f"{name}.csv" if side == "train" else f"{name}_{side}.csv"


def _csv(file: TextIO) -> Any:
    return csv.writer(file, delimiter="|", lineterminator="\n")


def _lines(lists: Lists, name: str, side: Side, columns: Callable[[Utterance], Columns]) -> None:
    with lists.text_file(name) as file:
        for u in lists.utterances(side):
            file.write("|".join(map(str, columns(u))) + "\n")
