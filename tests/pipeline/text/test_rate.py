"""Texts too long or too short for their speech."""

from dataclasses import replace

import numpy as np
import pytest

from clean_corpus.pipeline.core.config import GateConfig
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.records import RawShard, Shard
from clean_corpus.pipeline.core.types import Clip, Metadata
from clean_corpus.pipeline.text.rate import marked, marker, paces, with_rate

GATE = GateConfig()


def clips_of(speaker: str, letters_per_s: float, count: int, seed: int = 0) -> list[Clip]:
    """Clips of a reader whose rate varies by 10 %."""
    draw = np.random.default_rng(seed)
    made = []
    for number, n in enumerate(draw.integers(20, 60, count)):
        speech_s = n / (letters_per_s * np.exp(0.1 * draw.standard_normal()))
        clip = Clip(f"{speaker}-{number}", f"{speaker}.wav", None, speech_s=float(speech_s))
        made.append(with_rate(replace(clip, metadata=Metadata("x" * int(n), speaker))))
    return made


def ends(clips: list[Clip], known, gate: GateConfig = GATE) -> list[Clip]:
    return marked(RawShard(Shard("raw.tar", "", 0, len(clips)), clips, []), known, gate).clips


def with_text(clip: Clip, text: str | None) -> Clip:
    return with_rate(replace(clip, metadata=replace(clip.metadata, text=text)))


def test_wrong_texts_are_told_and_right_ones_are_not():
    fast, slow = clips_of("fast", 18, 200), clips_of("slow", 9, 200, seed=1)
    known = paces(fast + slow, min_clips=20)
    assert not any(clip.reject for clip in ends(fast + slow, known))
    of_another = [replace(clip, metadata=replace(clip.metadata, speaker="slow")) for clip in fast]
    assert np.mean([clip.reject is not None for clip in ends(of_another, known)]) > 0.9
    twice, half = (with_text(fast[0], fast[0].metadata.text * 3), with_text(fast[1], "x" * 5))
    (long, short) = ends([twice, half], known)
    assert long.reject[0] is short.reject[0] is Reason.TEXT_RATE
    assert " > " in long.reject[1] and " < " in short.reject[1] and "fast has 1" in long.reject[1]


def test_short_texts_may_deviate_more():
    clips = clips_of("a", 14, 100)
    known = paces(clips, min_clips=20)
    (pace,) = known.values()
    narrow, wide = pace.limits(60, 5), pace.limits(4, 5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("count", [19, 20])
def test_a_speaker_with_few_texts_is_not_checked(count):
    clips = clips_of("a", 14, count)
    assert bool(paces(clips, min_clips=20)) == (count == 20)
    assert bool(paces([replace(clips[0], reject=(Reason.TOO_SHORT, "")), *clips[1:]], min_clips=20)) is False
    clip = with_text(clips[0], "x" * 900)
    assert (ends([clip], paces(clips, min_clips=20))[0].reject is not None) == (count == 20)


def test_clips_without_text_and_an_equal_pace():
    alike = [replace(clip, speech_s=2.0) for clip in clips_of("a", 14, 30)]
    alike = [with_text(clip, "y" * 28) for clip in alike]
    known = paces(alike, min_clips=20)
    assert not any(clip.reject for clip in ends([with_text(alike[0], None), with_text(alike[1], "y" * 30)], known))
    off = GateConfig(text_rate_deviations_max=None)
    assert not ends([with_text(alike[0], "y" * 900)], known, off)[0].reject
    assert ends([with_text(alike[0], "y" * 900)], known)[0].reject


def test_a_run_is_looked_at_once_and_only_if_the_check_is_on():
    clips = clips_of("a", 14, 30)
    raw = RawShard(Shard("raw.tar", "", 0, 31), [*clips, with_text(clips[0], "x" * 900)], [])
    copies = replace(raw.clips[0], reject=(Reason.DUPLICATE, "of a-1"))

    def without_copies(raw: RawShard) -> RawShard:
        return replace(raw, clips=[copies, *raw.clips[1:]])

    mark = marker(iter([without_copies(raw)]), without_copies, GATE)
    reasons = [clip.reject and clip.reject[0] for clip in mark(raw).clips]
    assert reasons == [Reason.DUPLICATE, *[None] * 29, Reason.TEXT_RATE]
    off = GateConfig(text_rate_deviations_max=None)
    assert marker((pytest.fail("read") for _ in range(1)), without_copies, off) is without_copies


def test_a_text_that_came_from_a_copy_is_held_to_the_pace_too():
    clips = clips_of("a", 14, 30)
    lent = replace(with_text(clips[0], "x" * 900), text_rate=None)
    (found,) = ends([lent], paces(clips, min_clips=20))
    assert found.reject[0] is Reason.TEXT_RATE and found.text_rate > 100
