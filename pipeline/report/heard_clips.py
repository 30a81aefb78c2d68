"""The clips that a report plays, each tar read and checked once for all that are heard of it."""

from collections.abc import Iterable

from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.records import Shard
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.corpus.shards import read_flac
from clean_corpus.pipeline.storage.base import Store


class HeardClips:
    """Hold the clips that are to be heard as FLAC, those of a tar from when the first of them is asked for."""

    def __init__(self, store: Store, wanted: Iterable[tuple[Shard, str]]) -> None:
        self._store = store
        self._wanted: dict[str, set[str]] = {}
        self._files: dict[str, dict[str, bytes]] = {}
        for shard, clip_id in wanted:
            self._wanted.setdefault(shard.key, set()).add(clip_id)

    def audio(self, shard: Shard, clip_id: str) -> tuple[Audio, int] | None:
        """Return the samples of a clip and their rate in Hz, None if the tar does not hold it.

        Shapes: samples (N,).
        Raises: DataError if the tar's bytes are not those that were written.
        """
        if shard.key not in self._files:
            wanted = self._wanted.get(shard.key, set())
            self._files[shard.key] = {name: flac for name, flac in read_flac(self._store, shard) if name in wanted}
        flac = self._files[shard.key].get(clip_id)
        return decode.decode(flac) if flac else None
