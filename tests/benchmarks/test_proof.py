"""The proof's script: what it mixes, what it cuts from the clean voice, what it says it costs, and its section."""

import json
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import yaml

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows.compare_config import CompareConfig
from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.training.recording_list import MIXED_FROM, digests
from clean_corpus.pipeline.training.shard_stream import clips
from clean_corpus.vocoder.checkpoint import build
from clean_corpus.vocoder.comparison import measures
from clean_corpus.vocoder.comparison.result import write_result
from clean_corpus.vocoder.training.config import VocoderConfig
from tests.support.compared import KEYS, facts, spoken
from tests.support.tones import tone


@pytest.fixture
def data(tmp_path):
    """Four utterances of a voice, and one recording of noise of two kinds."""
    rng = np.random.default_rng(0)
    voice = tmp_path / "data" / "speech" / "english_48k"
    (voice / "wavs").mkdir(parents=True)
    for i in range(4):
        soundfile.write(voice / "wavs" / f"u{i}.ogg", tone(200 + 50 * i, rate=48000), 48000)
    (voice / "metadata.csv").write_text("".join(f"u{i}|Text {i}.\n" for i in range(4)))
    for kind in ("rain", "wind"):
        (tmp_path / "data" / "noise_44k" / "dev" / kind).mkdir(parents=True)
        noise = 0.1 * rng.standard_normal(44100).astype(np.float32)
        soundfile.write(tmp_path / "data" / "noise_44k" / "dev" / kind / f"4-{kind}.ogg", noise, 44100)
    return tmp_path / "data"


@pytest.fixture
def mixes(benchmark, monkeypatch):
    script = benchmark("proof_mixes")
    monkeypatch.setattr(script, "room", lambda number: np.float32([1.0, 0.0, 0.5]))  # simulating takes seconds
    return script


def test_noisy_and_clean_lie_side_by_side_at_the_snr_that_is_written_down(mixes, data, tmp_path):
    found = mixes.write_mixes(tmp_path, 4, (5.0, 25.0), data)
    assert (tmp_path / "noisy" / "metadata.csv").read_text().startswith("u0|Text 0.\n")
    for name, about in found["mixes"].items():
        noisy, clean = (soundfile.read(tmp_path / folder / "wavs" / f"{name}.wav")[0] for folder in ("noisy", "voice"))
        assert len(noisy) == len(clean) == 16000 and 5 <= about["snr_db"] <= 25
        if not about["in_room"]:
            snr_db = 10 * np.log10(np.mean(clean**2) / np.mean((noisy - clean) ** 2))
            assert snr_db == pytest.approx(about["snr_db"], abs=0.1)
        source = digests((data / "speech" / "english_48k" / "wavs" / f"{name}.ogg").read_bytes()).text
        assert about[MIXED_FROM][-1] == source and len(about[MIXED_FROM]) == 1 + (about["noise"] != mixes.TONE)
    assert mixes.write_mixes(tmp_path, 4, (5.0, 25.0), None) == found  # nothing is mixed again
    with pytest.raises(SystemExit, match="utterances is 4, asked for is 2; take another WORK"):
        mixes.write_mixes(tmp_path, 2, (5.0, 25.0), data)


def test_fewer_utterances_are_a_part_of_more(mixes, data, tmp_path):
    few = mixes.write_mixes(tmp_path, 2, (5.0, 25.0), data)["mixes"]
    (tmp_path / "more").mkdir()
    more = mixes.write_mixes(tmp_path / "more", 4, (5.0, 25.0), data)["mixes"]
    assert few == {name: more[name] for name in few} and len(few) == 2
    with pytest.raises(SystemExit, match="--utterances 9: the voice has 4"):
        mixes.chosen(mixes.voice(data), 9)


def test_no_training_draws_its_rooms_and_tones_with_the_seed_of_the_proof(mixes):
    seeds = [checkpoints.card(name)["config"]["seed"] for name in checkpoints.shipped()]
    assert not {mixes.SEED} & {seed + i for seed in seeds for i in (0, 1)}  # of training and of validation


def test_clean_clips_are_cut_where_the_run_cut_the_noisy_ones(benchmark, tmp_path):
    script = benchmark("proof")
    x = np.concatenate((np.zeros(8000), tone(220), np.zeros(8000))).astype(np.float32)
    (tmp_path / "voice" / "wavs").mkdir(parents=True)
    encode.write_wav(tmp_path / "voice" / "wavs" / "u0.wav", x, 16000)
    row = {"clip_id": "u0-1", "source": "wavs/u0.wav", "text": "a", "verdict": "kept", "offset_s": 0.5,
           "duration_s": 1.0, "removed_s": 0.0}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row, row | {"verdict": "failed"}]), tmp_path / "ledger.parquet")
    out = script.cut_clean(tmp_path, tmp_path / "ledger.parquet", {"u0": {"snr_db": 7.5, MIXED_FROM: ["a b"]}})
    (clip,) = clips(out / "000000.tar")
    about, cut = json.loads(clip.about), decode.decode(clip.data)[0]
    assert (clip.key, about["snr_db"], about[MIXED_FROM], len(cut)) == ("u0-1", 7.5, ["a b"], 16000)
    assert np.corrcoef(cut, tone(220))[0, 1] > 0.999
    pq.write_table(pa.Table.from_pylist([row | {"removed_s": 0.2}]), tmp_path / "ledger.parquet")
    (tmp_path / "sets" / "clean.done").unlink()
    with pytest.raises(SystemExit, match="pauses of u0-1 were shortened"):
        script.cut_clean(tmp_path, tmp_path / "ledger.parquet", {})


