"""Pace of speech by the text: letters per second, and clips whose pace shows that text and speech do not belong."""

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.records import RawShard
from clean_corpus.pipeline.core.types import Clip
from clean_corpus.pipeline.text.normalise import letters

MAD_TO_SIGMA = 1.4826  # of a normal distribution
LEAST_SPREAD = 0.05  # nobody speaks more evenly; of machine voices the MAD may be 0

Group = tuple[str | None, str | None]
"""Speaker and language of a clip; None where the manifests give none."""

Mark = Callable[[RawShard], RawShard]
"""(raw shard) -> the same with some of its clips rejected."""


@dataclass(frozen=True)
class Pace:
    """How fast one speaker reads one language.

    `log_rate` and `spread` are median and robust standard deviation of log letters per second of speech, `n_letters` is
    the median length of a text.
    """

    log_rate: float
    spread: float
    n_letters: float

    def limits(self, n_letters: float, deviations: float) -> tuple[float, float]:
        """Return the lowest and the highest credible rate of a text, letters per second.

        The rate is a mean over letters: that of a text k times shorter than the median spreads sqrt(k) times as far.

        >>> [round(limit, 1) for limit in Pace(math.log(14), 0.1, 40).limits(10, 5)]
        [5.2, 38.1]
        """
        reach = deviations * self.spread * math.sqrt(max(1.0, self.n_letters / n_letters))
        return math.exp(self.log_rate - reach), math.exp(self.log_rate + reach)


def text_rate(text: str | None, speech_s: float | None) -> float | None:
    """Return the letters of a text per second of speech, None without either.

    >>> text_rate("Half past nine.", 1.0)
    12.0
    """
    n_letters = len(letters(text)) if text else 0
    return round(n_letters / speech_s, 3) if n_letters and speech_s else None


def group_of(clip: Clip) -> Group:
    """Return whose pace a clip is held against."""
    return clip.metadata.speaker, clip.metadata.language


def with_rate(clip: Clip) -> Clip:
    """Return a clip with the rate of its text."""
    return replace(clip, text_rate=text_rate(clip.metadata.text, clip.speech_s))


def _rated(clip: Clip) -> Clip:
    """Return a clip with its rate, which it lacks if its text came from a copy."""
    return with_rate(clip) if clip.metadata.text and clip.text_rate is None else clip


def paces(clips: Iterable[Clip], *, min_clips: int) -> dict[Group, Pace]:
    """Return the pace of each speaker and language with enough clips; those rejected already do not count.

    Eight bytes a clip are in memory.
    """
    rates: dict[Group, tuple[array[float], array[float]]] = {}
    for clip in map(_rated, clips):
        if clip.text_rate and clip.speech_s and not clip.reject:
            logs, lengths = rates.setdefault(group_of(clip), (array("f"), array("f")))
            logs.append(math.log(clip.text_rate))
            lengths.append(clip.text_rate * clip.speech_s)
    return {group: _pace(logs, lengths) for group, (logs, lengths) in rates.items() if len(logs) >= min_clips}


def _pace(logs: Sequence[float], lengths: Sequence[float]) -> Pace:
    middle = median(logs)
    spread = MAD_TO_SIGMA * median(abs(value - middle) for value in logs)
    return Pace(middle, max(spread, LEAST_SPREAD), median(lengths))


def marked(raw: RawShard, known: Mapping[Group, Pace], gate: GateConfig) -> RawShard:
    """Return a shard with every clip rejected whose rate lies beyond the limits of its speaker."""
    if gate.text_rate_deviations_max is None:
        return raw
    deviations = gate.text_rate_deviations_max

    def mark(clip: Clip) -> Clip:
        clip = _rated(clip)
        pace = known.get(group_of(clip))
        if clip.reject or pace is None or not clip.text_rate or not clip.speech_s:
            return clip
        low, high = pace.limits(clip.text_rate * clip.speech_s, deviations)
        if low <= clip.text_rate <= high:
            return clip
        bound = f"< {low:.3g}" if clip.text_rate < low else f"> {high:.3g}"
        whose = f"{clip.metadata.speaker or 'all clips'} has {math.exp(pace.log_rate):.3g}"
        return replace(clip, reject=(Reason.TEXT_RATE, f"text_rate {clip.text_rate:.3g} {bound}; {whose}"))

    return replace(raw, clips=[mark(clip) for clip in raw.clips])


def marker(raws: Iterable[RawShard], before: Mark, gate: GateConfig) -> Mark:
    """Return what rejects the clips of a raw shard by their rates, after `before` has rejected others.

    `raws` are all shards of a run, `before` applied; they are read only if the check is on.
    """
    if gate.text_rate_deviations_max is None:
        return before
    known = paces((clip for raw in raws for clip in raw.clips), min_clips=gate.text_rate_min_clips)
    return lambda raw: marked(before(raw), known, gate)
