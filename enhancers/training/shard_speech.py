"""Training pairs from WebDataset shards of any size, which are streamed with a bounded number of clips in memory.

Each pair takes speech and noise from the clips that `shard_stream` holds, and is a function of (seed, index) alone, as
for recordings in memory.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch.utils.data import Dataset

from clean_corpus.enhancers.training.mixing import (
    PAUSE_DRAWS,
    MixConfig,
    Mixtures,
    at_speed,
    draw_pair,
    is_pause,
    random_cut,
    simulated_rooms,
)
from clean_corpus.enhancers.training.recordings import Recording
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.shared_arrays import SharedArrays
from clean_corpus.pipeline.core.types import Audio
from clean_corpus.pipeline.training.shard_stream import Blocks, Encoded, Shard, Shuffled

SHORTEST_S = 0.1  # shorter clips of noise are skipped: one pair would need a hundred of them


class ShardMixtures(Dataset):
    """Pairs of streamed speech and noise, one of which may lie in memory as for `Mixtures`.

    Shapes: item -> (noisy, clean), each (seconds * sample_rate,) float32 in [-1, 1].
    Raises: ConfigError if speech_shares or speech_snr_db is set and speech is streamed: shards are read in turn.
    """

    def __init__(
        self,
        speech: Sequence[Shard] | Mapping[str, Sequence[Recording]],
        noise: Sequence[Shard] | Sequence[Audio],
        config: MixConfig,
        *,
        seed: int,
        length: int,
        rooms: Sequence[Audio] | None = None,
    ) -> None:
        self.memory, self.shards = None, []
        if isinstance(speech, Mapping):
            self.memory = Mixtures(speech, [], config, seed=seed, length=length, rooms=[])
        elif config.speech_shares:
            raise ConfigError("mix.speech_shares divides folders of recordings; shards of speech are read in turn")
        elif config.speech_snr_db is not None:
            raise ConfigError(
                f"mix.speech_snr_db {config.speech_snr_db:g}: clips of shards are read in turn, none is drawn less; "
                "give folders of recordings, or set it to null"
            )
        else:
            self.shards = list(speech)
        self.noise_shards = [x for x in noise if isinstance(x, Shard)]
        self.tracks = SharedArrays(x for x in noise if not isinstance(x, Shard))
        self.config, self.seed, self.length = config, seed, length
        self.rooms = simulated_rooms(config, seed) if rooms is None else list(rooms)
        self._blocks = Blocks(length, self._streams)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Audio, Audio]:
        taken = self._blocks.at(index)
        voices = self._blocks.streams[0] if self.shards else None
        noises = self._blocks.streams[-1] if self.noise_shards else None
        source = _Streamed(self, voices, noises, taken[0] if self.shards else None)
        return draw_pair(np.random.default_rng((self.seed, 1, index)), source, self.rooms, self.config)

    def _streams(self, block: int) -> list[Shuffled]:
        """Return the streams of one block: of speech, then of noise, as far as they come from shards."""
        kinds = ((self.shards, 2), (self.noise_shards, 3))
        return [Shuffled(x, self.config.shuffle_clips, (self.seed, kind, block)) for x, kind in kinds if x]


class _Streamed:
    """Source of one pair: its clip of speech, and the clips that the buffers hold at its position."""

    def __init__(
        self, pairs: ShardMixtures, voices: Shuffled | None, noises: Shuffled | None, clip: Encoded | None
    ) -> None:
        self._pairs, self._config, self._clip = pairs, pairs.config, clip
        self._voices, self._noises = voices, noises
        self.has_noise = bool(pairs.tracks or noises)

    def speech(self, rng: np.random.Generator, n: int) -> Audio:
        if self._clip is None:
            return self._pairs.memory.speech(rng, n)
        samples = self._clip.decode(self._config.sample_rate)
        for _ in range(PAUSE_DRAWS):
            cut = at_speed(rng, samples, n, self._config.speech_speed)
            if not is_pause(cut, samples):
                break
        return cut

    def voice(self, rng: np.random.Generator, n: int) -> Audio:
        if self._clip is None:
            return self._pairs.memory.voice(rng, n)
        return random_cut(rng, self._any(rng, self._voices), n)

    def noise(self, rng: np.random.Generator, n: int) -> Audio:
        if self._pairs.tracks:
            track = self._pairs.tracks[rng.integers(len(self._pairs.tracks))]
        else:  # clips in a row until a cut of any speed fits, each at unit level
            parts: list[Audio] = []
            for _ in range(100):
                part = self._any(rng, self._noises)
                rms = float(np.sqrt(np.mean(part**2)))
                if rms > 1e-4 and len(part) >= SHORTEST_S * self._config.sample_rate:
                    parts.append(part / np.float32(rms))
                if sum(map(len, parts)) >= 2 * n:
                    break
            track = np.concatenate(parts) if parts else np.zeros(n, np.float32)
        return at_speed(rng, track, n, self._config.noise_speed)

    def _any(self, rng: np.random.Generator, clips: Shuffled) -> Audio:
        """Return the samples of a random clip among those that the buffer holds."""
        return clips.held[rng.integers(len(clips.held))].decode(self._config.sample_rate)