def test_configurations_are_what_their_commands_take(benchmark):
    script, cost = benchmark("proof"), benchmark("proof_cost")
    for path in (script.CONFIG, cost.GPU):
        config = CompareConfig.model_validate(yaml.safe_load(path.read_text()))
        assert config.seeds == 3 and config.aa
    base = VocoderConfig.model_validate(yaml.safe_load(cost.GPU_BASE.read_text()))
    assert sum(p.numel() for p in build(base.sizes, []).parameters()) == 2_251_968
    many = cost.counts(config, 7)
    assert (many.trainings, many.updates, many.scored) == (24, 20_000, 2400)


def test_a_plan_times_each_part_and_counts_how_often_it_is_done(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(measures, "measure", lambda *_: time.sleep(0.01))  # the networks of all scores take seconds
    config = tmp_path / "config.yaml"
    sizes = {"layers": 2, "stacks": 2, "conditioning_channels": 8, "conditioning_hop": 16, "upsampling": [5]}
    config.write_text(yaml.safe_dump({
        "seeds": 2, "aa": True, "spoken": 2,
        "vocoder": {"sizes": sizes, "batch_size": 1, "frames": 10, "steps": 7, "precision": "32-true"},
    }))  # fmt: skip
    text = benchmark("proof_cost").plan(config, ["vocoder.steps=9"], ["raw", "enhanced"], 40)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| a")]
    assert [row[:2] for row in rows] == [["an update", "54"], ["a second of speech", "72"], ["a score", "28"]]
    assert all(float(row[2]) > 0 for row in rows) and "2 trainings of each: 6 of 9 updates" in text


def test_operations_are_those_of_every_weight_and_sample_forward_and_twice_back(benchmark):
    sizes = {"layers": 2, "stacks": 2, "conditioning_channels": 8, "conditioning_hop": 16, "upsampling": [5]}
    config = VocoderConfig(batch_size=2, frames=50, sizes=sizes)
    found = benchmark("proof_cost").size(config)
    samples = 2 * (50 + 1) * 80
    assert found.flop == pytest.approx(6 * found.parameters * samples, rel=0.2)
    assert found.activations > 4 * samples * 64 * 2  # each layer keeps at least its input


def test_the_section_has_common_frames_first_and_the_gain_by_snr(benchmark, tmp_path):
    """Own frames gain 0.4 where the SNR is low and nothing where it is high; common frames gain nothing."""
    section, run = benchmark("proof_section"), tmp_path / "runs" / "default"
    run.mkdir(parents=True)
    rows = [{"clip_id": key, "source": f"wavs/{key}.wav"} for key in KEYS]
    pq.write_table(pa.Table.from_pylist(rows), run / "ledger.parquet")
    (run / "run.json").write_text(json.dumps({"counts": {"kept": 6}}))
    mixes = {key: {"snr_db": 6.0 if i < 3 else 22.0} for i, key in enumerate(KEYS)}
    (tmp_path / "mixes.json").write_text(json.dumps({"utterances": 6, "snr_range_db": [5.0, 25.0], "mixes": mixes}))
    flat, gain = np.full((3, 6), 2.5), np.array([0.4, 0.4, 0.4, 0, 0, 0])
    scores = spoken("raw", flat) + spoken("enhanced", flat, own=gain) + spoken("raw-again", flat, audio=False)
    vocoder = {"batch_size": 4, "frames": 200, "start_from": "base", "sizes": {"layers": 2}}
    about = facts("raw", "enhanced", aa="raw", seeds=3) | {"training_overlap": ["Set “enhanced”: it did."]}
    (tmp_path / "comparison").mkdir()
    write_result(scores, KEYS, {}, about, {"vocoder": vocoder}, tmp_path / "comparison")
    text = section.text(tmp_path, tmp_path / "comparison")
    first, _, then = text.partition("vocoder, own frames")
    assert "frames of “enhanced”" in first and "the audio itself" in then and "P.808" in first
    assert "| enhanced | vocoder, own frames | +0.40 (+0.40 to +0.40) | +0.00 (+0.00 to +0.00) |" in text
    assert "“enhanced” is shown to be better than raw (vocoder, own frames) at 5 to 10 dB." in text
    assert "- Set “enhanced”: it did." in text and "4 updates of 4 segments of 200 frames" in text
