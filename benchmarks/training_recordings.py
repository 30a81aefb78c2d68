"""Complete the lists of recordings that the shipped weights have heard, from the data that their cards name.

usage: python benchmarks/training_recordings.py [WEIGHTS.safetensors --data FOLDER ...]
  without WEIGHTS: all shipped; with them, such as the base of vocoders: --data speech/train --data speech/many_16k

Recordings that a training left out, because they are scored, are left out here too: see HELD_OUT. What only validated
is listed: it decided which weights were kept. What a list holds already stays in it, such as the shards that a vocoder
heard, whose samples are at its own level; to write one anew, remove it first.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import full_band_data
import shipped_voice
from environment import DATA

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.training.recordings import audio_files
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.recording_list import RecordingList
from clean_corpus.vocoder import checkpoint

HELD_OUT: dict[tuple[str, str], Callable[[list[Path]], set[Path]]] = {
    **{
        (name, f"speech/{voice}"): lambda paths: set(filter(full_band_data.is_held_out, paths))
        for name in ("full-band", "full-band-causal")
        for voice in full_band_data.VOICES
    },
    **{(name, voice.folder): shipped_voice.held_out for name, voice in shipped_voice.VOICES.items()},
}
"""(weights, folder) -> which recordings of the folder, in the order of their names, were left out."""


def shipped() -> list[Path]:
    """Return the files of all weights that come with the package."""
    folders = (checkpoints.WEIGHTS, checkpoint.WEIGHTS)
    return [path for folder in folders for path in sorted(folder.glob("*.safetensors"))]


def folders_of(weights: Path) -> list[str]:
    """Return the folders below the data folder that the card of some weights names."""
    return [data["name"] for data in json.loads(weights.with_suffix(".json").read_text())["data"]]


def listed(name: str, folders: list[str], data: Path = DATA) -> RecordingList:
    """Return the list of the recordings below some folders of which weights of that name have heard."""
    found: dict[str, set[recording_list.Digests]] = {}
    for folder in folders:
        paths = audio_files(data / folder, f"the card of {name}")
        left_out = HELD_OUT[name, folder](paths) if (name, folder) in HELD_OUT else set()
        kind = "noise" if folder.startswith("noise") else "speech"
        found.setdefault(kind, set()).update(recording_list.of_files([p for p in paths if p not in left_out]))
    return RecordingList(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="*")
    parser.add_argument("--data", action="append", help="folder below the data folder; default: those of the card")
    asked = parser.parse_args()
    for weights in asked.weights or shipped():
        heard = listed(weights.stem, asked.data or folders_of(weights))
        heard = heard.after(weights.stem, recording_list.read(weights) or RecordingList())
        recording_list.write(weights, heard)
        size = recording_list.beside(weights).stat().st_size
        print(f"{recording_list.beside(weights)}: {heard.counts}, {size} bytes")


if __name__ == "__main__":
    main()
