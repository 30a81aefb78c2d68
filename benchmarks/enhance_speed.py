"""Time `clean-corpus enhance` with every shipped enhancer for 16 kHz, beside the `default` of an older checkout.

usage: python benchmarks/enhance_speed.py [NAME or PATH ...] [--older CHECKOUT]
  without names, takes the shipped ones and writes the section `enhance_speed` of the documents; with names only prints

--older  a checkout that `make setup` has set up (651e350 is what speed is compared with): its own program runs on the
         same files, in turn with ours
Times are the processor's, of the whole command less those of the same command over one second of audio: decoding and
writing count, the start does not.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import soundfile
from documents import table, write_section
from environment import COMMAND, machine, make_pairs, measure, own_children

from clean_corpus.enhancers import checkpoints

ROUNDS = 2


def main() -> None:
    own_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--older", type=Path, metavar="CHECKOUT")
    asked = parser.parse_args()
    names = asked.names or [n for n in checkpoints.shipped() if checkpoints.card(n)["sample_rate"] == 16000]
    commands = {f"`{name}`": (COMMAND, "--enhancer", name) for name in sorted(names, key=lambda n: (len(n), n))}
    if asked.older:
        program = asked.older.absolute() / ".venv/bin/clean-corpus"
        commands = {f"`default` of {commit(asked.older)}": (program,)} | commands
    with tempfile.TemporaryDirectory() as folder:
        found = text(commands, Path(folder), bool(asked.older))
    print(found) if asked.names else write_section("enhance_speed", found)


def commit(checkout: Path) -> str:
    """Return the short name of a checkout's commit."""
    asked = ["git", "-C", str(checkout), "rev-parse", "--short=7", "HEAD"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def text(commands: dict[str, Sequence[object]], work: Path, is_compared: bool) -> str:
    """Return the table of times; commands are a program and its options, by the name of their row."""
    make_pairs(work)
    (work / "start").mkdir()
    first = sorted((work / "noisy").iterdir())[0]
    soundfile.write(work / "start" / "a.wav", *soundfile.read(first, frames=16000))
    audio_s = sum(soundfile.info(path).duration for path in (work / "noisy").iterdir())
    times = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            times[name].append(cpu_s(command, work / "noisy", work) - cpu_s(command, work / "start", work))
    taken = {name: min(found) for name, found in times.items()}
    slowest = next(iter(taken.values()))
    lines = [
        [name, f"{audio_s / s:.1f}", *([f"{slowest / s:.2f}"] if is_compared else [])] for name, s in taken.items()
    ]
    head = ["enhancer", "times real time, one core", *(["against the first"] if is_compared else [])]
    return f"{table(head, lines)}\n\nThe better of {ROUNDS} rounds, {audio_s / 60:.1f} minutes of audio. {machine()}."


def cpu_s(command: Sequence[object], source: Path, work: Path) -> float:
    """Return the processor's seconds of enhancing a folder."""
    with tempfile.TemporaryDirectory(dir=work) as out:
        # an older checkout's workers import from where it starts
        return measure(command[0], "enhance", source, out, "--workers", 1, *command[1:], cwd=work).cpu_s


if __name__ == "__main__":
    main()
