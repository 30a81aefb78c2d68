"""Of several copies of a recording the best is kept, with what is known of all, whatever their names and order."""

from dataclasses import replace
from itertools import permutations

import pytest

from clean_corpus.pipeline.core.config import DedupConfig, GateConfig, PipelineConfig
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.records import RawShard, Shard
from clean_corpus.pipeline.core.types import Clip, Metadata
from clean_corpus.pipeline.quality.best_copy import NO_COPIES, Choice, choose, members
from clean_corpus.pipeline.quality.duplicates import Copies
from clean_corpus.pipeline.quality.gate import to_score

SCORES = {"dnsmos_ovrl": 3.0, "bandwidth_hz": 7900.0, "snr_db": 30.0, "clipping_ratio": 0.0}


def clip(name: str, samples: str, **more) -> Clip:
    return Clip(name, f"{name}.wav", None, pcm_sha256=samples, **{"duration_s": 3.0, "speech_s": 2.0} | more)


def chosen(clips: list[Clip], scores: dict, **sounds: tuple[float, float]) -> Choice:
    """The choice among clips that are one group; it is the same in every order."""
    choices = []
    for some in permutations(clips):
        names = [c.clip_id for c in some]
        all_sound = {name: sounds.get(name, (0.0, 3.0)) for name in names}
        group = Copies(dict.fromkeys(names, 0.1), all_sound, {name: name == "other words" for name in names})
        choices.append(
            choose([group], {c.clip_id: c for c in some}, scores, GateConfig().at_rate(16000), DedupConfig())
        )
    assert all(choice == choices[0] for choice in choices)
    return choices[0]


def kept(clips: list[Clip], scores: dict, **sounds: tuple[float, float]) -> str:
    (name,) = {c.clip_id for c in clips} - chosen(clips, scores, **sounds).duplicates.keys()
    return name


@pytest.mark.parametrize(
    ("better", "worse", "why"),
    [
        # by telephone: the gate would reject it, and nothing mends it, so it goes even where it sounds better
        ({}, {"bandwidth_hz": 3400.0, "dnsmos_ovrl": 3.4}, "checks passed that no network mends 1 < 2"),
        ({}, {"clipping_ratio": 0.1}, "checks passed that no network mends 1 < 2"),
        ({}, {"dnsmos_ovrl": 2.4}, "dnsmos_ovrl 2.4 < 3"),  # noisy
        ({}, {"bandwidth_hz": 6000.0, "snr_db": 60.0}, "bandwidth_hz 6000 < 8000"),  # an MP3 of few bits
        ({}, {"snr_db": 20.0}, "snr_db 21 < 30"),
        ({}, {"dnsmos_ovrl": None}, "dnsmos_ovrl could not be measured"),
    ],
)
def test_the_better_of_two_is_kept_whatever_its_name(better, worse, why):
    scores = {"good": SCORES | better, "bad": SCORES | worse}
    for first, second in (("a", "b"), ("b", "a")):
        clips = [clip(first, "good"), clip(second, "bad")]
        duplicate = chosen(clips, scores).duplicates[second]
        assert duplicate.kind is Reason.NEAR_DUPLICATE
        assert duplicate.detail == f"of {first}: bit error 0.1 <= 0.25; {why}"


def test_differences_that_nobody_hears_decide_nothing():
    """Networks of two machines give 2e-3 MOS more or less; then names decide."""
    assert kept([clip("b", "1"), clip("a", "2")], {"1": SCORES | {"dnsmos_ovrl": 3.003}, "2": SCORES}) == "a"


def test_what_the_recording_itself_has_counts():
    """At 16 kHz both read alike; one was 48 kHz and clipped, one has twice the rate."""
    clipped = clip("a", "1", clipping_ratio=0.05, sample_rate_in_hz=48000)
    fine = clip("b", "2", clipping_ratio=0.0, sample_rate_in_hz=16000)
    assert kept([clipped, fine], {"1": SCORES, "2": SCORES}) == "b"
    assert kept([replace(clipped, clipping_ratio=0.0, clip_id="z"), fine], {"1": SCORES, "2": SCORES}) == "z"


def test_of_equal_samples_the_one_with_text_is_kept_and_no_score_is_needed():
    bare, known = clip("backup-x", "1"), clip("x", "1", metadata=Metadata(text="Hello.", speaker="s"))
    choice = chosen([bare, known], {})
    assert choice.duplicates["backup-x"].kind is Reason.DUPLICATE
    assert choice.duplicates["backup-x"].detail == "of x: equal samples; facts in manifests 0 < 2"
    assert choice.metadata == {}


def test_the_best_one_gets_the_metadata_that_it_lacks():
    best = clip("a", "1", metadata=Metadata(speaker="own"))
    second = clip("b", "2", metadata=Metadata(text="better", speaker="other"), text_source="aligned")
    third = clip("c", "3", metadata=Metadata(text="worse", licence="CC0"))
    scores = {str(i): SCORES | {"dnsmos_ovrl": 3.3 - 0.2 * i} for i in (1, 2, 3)}
    choice = chosen([best, second, third], scores)
    assert choice.metadata == {"a": (Metadata(text="better", speaker="own", licence="CC0"), "aligned")}
    raw = RawShard(Shard("k", "0" * 64, 1, 3), [third, best, second], ["", "", ""])
    marked = choice.marked(raw)
    assert [c.reject and c.reject[0] for c in marked.clips] == [Reason.NEAR_DUPLICATE, None, Reason.NEAR_DUPLICATE]
    assert marked.clips[1].metadata.text == "better" and marked.fingerprints == raw.fingerprints
    assert NO_COPIES.marked(raw) == raw


