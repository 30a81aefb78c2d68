"""Speakers of a corpus by the voices of its clips: one in a clip, one behind a label, and labels where there are none.

Arrays in, numbers out; embeddings are those of `quality.voice`, of length 1.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.types import Decision, Verdict

Voices = NDArray[np.float32]
"""Embeddings, (N, 256), each of length 1."""

SIDE = 2  # windows of a clip, on either side of a moment, that tell who speaks there: 2 s
APART = 4  # windows from one to the next that shares no sample with it

NEAREST = 0.75  # share of a speaker's clips that its centre is taken from
SPREADS = 4.0  # deviations of the median by which an outlier lies beyond the median of its speaker
MAD_TO_SIGMA = 1.4826

BATCH = 2000  # clips that are compared each with each


# ---- one speaker in a clip -------------------------------------------------------------------------------------


def constancy(windows: Voices) -> float | None:
    """Return how alike the voices before and after a moment are, at the moment where they are least alike: a cosine.

    None for a clip with less than 2 s of speech on either side of any moment.
    Shapes: windows (W, 256), those of `quality.voice.VoiceEncoder`.

    >>> one, other = np.eye(256, dtype=np.float32)[:2]
    >>> constancy(np.stack([one] * 8)), constancy(np.stack([one] * 8 + [other] * 8)), constancy(np.stack([one] * 3))
    (1.0, 0.0, None)
    """
    sums = np.cumsum(windows, axis=0, dtype=np.float64)
    splits = range(SIDE - 1 + APART, len(windows) - SIDE + 1)
    alike = [_cosine(sums[split - APART], sums[-1] - sums[split - 1]) for split in splits]
    return round(min(alike), 6) if alike else None


def one_speaker(decision: Decision, constancy: float | None, limit: float | None) -> Decision:
    """Reject a clip that would be kept if its voice changes.

    >>> one_speaker(Decision(Verdict.KEPT), 0.5, 0.65).detail
    'voice_constancy 0.5 < 0.65'
    """
    if decision.verdict is not Verdict.KEPT or limit is None or constancy is None or constancy >= limit:
        return decision
    detail = f"voice_constancy {constancy:.4g} < {limit:g}"
    return replace(decision, verdict=Verdict.REJECTED, reason=Reason.SPEAKER_CHANGE, detail=detail)


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-12))


# ---- one speaker behind a label --------------------------------------------------------------------------------


class Centre(NamedTuple):
    """The voice of a speaker, and how alike a clip has to be to it so as not to be an outlier, a cosine."""

    voice: NDArray[np.float32]
    limit: float


def centre(voices: Voices, limit: float) -> Centre:
    """Return the centre of a speaker's clips, of which some may be another's.

    It is the mean of the three quarters that are nearest to it. A clip is an outlier where its likeness is below
    `limit`, and further below the median than the speaker's own clips vary: a voice that is recorded in many ways
    spreads more than one in a booth.
    """
    middle = _unit(voices.mean(0))
    for _ in range(5):
        alike = voices @ middle
        middle = _unit(voices[alike >= np.quantile(alike, 1 - NEAREST)].mean(0))
    alike = voices @ middle
    median = float(np.median(alike))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(alike - median)))
    return Centre(middle, round(min(limit, median - SPREADS * spread), 6))


# ---- labels where there are none -------------------------------------------------------------------------------


class Groups:
    """Groups of clips that sound like one speaker; they grow by batches and keep their names.

    Two groups are as alike as their clips are on average, each with each, which is the product of their means. A batch
    first goes to the groups that are there, each clip to the one it is most alike to, if it is as alike as `limit`. Its
    other clips are grouped among themselves, by average linkage down to `limit`, and a group that came out so joins one
    that was there if they are as alike. So clips that come later change no earlier label.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._counts: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """The names of the groups, in the order in which they began."""
        return [*self._sums]

    def hold(self, name: str, voices: Voices) -> None:
        """Take clips into the group of this name, which begins with them if there is none."""
        self._sums[name] = self._sums.get(name, 0.0) + voices.sum(0, dtype=np.float64)
        self._counts[name] = self._counts.get(name, 0) + len(voices)

    def take(self, voices: Voices, names: Sequence[str]) -> list[str]:
        """Return the group of each clip of a batch; a new one gets the name that stands for its first clip in `names`.

        Raises: ValueError if the batch holds more clips than are compared each with each.
        """
        if len(voices) > BATCH:
            raise ValueError(f"{len(voices)} clips in a batch, at most {BATCH} are compared each with each")
        found = self._nearest(voices)
        left = [index for index, name in enumerate(found) if name is None]
        members = [[left[index] for index in group] for group in linked(voices[left], self._limit)]
        means = [voices[group].mean(0) for group in members]
        near = self._nearest(np.stack(means)) if members else []
        for group, nearest in zip(members, near, strict=True):
            for index in group:
                found[index] = nearest or names[group[0]]
        of: dict[str, list[int]] = {}
        for index, name in enumerate(found):
            of.setdefault(str(name), []).append(index)
        for name, indices in of.items():
            self.hold(name, voices[indices])
        return [str(name) for name in found]

    def _nearest(self, voices: Voices) -> list[str | None]:
        """Return the group that each clip, or mean of clips, is most alike to; None where that is below the limit.

        Shapes: voices (N, 256) -> N names.
        """
        names = self.names
        if not names or not len(voices):
            return [None] * len(voices)
        means = np.stack([self._sums[name] / self._counts[name] for name in names])  # (G, 256)
        alike = voices @ means.T
        best = alike.argmax(1)
        return [names[i] if row[i] >= self._limit else None for i, row in zip(best, alike, strict=True)]


def linked(voices: Voices, limit: float) -> list[list[int]]:
    """Return the indices of the clips of each group that average linkage makes, down to a likeness of `limit`.

    Source: Sokal & Michener, "A statistical method for evaluating systematic relationships", 1958 (UPGMA).

    >>> linked(np.eye(3, dtype=np.float32)[[0, 1, 0]], 0.8)
    [[0, 2], [1]]
    """
    if len(voices) < 2:
        return [[0]] if len(voices) else []
    from scipy.cluster import hierarchy  # which only a run that names speakers needs

    distances = np.maximum(_distances(voices), 0.0)
    labels = hierarchy.fcluster(hierarchy.linkage(distances, "average"), 1 - limit, "distance")
    groups: dict[int, list[int]] = {}
    for index, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(index)
    return list(groups.values())


def _distances(voices: Voices) -> NDArray[np.float64]:
    """Return 1 - cosine of each pair, in the order of scipy's condensed matrices."""
    first, second = np.triu_indices(len(voices), 1)
    return 1.0 - (voices @ voices.T)[first, second].astype(np.float64)


def map_2d(voices: Voices) -> NDArray[np.float32]:
    """Return a place in the plane for each voice: its first two principal components.

    The sign of each is that of its largest entry, so that equal voices lie at equal places on every machine.
    Shapes: (N, 256) -> (N, 2).
    """
    if len(voices) < 2:
        return np.zeros((len(voices), 2), np.float32)
    centred = voices - voices.mean(0)
    _, vectors = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    axes = vectors[:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), [0, 1]])
    return (centred @ axes).astype(np.float32)


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return x / max(float(np.linalg.norm(x)), 1e-12)
