"""The copy of a recording that is kept: the best by what was measured of each, with what is known of all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from clean_corpus.pipeline.core.config import DedupConfig, GateConfig
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.records import RawShard
from clean_corpus.pipeline.core.types import Clip, Metadata, Scores, TextSource, overlay
from clean_corpus.pipeline.quality.duplicates import Copies
from clean_corpus.pipeline.quality.gate import UNMENDABLE, plain, recorded, shortfall


@dataclass(frozen=True)
class Duplicate:
    """What becomes of a clip in whose place a copy is kept; `detail` names that one and what it has over the clip."""

    kind: Reason
    detail: str


@dataclass(frozen=True)
class Choice:
    """Of all groups of copies: name of a clip that is not kept -> what it is, of one that is kept -> its metadata.

    With the metadata comes the source of the text.
    """

    duplicates: Mapping[str, Duplicate]
    metadata: Mapping[str, tuple[Metadata, TextSource | None]]

    def marked(self, raw: RawShard) -> RawShard:
        """Return the shard with every clip rejected that is not the best of its copies."""

        def mark(clip: Clip) -> Clip:
            metadata, text_source = self.metadata.get(clip.clip_id, (clip.metadata, clip.text_source))
            clip = replace(clip, metadata=metadata, text_source=text_source)
            duplicate = self.duplicates.get(clip.clip_id)
            return replace(clip, reject=(duplicate.kind, duplicate.detail)) if duplicate else clip

        return replace(raw, clips=[mark(clip) for clip in raw.clips])


NO_COPIES = Choice({}, {})

SAME_S = 0.15  # of 84 copies coded, filtered, padded, or with noise at 10 dB, none begins or ends over 0.12 s elsewhere

Measure = Callable[[Clip, Scores, GateConfig, bool], float]
"""A number of which more is better; it is coarse, so that a difference in it can be heard and is no rounding.

