"""The clips that the report plays: for each a card with its row of the ledger, its audio and its spectrograms."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from clean_corpus.pipeline.audio.encode import write_wav
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.report import plots
from clean_corpus.pipeline.report.counts import Figures
from clean_corpus.pipeline.report.listening_picks import Group

Version = Literal["raw", "enhanced"]
AudioOf = Callable[[str, Version], tuple[Audio, int] | None]
"""(clip id, version) -> samples of full scale +-1 and their rate in Hz; None where there is no such version."""


def write_cards(picked: Iterable[Group], figures: Figures, audio: AudioOf, folder: Path) -> list[dict[str, Any]]:
    """Write audio and spectrograms of the picked clips below a folder; return the groups of their cards."""
    groups = []
    number = 0
    for title, note, clip_ids in picked:
        cards = []
        for clip_id in clip_ids:
            number += 1
            cards.append(_card(figures.rows[clip_id], figures.sample.scores, audio, folder, f"{number:03}"))
        groups.append({"title": title, "note": note, "cards": cards})
    return groups


def _card(row: dict[str, Any], scores: Iterable[str], audio: AudioOf, folder: Path, stem: str) -> dict[str, Any]:
    found = {version: audio(row["clip_id"], version) for version in ("raw", "enhanced")}
    versions = {version: sound for version, sound in found.items() if sound is not None}
    powers = {version: plots.power_spectrogram(samples) for version, (samples, _) in versions.items()}
    loudest = max([float(power.max()) for power in powers.values()], default=0.0)
    players = []
    for version, (samples, sample_rate) in versions.items():
        file = f"{stem}-{version}"
        write_wav(folder / "audio" / f"{file}.wav", np.clip(samples, -1, 1), sample_rate)
        plots.write_spectrogram(folder / "spectrograms" / f"{file}.png", powers[version], loudest)
        players.append(
            {
                "version": version,
                "audio": f"audio/{file}.wav",
                "image": f"spectrograms/{file}.png",
                "sample_rate": sample_rate,
                "times_s": plots.ticks(len(samples) / sample_rate, 4),
                "frequencies_khz": plots.ticks(sample_rate / 2000, 4),
            }
        )
    values = [(name, row[f"before_{name}"], row[f"after_{name}"]) for name in scores]
    measured = [(name, before, after) for name, before, after in values if (before, after) != (None, None)]
    return row | {"scores": measured, "players": players}
