"""What a list of an export says of one clip, and what the writer of a layout's lists is given."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol, TextIO

Side = Literal["train", "dev", "test"]
UNKNOWN = "unknown"  # speaker of clips without one, in a list that has a column for it
SIDES: tuple[Side, ...] = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Utterance:
    """One exported clip.

    `path` is that of its file below DEST, None where its audio lies in a tar alone. `text` is as the layout's reader
    takes it, `speaker` a name that it takes, None where the corpus has none.
    """

    clip_id: str
    path: str | None
    text: str | None
    speaker: str | None
    language: str | None
    licence: str | None
    consent: str | None
    n_samples: int
    sample_rate: int

    @property
    def duration_s(self) -> float:
        """Return the length of the exported audio, seconds."""
        return self.n_samples / self.sample_rate

    @property
    def stem(self) -> str:
        """Return the name of the clip's file without folder and extension."""
        return (self.path or self.clip_id).rpartition("/")[2].rpartition(".")[0] if self.path else self.clip_id


class Lists(Protocol):
    """What a function that writes the lists of a layout is given."""

    sample_rate: int
    prefix: str  # in front of the paths of readers that do not resolve them against the list: "", or ends with a slash
    speakers: Mapping[str, int]  # number of each speaker; those of an earlier export keep theirs
    n_speakers: int  # that a model of them has: more than the largest number, where the lists hold numbers

    @property
    def sides(self) -> Sequence[Side]:
        """Return the sides of the split that are wanted, empty ones too."""

    def utterances(self, side: Side, *, by_speaker: bool = False) -> Iterator[Utterance]:
        """Yield the clips of one side, sorted by clip, or by speaker and then by clip."""

    def text_file(self, name: str) -> AbstractContextManager[TextIO]:
        """Open a list below DEST for writing, which is there whole or not at all."""

    def binary_file(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a list below DEST for writing bytes."""