The last argument is whether the clip holds all the speech of its copies.
"""


def _unmendable(clip: Clip, scores: Scores, gate: GateConfig, _: bool) -> float:
    own = {name: scores.get(name) for name, _ in UNMENDABLE} | recorded(clip)
    limits = [(name, bound, getattr(gate, f"{name}_{bound}")) for name, bound in UNMENDABLE]
    return sum(limit is None or shortfall(n, bound, limit, own[n]) is None for n, bound, limit in limits)


def _score(name: str, step: float) -> Measure:
    def measure(clip: Clip, scores: Scores, *_: object) -> float:
        value = (scores | recorded(clip)).get(name)
        return -1e9 if value is None else round(value / step) * step

    return measure


MEASURES: tuple[tuple[str, Measure], ...] = (
    ("checks passed that no network mends", _unmendable),
    ("all of the speech", lambda *given: given[-1]),
    ("dnsmos_ovrl", _score("dnsmos_ovrl", 0.1)),
    ("bandwidth_hz", _score("bandwidth_hz", 500.0)),
    ("snr_db", _score("snr_db", 3.0)),
    ("speech_s", lambda clip, *_: round(_speech_s(clip), 1)),
    ("facts in manifests", lambda clip, *_: sum(value is not None for value in vars(clip.metadata).values())),
    ("sample_rate_in_hz", lambda clip, *_: clip.sample_rate_in_hz or 0),
)
"""What makes the better copy, the weightiest first; of equal ones the first by name is kept."""


def members(groups: Iterable[Copies], raws: Iterable[tuple[int, RawShard]]) -> tuple[dict[str, Clip], list[int]]:
    """Return the clips of all groups by name, and the numbers of the shards that hold one which is to be scored.

    Clips of equal samples have equal scores, so a group that has only such needs none.
    """
    in_group = {clip_id: number for number, group in enumerate(groups) for clip_id in group.bit_error}
    clips: dict[str, Clip] = {}
    shards_of: dict[int, set[int]] = {}
    digests: dict[int, set[str | None]] = {}
    for number, raw in raws:
        for clip in raw.clips:
            if (group := in_group.get(clip.clip_id)) is not None:
                clips[clip.clip_id] = clip
                shards_of.setdefault(group, set()).add(number)
                digests.setdefault(group, set()).add(clip.pcm_sha256)
    several = (shards_of[group] for group, found in digests.items() if len(found) > 1)
    return clips, sorted(set().union(*several))


def choose(
    groups: Iterable[Copies],
    clips: Mapping[str, Clip],
    scores: Mapping[str | None, Scores],
    gate: GateConfig,
    config: DedupConfig,
) -> Choice:
    """Return the best clip of each group, whatever the order of groups and clips.

    `scores` maps pcm_sha256 to scores; a clip without any comes behind those that have some. The best one gets the
    metadata that it lacks from the others, the better ones first; a text only from one in which the same is spoken.
    """
    duplicates: dict[str, Duplicate] = {}
    metadata: dict[str, tuple[Metadata, TextSource | None]] = {}
    for group in groups:
        copies = [clips[name] for name in group.bit_error]
        fullest = max(copies, key=lambda clip: (_speech_s(clip), clip.clip_id))
        ranked = sorted(
            ((_ranks(clip, scores, gate, _holds_all_speech(group, clip, fullest)), clip) for clip in copies),
            key=lambda pair: ([-rank for rank in pair[0]], pair[1].clip_id),
        )
        (best_ranks, best), *others = ranked
        known, text_source = best.metadata, best.text_source
        for _, clip in others:
            is_alike = _other_words(group, best, clip) is None
            if is_alike and known.text is None is not clip.metadata.text:
                text_source = clip.text_source
            known = overlay(clip.metadata if is_alike else replace(clip.metadata, text=None), known)
        if known != best.metadata:
            metadata[best.clip_id] = known, text_source
        seen = {best.pcm_sha256}
        for ranks, clip in others:
            alike = f"bit error {group.bit_error[clip.clip_id]:.3g} <= {config.max_bit_error:g}"
            alike = "equal samples" if clip.pcm_sha256 == best.pcm_sha256 else alike
            kind = Reason.DUPLICATE if clip.pcm_sha256 in seen else Reason.NEAR_DUPLICATE
            detail = f"of {best.clip_id}: {alike}; {_difference(best_ranks, ranks)}"
            if clip.metadata.text is not None and known.text is None:
                detail += f"; its text is not passed on, {_other_words(group, best, clip)}"
            duplicates[clip.clip_id] = Duplicate(kind, detail)
            seen.add(clip.pcm_sha256)
    return Choice(duplicates, metadata)


def kept_copy(reason: str | None, detail: str | None) -> str | None:
    """Return the clip that is kept in place of another one, by what the ledger says of that; None if it is no copy.

    >>> kept_copy("duplicate", "of a-0123456789abcdef: equal samples; alike, and later by name")
    'a-0123456789abcdef'
    """
    if reason not in (Reason.DUPLICATE, Reason.NEAR_DUPLICATE) or not detail:
        return None
    return detail.removeprefix("of ").partition(":")[0]


def _other_words(group: Copies, one: Clip, other: Clip) -> str | None:
    """Return why what is spoken in one copy may not be what is spoken in another, None if it surely is.

    >>> a, b = (Clip(name, "", None) for name in "ab")
    >>> _other_words(Copies({}, {"a": (0.0, 3.0), "b": (0.5, 3.0)}, {"a": 0, "b": 0}), a, b)
    'it begins or ends 0.50 s > 0.15 s elsewhere'
    """
    both = zip(group.sounds[one.clip_id], group.sounds[other.clip_id], strict=True)
    if (elsewhere_s := max(abs(x - y) for x, y in both)) > SAME_S:
        return f"it begins or ends {elsewhere_s:.2f} s > {SAME_S:g} s elsewhere"
    is_same = group.wording[one.clip_id] == group.wording[other.clip_id]
    return None if is_same else "a stretch of it sounds otherwise"


def _holds_all_speech(group: Copies, clip: Clip, fullest: Clip) -> bool:
    """Return whether the copy with most speech does not go on where a clip is cut; noise alone is no reason."""
    (begin, end), (other_begin, other_end) = group.sounds[clip.clip_id], group.sounds[fullest.clip_id]
    is_cut = max(begin - other_begin, other_end - end) > SAME_S
    return not is_cut or _speech_s(fullest) - _speech_s(clip) <= SAME_S


def _speech_s(clip: Clip) -> float:
    return clip.speech_s or 0.0


def _ranks(clip: Clip, scores: Mapping[str | None, Scores], gate: GateConfig, holds_all: bool) -> Sequence[float]:
    return [measure(clip, scores.get(clip.pcm_sha256, {}), gate, holds_all) for _, measure in MEASURES]


def _difference(best: Sequence[float], other: Sequence[float]) -> str:
    """Return in numbers what decided between two copies."""
    for (name, _), more, less in zip(MEASURES, best, other, strict=True):
        if more != less:
            return f"{name} {plain(less)} < {plain(more)}" if less > -1e9 else f"{name} could not be measured"
    return "alike, and later by name"
