"""All scores of many clips at a time, the opinions of networks computed on a device: those of `Scorer` within 0.001."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from clean_corpus.pipeline.audio import loudness
from clean_corpus.pipeline.core.types import Audio, Scores
from clean_corpus.pipeline.quality import device as devices
from clean_corpus.pipeline.quality import distillmos, dnsmos
from clean_corpus.pipeline.quality.dnsmos_batched import BatchedDnsmos
from clean_corpus.pipeline.quality.scorer import measured, rounded

BATCH_S = 120.0  # audio that goes to the device at once; its trunk's outputs take 15 MB, those of its windows 150

Name = TypeVar("Name")


class Prepared(NamedTuple):
    """A clip before its networks: the other scores, and what DNSMOS and DistillMOS hear; None where they hear nothing.

    Shapes: audible (N,) at RATE.
    """

    values: dict[str, float | None]
    heard: dnsmos.Heard | None
    audible: Audio | None
    duration_s: float


class BatchedScorer:
    """Measure all scores of clips side by side; one per process: it holds the networks, on its device.

    Which clips go to the device together depends on the clips alone, so the same shard gets the same scores again.
    """

    def __init__(
        self, *, speech_threshold: float, dnsmos_windows: dnsmos.Windows, naturalness: bool = False, device: str
    ) -> None:
        self._speech_threshold, self._naturalness = speech_threshold, naturalness
        self._dnsmos = BatchedDnsmos(dnsmos_windows, device=device)
        self._distillmos = distillmos.DistillMos(device) if naturalness else None

    def score(self, x: Audio, *, sample_rate: int, clean: Audio | None = None, own: Scores | None = None) -> Scores:
        """Return a value for every score of one clip, as `Scorer.score`."""
        return self._start([self.prepare(x, sample_rate=sample_rate, clean=clean, own=own)])()[0]

    def prepare(self, x: Audio, *, sample_rate: int, clean: Audio | None = None, own: Scores | None = None) -> Prepared:
        """Measure what needs no network, and what the networks hear, on this core; arguments as `Scorer.score`.

        Shapes: x (N,) samples at sample_rate, clean (N,).
        Raises: as Scorer.score.
        """
        threshold, naturalness = self._speech_threshold, self._naturalness
        values, audible = measured(x, sample_rate, clean, own, speech_threshold=threshold, naturalness=naturalness)
        heard = None if audible is None else self._dnsmos.hear(loudness.within_full_scale(audible))
        return Prepared(values, heard, audible if naturalness else None, len(x) / sample_rate)

    def score_all(self, clips: Iterable[tuple[Name, Prepared]]) -> Iterator[tuple[Name, Scores]]:
        """Yield the scores of clips by their names, in their order; clips are prepared while the device computes."""
        batches = devices.batched(clips, lambda clip: clip[1].duration_s, BATCH_S)
        for names, scores in devices.overlapped(batches, self._start_named):
            yield from zip(names, scores, strict=True)

    def _start_named(self, clips: Sequence[tuple[Name, Prepared]]) -> Callable[[], tuple[list[Name], list[Scores]]]:
        names, waiting = [name for name, _ in clips], self._start([clip for _, clip in clips])
        return lambda: (names, waiting())

    def _start(self, clips: Sequence[Prepared]) -> Callable[[], list[Scores]]:
        """Hand clips to the device; return what waits for their scores."""
        heard = {number: clip.heard for number, clip in enumerate(clips) if clip.heard is not None}
        opinions = self._dnsmos.start(list(heard.values())) if heard else list
        audible = [clips[number].audible for number in heard]
        natural = self._distillmos.start(audible) if self._distillmos and heard else list
        values = [clip.values for clip in clips]

        def wait() -> list[Scores]:
            for number, found in zip(heard, opinions(), strict=True):
                values[number].update(found)
            for number, mos in zip(heard, natural(), strict=False):
                values[number]["distillmos"] = mos
            return [rounded(of_clip) for of_clip in values]

        return wait
