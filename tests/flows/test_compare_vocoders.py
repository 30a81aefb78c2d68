"""A comparison from sets to the report: trainings in step, scores, differences, a page that can be read."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from prefect.testing.utilities import prefect_test_harness

from clean_corpus.flows import compare_vocoders as comparison
from clean_corpus.flows.commands import listening, listening_report
from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.audio.synthetic import coloured_noise
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.vocoder.comparison.aligned_sets import AlignedSets
from clean_corpus.vocoder.comparison.copy_synthesis import Spoken
from clean_corpus.vocoder.comparison.measures import MEASURES, OPINION, PREDICTED
from clean_corpus.vocoder.listening.key import Key
from clean_corpus.vocoder.listening.results import Results
from clean_corpus.vocoder.listening.statistics import Score
from clean_corpus.vocoder.training.config import VocoderConfig

RATE = 16000
SMALL = {
    "spoken": 2,
    "vocoder": {
        "steps": 4, "steps_per_epoch": 2, "batch_size": 2, "frames": 20, "validation_share": 0.3, "workers": 0,
        "validation_clips": 2, "heard_s": 0, "shuffle_clips": 4, "ema_decay": 0.5,
        "sizes": {"layers": 2, "stacks": 1, "residual_channels": 8, "gate_channels": 16, "skip_channels": 8,
                  "conditioning_channels": 8},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Twelve tones, clean and with noise of two levels; one noisy set lacks one."""
    store, rng = LocalStore(tmp_path_factory.mktemp("sets")), np.random.default_rng(0)
    time_s = np.arange(RATE) / RATE
    tones = [(0.3 * np.sin(2 * np.pi * (150 + 15 * i) * time_s)).astype(np.float32) for i in range(12)]
    for name, level in (("raw", 0.05), ("clean", 0.0), ("other", 0.1)):
        noisy = [tone + level * coloured_noise(rng, RATE, slope=1) for tone in tones]
        samples = [
            {
                "__key__": f"u{i:02}",
                "flac": encode.encode_flac(np.clip(x, -1, 1), RATE, bits=16),
                "json": json.dumps({"enhancer": "gone"} if name == "raw" else {}).encode(),
            }
            for i, x in enumerate(noisy)
        ]
        write_shard(store, f"{name}/0.tar", samples[: 11 if name == "raw" else 12])
    return store.root


@pytest.fixture
def run(sets, monkeypatch):
    """The flow as a function: no server."""
    for name in ("train_set", "speak_set", "score_all"):
        monkeypatch.setattr(comparison, name, getattr(comparison, name).fn)

    def call(out, **settings):
        config = comparison.CompareConfig.model_validate(SMALL | settings)
        given = {name: [str(sets / name)] for name in ("raw", "clean")}
        return comparison.compare_vocoders.fn(given, out, config, force=True)

    return call


def test_a_comparison_from_sets_to_the_page_and_again(run, tmp_path, monkeypatch):
    page = run(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["steps"], result["common"]) == (4, 11)
    assert [(m["system"], m["frames"]) for m in result["means"]] == [
        ("raw", None), ("raw", "own"), ("raw", "clean"), ("clean", None), ("clean", "own"),
    ]  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert len(rows) == 5 * 2 and {row["utterance"] for row in rows if row["system"] == "raw"} == {
        row["utterance"] for row in rows if row["system"] == "clean"
    }
    cards = [json.loads((tmp_path / "runs" / name / "best.json").read_text()) for name in ("raw", "clean")]
    assert [card["steps"] for card in cards] == [4, 4] and cards[0]["training_h"] == cards[1]["training_h"]
    text = page.read_text()
    assert "Set “raw”: its enhancer gone has no list of the recordings" in "".join(result["training_overlap"])
    assert result["training_overlap"][0] in text
    assert "One vocoder, 2 versions" in text and all(name in text for name in (*PREDICTED, "mcd_db", "lsd_db"))
    assert all((page.parent / name).exists() for name in ("audio/000-00.wav", "spectrograms/001-04.png"))

    monkeypatch.setattr(comparison.train, "train", None)  # a second run trains, speaks and scores nothing
    monkeypatch.setattr(comparison.copy_synthesis, "speak", None)
    monkeypatch.setattr(comparison, "LocalEngine", None)
    assert run(tmp_path).read_text() == text
    page = with_listeners(tmp_path).read_text()
    assert "What people heard" in page and "<td>4.20</td><td>4.00 to 4.40</td>" in page
    assert (tmp_path / "report" / "listening.png").exists()
    assert run(tmp_path).read_text() == page, "a second run forgets the listeners"
    with pytest.raises(ConfigError, match=r"holds another training .*spoken: 2 there, 3 now"):
        run(tmp_path, spoken=3)


