"""`clean-corpus vocode`: speech from recordings or saved frames by a trained vocoder, without flow or server."""

import csv
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors import SafetensorError, safe_open
from torch import Tensor

from clean_corpus.flows import download_cache
from clean_corpus.flows.engines.local import LocalEngine
from clean_corpus.flows.observe import progress
from clean_corpus.flows.observe.tables import print_table
from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.audio.sound_files import without_companions
from clean_corpus.pipeline.core.config import DecodeConfig
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import Location, S3Folder, is_within
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.storage import staging
from clean_corpus.vocoder.checkpoint import Vocoder, load_vocoder
from clean_corpus.vocoder.comparison import measures
from clean_corpus.vocoder.generation.equaliser import playable
from clean_corpus.vocoder.generation.generate import generate
from clean_corpus.vocoder.generation.voicing import temperatures

FRAMES = {".npy", ".safetensors"}


def vocode(
    sources: Sequence[Location],
    checkpoint: Location,
    out: Location,
    console: Console,
    *,
    seed: int,
    speaker: str | None,
    batch_size: int | None,
    threads: int,
    voiced_temperature: float | None = None,
    equaliser_ms: float | None = None,
    score: bool = False,
) -> tuple[int, dict[str, str]]:
    """Speak every file to OUT/NAME.wav; return their number, and failures by file. All locations may be in buckets.

    The temperature of voiced draws and the time of the equaliser are those of the vocoder's card unless given. With
    `score`, OUT/scores.csv says how close the copy of each recording is to it.

    A source is a recording, a folder of them, log-mel frames as .npy (n_mels, T), or as .safetensors whose tensor is
    `log_mel` and whose metadata `features` are those of the card.
    Raises: ConfigError if there is no vocoder, a source is not there or would be overwritten, two have one name or the
    speaker is unknown.
    """
    vocoder = load_vocoder(Path(download_cache.weights(str(checkpoint))))
    asked = {"voiced_temperature": voiced_temperature, "equaliser_ms": equaliser_ms}
    vocoder.card.update({name: value for name, value in asked.items() if value is not None})
    vocoder.network.to("cuda" if torch.cuda.is_available() else "cpu")
    number = _speaker_number(vocoder, speaker)
    with ExitStack() as stack:
        folder = stack.enter_context(staging.output_folder(out))
        local = [(stack.enter_context(staging.local_input(source)), source) for source in sources]
        places = {str(here): str(source) for here, source in local}
        files = _files([here for here, _ in local], [folder, *_downloaded(local, out)])
        _refuse_overwriting(files, folder)
        _refuse_overwriting_objects([_origin(path, places) for path in files], out)
        count, failed = _vocode(files, vocoder, number, folder, console, seed, batch_size, threads, score)
    for here, source in places.items():
        failed = {name.replace(here, source): error.replace(here, source) for name, error in failed.items()}
    return count, failed


def _vocode(
    files: Sequence[Path],
    vocoder: Vocoder,
    number: int | None,
    out: Path,
    console: Console,
    seed: int,
    batch_size: int | None,
    threads: int,
    score: bool,
) -> tuple[int, dict[str, str]]:
    frames: dict[Path, Tensor] = {}
    failed: dict[str, str] = {}
    for path in files:
        try:
            frames[path] = frames_of(path, vocoder)
        except (DataError, OSError) as error:
            failed[str(path)] = str(error)
    if not frames:
        return 0, failed
    out.mkdir(parents=True, exist_ok=True)
    hop, rate = vocoder.mel.hop_length, vocoder.mel.sample_rate
    total = sum(mel.shape[1] for mel in frames.values()) * hop
    began = time.perf_counter()
    with progress.stage(console, "vocode", total, "samples") as advance:
        waves = generate(
            vocoder.network,
            list(frames.values()),
            [seed] * len(frames),
            speakers=None if number is None else [number] * len(frames),
            temperatures=[temperatures(mel, vocoder.mel, vocoder.voiced_temperature) for mel in frames.values()],
            batch_size=batch_size,
            threads=threads,
            advance=advance,
        )
    took = time.perf_counter() - began
    for (path, log_mel), wave in zip(frames.items(), waves, strict=True):
        speech = playable(wave, log_mel, vocoder.mel, vocoder.equaliser_ms)
        encode.write_wav(out / f"{path.stem}.wav", speech, rate)
    console.print(f"{total / rate:.1f} s of speech in {took:.1f} s: {total / took:,.0f} samples per second")
    if score:
        _score([path for path in frames if path.suffix not in FRAMES], out, rate, console, threads)
    return len(waves), failed


