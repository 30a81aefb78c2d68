"""Data folders of Kaldi and CosyVoice: wav.scp, text, utt2spk and spk2utt, one folder a side."""

from collections.abc import Callable
from itertools import groupby

from clean_corpus.pipeline.export.utterances import UNKNOWN, Lists, Side, Utterance


def kaldi(lists: Lists) -> None:
    """Write the folders train, dev and test, with utt2dur; utterances are named SPEAKER-CLIP and sorted bytewise.

    Source: kaldi-asr.org/doc/data_prep.html; egs/wsj/s5/utils/validate_data_dir.sh (utt2spk is sorted by utterance and
    by speaker; utt2dur is positive).
    """
    for side in lists.sides:
        _data_folder(lists, side)
        _column(lists, side, "utt2dur", lambda u: f"{u.duration_s:.6f}")


def cosyvoice(lists: Lists) -> None:
    """Write the folders train, dev and test as the recipes' first stage does.

    Source: FunAudioLLM/CosyVoice, examples/libritts/cosyvoice/local/prepare_data.py, read by tools/make_parquet_list.py
    (line.split(), so no path or name holds a space).
    """
    for side in lists.sides:
        _data_folder(lists, side)


def _data_folder(lists: Lists, side: Side) -> None:
    _column(lists, side, "wav.scp", lambda u: lists.prefix + str(u.path))
    _column(lists, side, "text", lambda u: u.text)
    _column(lists, side, "utt2spk", _speaker)
    with lists.text_file(f"{side}/spk2utt") as file:
        for speaker, utterances in groupby(lists.utterances(side, by_speaker=True), _speaker):
            file.write(speaker)
            for u in utterances:
                file.write(f" {_name(u)}")
            file.write("\n")


def _column(lists: Lists, side: Side, name: str, value: Callable[[Utterance], str | None]) -> None:
    """Write a list of the utterances for which there is a value."""
    with lists.text_file(f"{side}/{name}") as file:
        for u in lists.utterances(side, by_speaker=True):
            if (written := value(u)) is not None:
                file.write(f"{_name(u)} {written}\n")


def _speaker(u: Utterance) -> str:
    return u.speaker or UNKNOWN


def _name(u: Utterance) -> str:
    return f"{_speaker(u)}-{u.clip_id}"
