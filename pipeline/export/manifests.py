"""Layouts that are one JSON object a line: NeMo's manifests, and lhotse's cuts."""

import gzip
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from clean_corpus.pipeline.export.utterances import UNKNOWN, Lists, Utterance


def nemo(lists: Lists) -> None:
    """Write train_manifest.json, dev_manifest.json, test_manifest.json and speakers.json.

    Source: NVIDIA/NeMo, nemo/collections/tts/data/text_to_speech_dataset.py (audio_filepath, text, duration, speaker;
    speakers.json is its speaker_path) and docs of its manifests.
    """
    for side in lists.sides:
        with lists.text_file(f"{side}_manifest.json") as file:
            for u in lists.utterances(side):
                entry = {
                    "audio_filepath": lists.prefix + str(u.path),
                    "text": u.text,
                    "duration": round(u.duration_s, 6),
                    "speaker": u.speaker or (UNKNOWN if lists.speakers else None),
                    "lang": u.language,
                }
                file.write(line({key: value for key, value in entry.items() if value is not None}))
    with lists.text_file("speakers.json") as file:
        json.dump(lists.speakers, file, ensure_ascii=False, indent=2)


def lhotse(lists: Lists) -> None:
    """Write one CutSet a side over the files, cuts_train.jsonl.gz and so on; the Shar folders are written with them.

    Source: lhotse-speech/lhotse, lhotse.cut.MonoCut.to_dict, lhotse.audio.Recording.to_dict.
    """
    for side in lists.sides:
        if next(lists.utterances(side), None) is None:
            continue  # lhotse reads an empty file as no CutSet at all
        with lists.binary_file(f"cuts_{side}.jsonl.gz") as file:
            kind = "url" if lists.prefix.startswith("s3://") else "file"
            write_lines(
                file, (cut(u, {"type": kind, "source": lists.prefix + str(u.path)}) for u in lists.utterances(side))
            )


def no_lists(lists: Lists) -> None:
    """Write nothing: all that the reader needs lies beside the audio."""


def cut(u: Utterance, source: dict[str, Any]) -> dict[str, Any]:
    """Return a clip as lhotse's MonoCut with one supervision, over a recording from `source`."""
    supervision = {
        "id": u.clip_id,
        "recording_id": u.clip_id,
        "start": 0.0,
        "duration": u.duration_s,
        "channel": 0,
        "text": u.text,
        "language": u.language,
        "speaker": u.speaker,
    }
    about = {key: value for key, value in {"licence": u.licence, "consent": u.consent}.items() if value is not None}
    found = {key: value for key, value in supervision.items() if value is not None}
    return {
        "id": u.clip_id,
        "start": 0.0,
        "duration": u.duration_s,
        "channel": 0,
        "supervisions": [found | ({"custom": about} if about else {})],
        "recording": recording(u, source),
        "type": "MonoCut",
    }


def recording(u: Utterance, source: dict[str, Any]) -> dict[str, Any]:
    """Return a clip as lhotse's Recording of one channel."""
    return {
        "id": u.clip_id,
        "sources": [{"channels": [0], **source}],
        "sampling_rate": u.sample_rate,
        "num_samples": u.n_samples,
        "duration": u.duration_s,
        "channel_ids": [0],
    }


def line(value: dict[str, Any]) -> str:
    """Return a JSON object on one line, with its line end."""
    return json.dumps(value, ensure_ascii=False) + "\n"


def write_lines(file: BinaryIO, values: Iterable[dict[str, Any]]) -> None:
    """Write JSON lines, gzipped; equal lines give equal bytes."""
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8") as text,  # type: ignore[type-var]
    ):
        for value in values:
            text.write(line(value))


def read_lines(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield what `write_lines` wrote."""
    with gzip.GzipFile(fileobj=file) as packed, io.TextIOWrapper(packed, encoding="utf-8") as text:  # type: ignore[type-var]
        for found in text:
            yield json.loads(found)