def _score(recordings: Sequence[Path], out: Path, rate: int, console: Console, workers: int) -> None:
    jobs = [(path, out / f"{path.stem}.wav", rate) for path in recordings]
    rows = []
    with (
        LocalEngine(workers) as engine,
        ThreadPoolExecutor(workers) as threads,
        progress.stage(console, "score", len(jobs), "recordings") as advance,
    ):
        for row in threads.map(lambda job: engine.run(copy_scores, *job), jobs):
            advance()
            rows.append(row)
    names = [name for name in measures.MEASURES if any(row[name] is not None for row in rows)]
    with (out / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", *names))
        for path, row in zip(recordings, rows, strict=True):
            writer.writerow((path.name, *("" if row[n] is None else f"{row[n]:.6g}" for n in names)))
    table = Table("measure", "mean", "", title=f"copies of {len(rows)} recordings")
    for name in names:
        values = [row[name] for row in rows if row[name] is not None]
        table.add_row(name, f"{np.mean(values):.3f}", measures.MEASURES[name])
    print_table(table)


def copy_scores(recording: Path, copy: Path, sample_rate: int) -> Scores:
    """Score the copy of a recording in a worker, against the recording."""
    x, (wave, _) = _samples(recording, sample_rate), decode.decode(copy.read_bytes())
    return measures.measure(wave[: len(x)], x[: len(wave)], sample_rate)


def _samples(path: Path, sample_rate: int) -> Audio:
    with decode.open_recording(path, DecodeConfig(sample_rate=sample_rate)) as reader:
        return np.concatenate(list(reader.blocks()))


def frames_of(path: Path, vocoder: Vocoder) -> Tensor:
    """Return the log-mel frames of a recording, or frames that were saved, in single precision, (n_mels, T).

    Raises: DataError if it cannot be read, holds no frame, or frames of other settings than the vocoder's.
    """
    if path.suffix not in FRAMES:
        return vocoder.mel(torch.as_tensor(_samples(path, vocoder.mel.sample_rate))[None])[0]
    try:
        log_mel = _array(path) if path.suffix == ".npy" else _tensor(path, asdict(vocoder.mel))
    except (ValueError, TypeError, SafetensorError) as error:
        raise DataError(f"{path}: no frames that can be read: {error}; make them anew") from None
    n_mels = vocoder.mel.n_mels
    if log_mel.dim() != 2 or log_mel.shape[0] != n_mels or not log_mel.shape[1] or not torch.isfinite(log_mel).all():
        raise DataError(
            f"{path}: frames {tuple(log_mel.shape)}, expected ({n_mels}, T) finite values, T at least 1; make them anew"
        )
    return log_mel


def _array(path: Path) -> Tensor:
    """Read a .npy file of any real numbers."""
    with path.open("rb") as file:  # np.load would take archives and pickles under this name too
        return torch.from_numpy(np.lib.format.read_array(file, allow_pickle=False).astype("f4", casting="same_kind"))


def _tensor(path: Path, wanted: dict[str, object]) -> Tensor:
    """Read the frames of a .safetensors file.

    Raises: DataError if its metadata name other features than those wanted, or none.
    """
    with safe_open(path, "pt") as file:
        saved = json.loads((file.metadata() or {}).get("features", "null"))
        if saved != wanted:
            there = saved if isinstance(saved, dict) else {}
            named = [k for k in wanted if there.get(k) != wanted[k]]
            theirs = {k: there.get(k) for k in named} if there else saved
            raise DataError(
                f"{path}: frames of {theirs}, the checkpoint's are of { {k: wanted[k] for k in named} }; make them anew"
            )
        return file.get_tensor("log_mel").float()


def _speaker_number(vocoder: Vocoder, speaker: str | None) -> int | None:
    if not vocoder.card["speaker_conditioning"]:
        if speaker is not None:
            raise ConfigError(f"--speaker {speaker}: this vocoder was trained without speaker_conditioning")
        return None
    if speaker is None:
        raise ConfigError(f"this vocoder knows several voices; add --speaker, one of {', '.join(vocoder.speakers)}")
    if speaker not in vocoder.speakers:
        raise ConfigError(f"--speaker {speaker!r} is not one of {', '.join(vocoder.speakers)}")
    return vocoder.speakers.index(speaker)


def _downloaded(local: Sequence[tuple[Path, Location]], out: Location) -> list[Path]:
    """Return where the output of an earlier call was downloaded to, with the input that it lies in."""
    return [
        here / source.relative(out.prefix)
        for here, source in local
        if isinstance(source, S3Folder) and isinstance(out, S3Folder) and out != source and is_within(out, source)
    ]


def _files(sources: Sequence[Path], outputs: Sequence[Path]) -> list[Path]:
    """Return the files to speak: of a folder all but hidden ones, companions of a recording, and outputs in it."""
    found: list[Path] = []
    for source in sources:
        if not source.exists():
            raise ConfigError(f"{source}: no such file or folder")
        found += _in_folder(source, outputs) if source.is_dir() else [source]
    stems: dict[str, Path] = {}
    for path in found:
        if path.stem in stems:
            raise ConfigError(f"{path} and {stems[path.stem]} would both become {path.stem}.wav; rename one")
        stems[path.stem] = path
    return found


def _in_folder(source: Path, outputs: Sequence[Path]) -> list[Path]:
    spoken = {out.resolve() for out in outputs} - {source.resolve()}  # where copies of an earlier call lie
    paths = [
        path
        for path in sorted(source.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
        and spoken.isdisjoint(path.resolve().parents)
    ]
    return without_companions(paths, FRAMES)


def _refuse_overwriting(files: Sequence[Path], out: Path) -> None:
    """Raises: ConfigError if a file that would be written is one of those that are read, by whatever name or link."""
    for path in files:
        target = out / f"{path.stem}.wav"
        if target.exists() and any(target.samefile(other) for other in files):
            raise ConfigError(f"{target} is one of the recordings themselves; choose another --out")


def _origin(path: Path, places: Mapping[str, str]) -> str:
    """Return where a file was downloaded from, or its path if it was not."""
    here = next(here for here in places if path.is_relative_to(here))
    return f"{places[here]}{str(path).removeprefix(here)}"


def _refuse_overwriting_objects(origins: Sequence[str], out: Location) -> None:
    """Raises: ConfigError if an object that would be written is one of those that were downloaded."""
    for origin in origins:
        target = str(out / f"{Path(origin).stem}.wav")
        if isinstance(out, S3Folder) and target in origins:
            raise ConfigError(f"{target} is one of the recordings themselves; choose another --out")
