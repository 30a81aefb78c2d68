"""Training from shards: pair i depends on seed and i alone, however far it was read; memory holds a buffer, no more."""

import io
import tarfile

import boto3
import numpy as np
import pytest
import soundfile

from clean_corpus.enhancers.training.mixing import MixConfig
from clean_corpus.enhancers.training.recordings import Recording
from clean_corpus.enhancers.training.shard_speech import ShardMixtures
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.pipeline.training import shard_stream
from clean_corpus.pipeline.training.loop import EpochSampler, loader
from clean_corpus.pipeline.training.shard_stream import Shuffled, clips, find_shards, hold_out_shards

RATE = 16000
LENGTH = 8  # pairs per block
PLAIN = MixConfig(
    seconds=0.2, room_share=0, equaliser_share=0, second_noise_share=0, clean_share=0, recorded_share=1,
    speech_speed=(1, 1), noise_speed=(1, 1), level_db=None, shuffle_clips=4,
)  # fmt: skip


def flac(value: float, rate: int = RATE) -> bytes:
    """Half a second of one value, which tells what clip a cut is from."""
    data = io.BytesIO()
    soundfile.write(data, np.full(rate // 2, value, np.float32), rate, format="FLAC")
    return data.getvalue()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """5 shards of 4 clips of speech, of values 0.02 to 0.40; 2 shards of noise."""
    store = LocalStore(tmp_path_factory.mktemp("shards"))
    for i in range(5):
        samples = [{"__key__": f"s{i}-{j}", "flac": flac((4 * i + j + 1) / 50), "json": b"{}"} for j in range(4)]
        write_shard(store, f"speech/{i}.tar", samples)
    rng, noise = np.random.default_rng(0), io.BytesIO()
    soundfile.write(noise, 0.1 * rng.standard_normal(RATE), RATE, format="WAV", subtype="FLOAT")
    for i in range(2):
        write_shard(store, f"noise/{i}.tar", [{"__key__": f"n{i}", "wav": noise.getvalue()}])
    return store.root


def shards(folder):
    return sorted(folder.glob("*.tar"))


def pairs(corpus, *, seed=0, config=PLAIN, length=LENGTH):
    return ShardMixtures(shards(corpus / "speech"), shards(corpus / "noise"), config, seed=seed, length=length)


def clip_number(clean):
    return round(float(clean.mean()) * 50)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_pair_depends_on_seed_and_number_alone(corpus):
    whole, jumps = pairs(corpus), pairs(corpus)
    expected = [whole[i] for i in range(2 * LENGTH)]
    for index in (3, 4, 1, 13, 9, 7, 8):  # forward, back, into another block and out of it
        assert same(expected[index], jumps[index]), index
    assert not same(expected[3], pairs(corpus, seed=1)[3])


def test_a_resumed_epoch_and_any_number_of_workers_give_the_same_batches(corpus):
    def batches(epoch, workers):
        sampler = EpochSampler(LENGTH)
        sampler.set_epoch(epoch)
        return [b.numpy() for batch in loader(pairs(corpus), 2, workers=workers, sampler=sampler) for b in batch]

    uninterrupted = pairs(corpus)
    epochs = [[uninterrupted[i] for i in range(e * LENGTH, (e + 1) * LENGTH)] for e in range(3)]
    for workers in (0, 2):
        noisy = np.concatenate(batches(2, workers)[::2])
        assert same(noisy, [pair[0] for pair in epochs[2]]), workers


def test_every_clip_comes_once_per_pass_in_an_order_of_its_own_each_epoch(corpus):
    data = pairs(corpus, length=20)
    taken = [[clip_number(data[20 * e + i][1]) for i in range(20)] for e in range(2)]
    assert taken[0] != taken[1]
    for epoch in taken:  # the buffer still holds the last four
        assert len(set(epoch)) >= 16 and max(epoch.count(x) for x in epoch) <= 2 and set(epoch) <= set(range(1, 21))


def test_clips_are_read_only_as_far_as_they_are_needed(corpus, monkeypatch):
    opened, decoded = [], []
    read, decode = shard_stream.clips, shard_stream.Encoded.decode
    monkeypatch.setattr(shard_stream, "clips", lambda shard: opened.append(shard) or read(shard))
    monkeypatch.setattr(shard_stream.Encoded, "decode", lambda *a: decoded.append(a[0].name) or decode(*a))
    data = pairs(corpus)
    data[0]
    assert len([s for s in opened if s.parent.name == "speech"]) == 2  # 4 held, 1 taken: 5 clips, 4 in each shard
    assert len(data._blocks.streams[0].held) == 4
    data[6]
    assert len([name for name in decoded if name.startswith("s")]) == 2, "what is passed over is not decoded"


def test_the_mixture_has_its_snr(corpus):
    config = PLAIN.model_copy(update={"snr_set_db": (0.0, 10.0)})
    data, seen = pairs(corpus, config=config), set()
    for i in range(8):
        noisy, clean = data[i]
        snr_db = 10 * np.log10(np.mean(clean**2) / np.mean((noisy - clean) ** 2))
        assert min(abs(snr_db), abs(snr_db - 10)) < 0.01
        seen.add(round(snr_db))
    assert seen == {0, 10}


def test_the_default_mix_with_babble_and_rooms_runs(corpus):
    config = MixConfig(seconds=0.5, rooms=2, recorded_share=0.5, room_share=0.5, shuffle_clips=3)
    data = pairs(corpus, config=config, length=20)
    for i in range(20):
        noisy, clean = data[i]
        assert noisy.shape == clean.shape == (8000,) and np.isfinite(noisy).all() and np.abs(noisy).max() <= 1


def test_streamed_noise_mixes_with_speech_in_memory_and_the_other_way(corpus):
    speech = {"s": [Recording("a", np.full(RATE, 3000, np.int16))]}
    data = ShardMixtures(speech, shards(corpus / "noise"), PLAIN, seed=0, length=4)
    assert data[1][1].mean() == pytest.approx(3000 / 32768, rel=1e-4) and not same(data[0], data[1])
    track = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    data = ShardMixtures(shards(corpus / "speech"), [track], PLAIN, seed=0, length=4)
    assert clip_number(data[1][1]) in range(1, 21) and not np.array_equal(*data[0])
    with pytest.raises(ConfigError, match="speech_shares"):
        ShardMixtures(shards(corpus / "speech"), [], MixConfig(speech_shares={"s": 1.0}), seed=0, length=1)
    with pytest.raises(ConfigError, match=r"mix.speech_snr_db 30: .* read in turn, none is drawn less; give folders"):
        ShardMixtures(shards(corpus / "speech"), [], MixConfig(speech_snr_db=30.0), seed=0, length=1)


def test_another_rate_is_resampled(tmp_path):
    write_shard(LocalStore(tmp_path), "a.tar", [{"__key__": "a", "flac": flac(0.5, 48000)}])
    (clip,) = clips(tmp_path / "a.tar")
    assert len(clip.decode(RATE)) == RATE // 2


def test_folders_globs_and_files_of_shards_are_found(corpus, tmp_path):
    expected = shards(corpus / "speech")
    assert find_shards([corpus / "speech"], "--speech") == expected
    assert find_shards([corpus / "speech" / "[01].tar", expected[2]], "--speech") == expected[:3]
    assert find_shards([tmp_path], "--speech") is None
    with pytest.raises(ConfigError, match=r"--noise .*absent: no such"):
        find_shards([tmp_path / "absent"], "--noise")
    with pytest.raises(ConfigError, match=r"is a shard, .* a folder without"):
        find_shards([corpus / "speech", tmp_path], "--speech")
    with pytest.raises(DataError, match=r"matches no \.tar"):
        find_shards([tmp_path / "*.tar"], "--speech")
    (tmp_path / "x.zip").write_bytes(b"")
    with pytest.raises(ConfigError, match="neither"):
        find_shards([tmp_path / "x.zip"], "--speech")


def test_shards_in_a_bucket_give_the_same_pairs(corpus, s3_server):
    client = boto3.client("s3")
    client.create_bucket(Bucket="shards")
    for path in sorted(corpus.glob("*/*.tar")):
        client.upload_file(str(path), "shards", f"{path.parent.name}/{path.name}")
    speech, noise = (find_shards([f"s3://shards/{kind}"], f"--{kind}") for kind in ("speech", "noise"))
    assert [str(s) for s in noise] == ["s3://shards/noise/0.tar", "s3://shards/noise/1.tar"]
    stored, local = ShardMixtures(speech, noise, PLAIN, seed=0, length=LENGTH), pairs(corpus)
    for index in (2, LENGTH + 3):
        assert same(stored[index], local[index]), index
    with pytest.raises(DataError, match=r"--noise s3://shards/absent: no \.tar there"):
        find_shards(["s3://shards/absent"], "--noise")


def test_whole_shards_are_held_out(corpus):
    everything = shards(corpus / "speech")
    kept, held = hold_out_shards(everything, 0.4, seed=0)
    assert (len(kept), len(held)) == (3, 2) and sorted(kept + held) == everything
    assert hold_out_shards(everything, 0.4, seed=0) == (kept, held)
    assert len(hold_out_shards(everything[:2], 0.01, seed=0)[1]) == 1
    by_name = [hold_out_shards(part, 0.4, seed, "name")[1] for seed, part in ((0, everything), (1, everything[1:]))]
    assert set(by_name[1]) == set(by_name[0]) - {everything[0]} and by_name[1]
    with pytest.raises(DataError, match="at least two"):
        hold_out_shards(everything[:1], 0.1, seed=0)


def test_bad_shards_are_named(corpus, tmp_path):
    whole = shards(corpus / "speech")[0].read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.tar: "):
        list(clips(tmp_path / "cut.tar"))
    with tarfile.open(tmp_path / "out.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../x.flac"), io.BytesIO())
    with pytest.raises(DataError, match="points outside"):
        list(clips(tmp_path / "out.tar"))
    store = LocalStore(tmp_path)
    write_shard(store, "text.tar", [{"__key__": "a", "txt": b"no sound", "pkl": b"\x80\x04."}])
    with pytest.raises(DataError, match=r"no \.flac .* in 1 shards"):
        Shuffled([tmp_path / "text.tar"], 2, (0,))
    write_shard(store, "noise.tar", [{"__key__": "a", "flac": b"not a flac"}])
    (clip,) = clips(tmp_path / "noise.tar")
    with pytest.raises(DataError, match=r"noise\.tar: a\.flac: "):
        clip.decode(RATE)