def with_listeners(out):
    """Two systems as people heard them, put into the report."""
    key = Key("s1", "acr", ["raw", "clean"], ["u00", "u01"], None, clips={}, trials={}, traps={}, headphones={})
    scores = [Score("raw", 8, 3.1, None, None), Score("clean", 8, 4.2, 4.0, 4.4)]
    results = Results(key, ["a", "b"], {}, scores=scores)
    (out / "heard").mkdir()
    (out / "heard" / "results.json").write_text(json.dumps(listening_report.as_json(results)))
    listening_report.plot(results, out / "heard" / "results.png")
    with pytest.raises(ConfigError, match="give the --out of compare"):
        listening.merge(out / "heard", out / "heard")
    return listening.merge(out / "heard", out)


def loudness_of_all(jobs, _):
    """Another score than those that take long: the level of the audio stands for each opinion."""
    levels = [float(np.abs(decode.decode(job[3].read_bytes())[0]).mean()) for job in jobs]
    return [Spoken(*job[:3], dict.fromkeys(MEASURES, level)) for job, level in zip(jobs, levels, strict=True)]


def test_equal_sets_share_a_training_and_others_run_side_by_side(sets, tmp_path, monkeypatch):
    """In a real flow run: threads of Prefect, processes of the engine."""
    monkeypatch.setattr(comparison, "score_all", loudness_of_all)
    (tmp_path / "again").mkdir()
    shutil.copy(sets / "clean" / "0.tar", tmp_path / "again")
    given = {"raw": sets / "raw", "clean": sets / "clean", "other": sets / "other", "again": tmp_path / "again"}
    config = comparison.CompareConfig.model_validate(SMALL | {"at_once": 2})
    with prefect_test_harness(server_startup_timeout=120):
        comparison.compare_vocoders({k: [str(v)] for k, v in given.items()}, tmp_path / "out", config, force=True)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["twins"] == {"again": "clean"} and "“again” holds the very audio of “clean”" in result["verdict"][-1]
    trained = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("out/runs/*/best.json")}
    assert {name: card["steps"] for name, card in trained.items()} == {"raw": 4, "clean": 4, "other": 4}
    means = {m["system"]: m[OPINION] for m in result["means"] if m["frames"] == "own"}
    assert means["again"] == means["clean"]
    events = {n: sorted((tmp_path / "out/runs" / n / "tensorboard").glob("events.*"))[0] for n in ("clean", "other")}
    assert len({path.name.split(".")[-2] for path in events.values()}) == 2, "one process trained both"


def test_a_set_without_shards_is_named(sets, tmp_path, run):
    config = comparison.CompareConfig.model_validate(SMALL)
    (tmp_path / "none").mkdir()
    given = {"raw": [str(sets / "raw")], "x": [str(tmp_path / "none")]}
    with pytest.raises(ConfigError, match=r"--set x=.*none: no \.tar there"):
        comparison.compare_vocoders.fn(given, Path(tmp_path / "out"), config)


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "..", "", "a.b", "/tmp/x", "x" * 65, "a\n"])
def test_a_set_whose_name_is_no_name_is_refused_by_the_flow_itself(sets, tmp_path, name):
    """A deployed flow gets its sets from whoever starts it, and a set's name becomes folders that are written."""
    config = comparison.CompareConfig.model_validate(SMALL)
    given = {"raw": [str(sets / "raw")], name: [str(sets / "clean")]}
    with pytest.raises(ConfigError, match="a set's name is 1 to 64 letters"):
        comparison.compare_vocoders.fn(given, tmp_path / "out", config)
    assert not (tmp_path / "out").exists() and not (tmp_path.parent / "escaped").exists()


def test_every_set_is_fine_tuned_from_the_same_base(monkeypatch, tmp_path):
    """A name of shipped weights reaches each training with the sizes of these weights."""
    seen = {}

    def train_set(name, folder, out, config, force):
        seen[name] = config
        return 7

    monkeypatch.setattr(comparison, "train_set", train_set)
    settled = comparison._with_base(VocoderConfig(start_from="german-voice"))
    aligned = AlignedSets({name: tmp_path / name for name in ("raw", "gated")}, 3, {}, {})
    comparison._train_all(aligned, tmp_path, comparison.CompareConfig(vocoder=settled), force=False)
    assert {c.start_from for c in seen.values()} == {"german-voice"} and len(seen) == 2
    assert {(c.sizes["layers"], c.emphasis) for c in seen.values()} == {(20, 0.0)}
    with pytest.raises(ConfigError, match="its layers is 20, this training's 30"):
        comparison._with_base(VocoderConfig(start_from="german-voice", sizes={"layers": 30}))