@pytest.mark.parametrize(
    ("sounds", "apart_s"),
    [((0.0, 3.0), None), ((0.12, 2.88), None), ((0.16, 3.0), "0.16"), ((0.0, 2.84), "0.16"), ((-0.4, 2.6), "0.40")],
)
def test_a_text_passes_over_only_where_the_same_is_spoken(sounds, apart_s):
    """What is known of the voice passes over all the same; the ledger says why the text did not."""
    best = clip("a", "1")
    other = clip("b", "2", metadata=Metadata(text="All of it.", speaker="s"), text_source="timed")
    choice = chosen([best, other], {"1": SCORES, "2": SCORES | {"snr_db": 20.0}}, b=sounds)
    text, source = (None, None) if apart_s else ("All of it.", "timed")
    assert choice.metadata == {"a": (Metadata(text=text, speaker="s"), source)}
    why = f"; its text is not passed on, it begins or ends {apart_s} s > 0.15 s elsewhere" if apart_s else ""
    assert choice.duplicates["b"].detail == f"of a: bit error 0.1 <= 0.25; snr_db 21 < 30{why}"


def test_a_text_does_not_pass_to_a_copy_that_has_other_words_in_between():
    best, other = clip("a", "1"), clip("other words", "2", metadata=Metadata(text="Gate five.", speaker="s"))
    choice = chosen([best, other], {"1": SCORES, "2": SCORES | {"snr_db": 20.0}})
    assert choice.metadata == {"a": (Metadata(speaker="s"), None)}
    assert choice.duplicates["other words"].detail.endswith(
        "; its text is not passed on, a stretch of it sounds otherwise"
    )


def test_texts_pass_over_by_what_the_kept_clip_holds_not_by_what_a_copy_of_it_does():
    """The middle one is like both, and they differ; the text of the third is not spoken in the first."""
    texts = {"2": None, "3": "Too much."}
    clips = [clip("a", "1"), *(clip(n, n, metadata=Metadata(text=text)) for n, text in texts.items())]
    scores = {n: SCORES | {"dnsmos_ovrl": 3.3 - 0.2 * int(n)} for n in "123"}
    assert chosen(clips, scores, **{"2": (0.0, 3.1), "3": (0.0, 3.2)}).metadata == {}
    near = [clips[0], replace(clips[1], metadata=Metadata(text="Right.")), clips[2]]
    assert chosen(near, scores, **{"3": (0.0, 3.2)}).metadata == {"a": (Metadata(text="Right."), None)}


def test_a_copy_that_holds_all_of_the_speech_is_kept_before_one_that_only_sounds_better():
    whole, cut = clip("b", "whole"), clip("a", "cut", speech_s=1.2)
    scores = {"whole": SCORES | {"dnsmos_ovrl": 2.4, "bandwidth_hz": 7500.0}, "cut": SCORES}
    assert kept([whole, cut], scores, a=(0.0, 2.2)) == "b"
    why = chosen([whole, cut], scores, a=(0.8, 3.0)).duplicates["a"].detail
    assert why == "of b: bit error 0.1 <= 0.25; all of the speech 0 < 1"
    assert kept([whole, cut], scores) == "a", "it has less speech by the detector alone"
    assert kept([whole, replace(cut, speech_s=1.9)], scores, a=(0.0, 2.2)) == "a", "the other ends in noise"
    assert kept([whole, cut], scores | {"whole": SCORES | {"bandwidth_hz": 3400.0}}, a=(0.0, 2.2)) == "a"


def test_copies_of_copies_are_scored_once():
    """Two pairs of equal samples: one clip of each pair is scored, before the choice and after it."""
    clips = [clip("a", "1"), clip("b", "1", metadata=Metadata(text="t")), clip("c", "2"), clip("d", "2")]
    raw = RawShard(Shard("k", "0" * 64, 1, 4), clips, [""] * 4)
    for scores in ({}, {"1": SCORES, "2": SCORES | {"dnsmos_ovrl": 2.0}}, {"1": {}, "2": SCORES}):
        assert [c.clip_id for c in to_score(chosen(clips, scores).marked(raw), PipelineConfig())] == ["b", "c"]
    duplicates = chosen(clips, {"1": {}, "2": SCORES}).duplicates
    assert {name: d.kind.value for name, d in duplicates.items()} == {
        "a": "duplicate", "b": "near_duplicate", "d": "duplicate",
    }  # fmt: skip
    assert all(d.detail.startswith("of c: ") for d in duplicates.values())


def test_shards_without_a_clip_to_be_scored_are_left_alone():
    def shard(*clips):
        return RawShard(Shard("k", "0" * 64, 1, len(clips)), list(clips), [""] * len(clips))

    raws = [shard(clip("a", "1"), clip("x", "9")), shard(clip("b", "2")), shard(clip("c", "3")), shard(clip("d", "3"))]
    groups = [Copies(bit_error, {}, {}) for bit_error in ({"a": 0.1, "b": 0.1}, {"c": 0.0, "d": 0.0})]
    clips, numbers = members(groups, enumerate(raws))
    assert sorted(clips) == ["a", "b", "c", "d"] and numbers == [0, 1]
