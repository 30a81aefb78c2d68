"""A comparison from sets to the report: trainings in step, scores, differences, a page that can be read."""

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from clean_corpus.flows import compare_tasks
from clean_corpus.flows import compare_vocoders as comparison
from clean_corpus.flows.commands import listening, listening_report
from clean_corpus.pipeline.audio import decode, encode
from clean_corpus.pipeline.audio.synthetic import coloured_noise
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.corpus.shards import write_shard
from clean_corpus.pipeline.storage.local import LocalStore
from clean_corpus.vocoder.comparison import copy_synthesis
from clean_corpus.vocoder.comparison.copy_synthesis import Spoken
from clean_corpus.vocoder.comparison.measures import MEASURES
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
                "json": json.dumps({"speaker": f"s{i % 2}"} | ({"enhancer": "gone"} if name == "raw" else {})).encode(),
            }
            for i, x in enumerate(noisy)
        ]
        write_shard(store, f"{name}/0.tar", samples[: 11 if name == "raw" else 12])
    return store.root


@pytest.fixture
def run(sets, monkeypatch):
    """The flow as a function: no server, and one worker that scores, since each loads its networks."""
    monkeypatch.setattr(compare_tasks, "usable_cores", lambda: 1)
    for name in ("train_one", "speak_one", "score_all"):
        monkeypatch.setattr(comparison, name, getattr(comparison, name).fn)

    def call(out, **settings):
        config = comparison.CompareConfig.model_validate(SMALL | settings)
        given = {name: [str(sets / name)] for name in ("raw", "clean")}
        return comparison.compare_vocoders.fn(given, out, config, force=True)

    return call


def test_a_comparison_from_sets_to_the_page_and_again(run, tmp_path, monkeypatch):
    page = run(tmp_path, aa=True)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["steps"], result["common"], result["frames_from"], result["reference"]) == (4, 11, "clean", "clean")
    assert result["splits"] == {"train": 7, "validation": 2, "test": 2, "left_out": 0, "by": "text and recording"}
    assert [(m["system"], m["frames"]) for m in result["means"]] == [
        ("raw", None), ("raw", "common"), ("raw", "own"), ("clean", None), ("clean", "common"), ("clean", "own"),
        ("clean-again", "common"), ("clean-again", "own"),
    ]  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert len(rows) == 8 * 2 and {row["utterance"] for row in rows if row["system"] == "raw"} == {
        row["utterance"] for row in rows if row["system"] == "clean"
    }
    names = ("raw", "clean", "clean-again")
    cards = [json.loads((tmp_path / "runs" / name / "seed0" / "best.json").read_text()) for name in names]
    assert [card["steps"] for card in cards] == [4, 4, 4] and len({card["training_h"] for card in cards}) == 1
    assert [card["config"]["seed"] for card in cards] == [0, 0, 1000]
    speech = {name: (tmp_path / "speech" / name / "common/seed0/u00.wav").parent.iterdir() for name in names}
    heard = {name: {path.name: path.read_bytes() for path in found} for name, found in speech.items()}
    assert heard["clean"].keys() == heard["clean-again"].keys() and heard["clean"] != heard["clean-again"]
    text = page.read_text()
    assert "Set “raw”: its enhancer gone has no list of the recordings" in "".join(result["training_overlap"])
    assert result["training_overlap"][0] in text
    assert "One vocoder, 2 versions" in text and all(name in text for name in ("dnsmos_sig", "mcd_db", "Noise floor"))
    assert all((page.parent / name).exists() for name in ("audio/000-00.wav", "spectrograms/001-05.png"))
    assert any("“clean” trained once more" in sentence for sentence in result["verdict"])

    monkeypatch.setattr(compare_tasks.train, "train", None)  # a second run trains, speaks and scores nothing
    monkeypatch.setattr(compare_tasks.copy_synthesis, "speak", None)
    monkeypatch.setattr(compare_tasks, "LocalEngine", None)
    assert run(tmp_path, aa=True).read_text() == text
    page = with_listeners(tmp_path).read_text()
    assert "What people heard" in page and "<td>4.20</td><td>4.00 to 4.40</td>" in page
    assert (tmp_path / "report" / "listening.png").exists()
    assert run(tmp_path, aa=True).read_text() == page, "a second run forgets the listeners"
    with pytest.raises(ConfigError, match=r"holds another training .*spoken: 2 there, 3 now"):
        run(tmp_path, spoken=3)
    with pytest.raises(TypeError):  # that is the missing training of the second seed, and nothing else
        run(tmp_path, seeds=2)


def test_common_frames_of_another_set_are_spoken_anew(run, tmp_path, monkeypatch):
    """`frames_from` may change when a comparison continues; trainings stay, and so does speech from own frames."""
    monkeypatch.setattr(comparison, "score_all", loudness_of_all)
    monkeypatch.setattr(copy_synthesis, "speak", lambda vocoder, audio, **_: audio)  # speech that tells its frames
    run(tmp_path, aa=True)

    def speech(system, frames):
        return {path.name: path.read_bytes() for path in (tmp_path / "speech" / system / frames / "seed0").iterdir()}

    own = speech("raw", "own")
    assert speech("raw", "common") != own and speech("clean", "common") == speech("clean", "own")
    monkeypatch.setattr(compare_tasks.train, "train", None)
    run(tmp_path, aa=True, frames_from="raw")
    assert speech("raw", "common") == speech("raw", "own") == own
    assert speech("clean", "common") != speech("clean", "own")
    assert json.loads((tmp_path / "result.json").read_text())["frames_from"] == "raw"


def with_listeners(out):
    """Two systems as people heard them, put into the report."""
    utterances = json.loads((out / "result.json").read_text())["utterances"]
    key = Key("s1", "acr", ["raw", "clean"], utterances, None, clips={}, trials={}, traps={}, headphones={})
    scores = [Score("raw", 8, 3.1, None, None), Score("clean", 8, 4.2, 4.0, 4.4)]
    results = Results(key, ["a", "b"], {}, scores=scores)
    (out / "heard").mkdir()
    (out / "heard" / "results.json").write_text(json.dumps(listening_report.as_json(results)))
    listening_report.plot(results, out / "heard" / "results.png")
    with pytest.raises(ConfigError, match="give the --out of compare"):
        listening.merge(out / "heard", out / "heard")
    return listening.merge(out / "heard", out)


def loudness_of_all(jobs, *_):
    """Another score than those that take long: the level of the audio stands for each opinion."""
    levels = [float(np.abs(decode.decode(job.wave.read_bytes())[0]).mean()) for job in jobs]
    return [Spoken(*job[:4], dict.fromkeys(MEASURES, level)) for job, level in zip(jobs, levels, strict=True)]


def test_vocoders_of_several_speakers_speak_each_utterance_as_its_own(run, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "score_all", loudness_of_all)
    speak, said = copy_synthesis.speak, []

    def spoken(vocoder, audio, *, speakers, **more):
        said.append((vocoder.speakers, vocoder.network.speaker.num_embeddings, speakers))
        return speak(vocoder, audio, speakers=speakers, **more)

    monkeypatch.setattr(compare_tasks.copy_synthesis, "speak", spoken)
    run(tmp_path, vocoder=SMALL["vocoder"] | {"speaker_conditioning": True})
    tests = {path.stem for path in (tmp_path / "speech" / "raw" / "audio").iterdir()}
    wanted = {key: f"s{int(key[1:]) % 2}" for key in tests}
    assert len(tests) == 2 and said == [(("s0", "s1"), 2, wanted)] * 3, "raw from both sets, clean from its own"


def test_equal_sets_share_a_training_and_others_run_side_by_side(sets, prefect, tmp_path, monkeypatch):
    """In a real flow run: threads of Prefect, processes of the engine; two seeds of each set, one of them resumed."""
    monkeypatch.setattr(comparison, "score_all", loudness_of_all)
    (tmp_path / "again").mkdir()
    shutil.copy(sets / "clean" / "0.tar", tmp_path / "again")
    given = {"clean": sets / "clean", "other": sets / "other", "again": tmp_path / "again"}
    config = comparison.CompareConfig.model_validate(SMALL | {"at_once": 2, "seeds": 2})
    comparison.compare_vocoders({k: [str(v)] for k, v in given.items()}, tmp_path / "out", config, force=True)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["twins"] == {"again": "clean"} and "“again” holds the very audio of “clean”" in result["verdict"][-1]
    trained = {path.parent: json.loads(path.read_text()) for path in tmp_path.glob("out/runs/*/*/best.json")}
    found = {f"{run.parent.name} {run.name}": card for run, card in trained.items()}
    assert {name: (card["steps"], card["config"]["seed"]) for name, card in found.items()} == {
        f"{name} seed{seed}": (4, seed) for name in ("clean", "other") for seed in (0, 1)
    }
    means = {m["system"]: m["dnsmos_p808"] for m in result["means"] if m["frames"] == "own"}
    assert means["again"] == means["clean"] and result["seeds"] == 2
    events = [sorted(run.glob("tensorboard/events.*"))[0].name.split(".")[-2] for run in trained]
    assert len(set(events)) == 2, "one process made all trainings"


def test_a_set_without_shards_is_named(sets, tmp_path, run):
    config = comparison.CompareConfig.model_validate(SMALL)
    (tmp_path / "none").mkdir()
    given = {"raw": [str(sets / "raw")], "x": [str(tmp_path / "none")]}
    with pytest.raises(ConfigError, match=r"--set x=.*none: no \.tar there"):
        comparison.compare_vocoders.fn(given, Path(tmp_path / "out"), config)


def test_a_set_too_short_is_refused_before_any_is_trained_on(sets, tmp_path, monkeypatch):
    """Twelve seconds are enough here, eleven are not: what lacks is the last set's."""
    monkeypatch.setattr(comparison.train, "LEAST_S", 7.5)  # twelve less four that are spoken or validate
    monkeypatch.setattr(comparison, "_train_all", lambda *_: pytest.fail("trained"))
    config = comparison.CompareConfig.model_validate(SMALL | {"utterances": "all"})
    given = {name: [str(sets / name)] for name in ("clean", "raw")}
    with pytest.raises(DataError, match=r"set raw holds 0\.1 minutes to train on, fewer than 0\.125; .* --force"):
        comparison.compare_vocoders.fn(given, tmp_path / "out", config)


@pytest.mark.parametrize("name", ["../../escaped", "a/b", "..", "", "a.b", "/tmp/x", "x" * 65, "a\n"])
def test_a_set_whose_name_is_no_name_is_refused_by_the_flow_itself(sets, tmp_path, name):
    """A deployed flow gets its sets from whoever starts it, and a set's name becomes folders that are written."""
    config = comparison.CompareConfig.model_validate(SMALL)
    given = {"raw": [str(sets / "raw")], name: [str(sets / "clean")]}
    with pytest.raises(ConfigError, match="a set's name is 1 to 64 letters"):
        comparison.compare_vocoders.fn(given, tmp_path / "out", config)
    assert not (tmp_path / "out").exists() and not (tmp_path.parent / "escaped").exists()


def test_every_set_is_fine_tuned_from_the_same_base(sets, tmp_path, monkeypatch):
    """A name of shipped weights reaches each training with the sizes of these weights, and a schedule of its own."""
    settled = comparison._with_base(VocoderConfig(start_from="german-voice"))
    config = comparison.CompareConfig(vocoder=settled, seeds=2, aa=True)
    systems = comparison._systems(["raw", "gated"], config)
    assert systems == ({"raw": "raw", "gated": "gated", "raw-again": "raw"}, "raw-again", "gated", "gated")
    aligned = SimpleNamespace(same_audio={}, shards=lambda name, side: [Path(name, side)])
    made = comparison._trainings(aligned, systems, tmp_path, config, 80)
    trainings = [training for found in made.values() for training in found]
    assert {t.config.start_from for t in trainings} == {"german-voice"} and len({t.out for t in trainings}) == 6
    assert {(t.config.sizes["layers"], t.config.emphasis) for t in trainings} == {(20, 0.0)}
    assert [t.config.seed for t in trainings] == [0, 1, 0, 1, 1000, 1001]
    assert {(t.config.steps, t.config.warmup_steps, t.config.keep) for t in trainings} == {(80, 20, "last")}
    assert made["raw-again"][0].shards == [Path("raw/train")]
    with pytest.raises(ConfigError, match="its layers is 20, this training's 30"):
        comparison._with_base(VocoderConfig(start_from="german-voice", sizes={"layers": 30}))


def test_a_budget_becomes_a_number_of_updates_once(tmp_path, monkeypatch):
    aligned = SimpleNamespace(folders={"raw": None, "clean": None}, shards=lambda name, side: [Path(name, side)])
    asked = []

    def timed(shards, config, **more):
        asked.append((shards, more))
        return 0.5

    monkeypatch.setattr(comparison.train, "seconds_per_update", timed)
    config = comparison.CompareConfig(vocoder=VocoderConfig(budget_min=10))
    assert comparison._steps(aligned, tmp_path, config) == 1200
    ((shards, more),) = asked
    assert shards == [Path("raw/train")] and more["measured_s"] == 12
    monkeypatch.setattr(comparison.train, "seconds_per_update", None)
    assert comparison._steps(aligned, tmp_path, config) == 1200, "a continued comparison has the same"


def test_settings_that_would_let_a_set_choose_for_itself_are_refused():
    with pytest.raises(ValueError, match="has one schedule for all: leave it at cosine"):
        comparison.CompareConfig.model_validate({"vocoder": {"lr_schedule": "halve_on_plateau"}})
    config = comparison.CompareConfig(frames_from="published", aa=True)
    with pytest.raises(ConfigError, match="frames_from published: no such set; the sets are raw, gated"):
        comparison._systems(["raw", "gated"], config)
    with pytest.raises(ConfigError, match="--set raw-again: with aa=true that is the second training of raw"):
        comparison._systems(["raw", "raw-again"], comparison.CompareConfig(aa=True))
    assert comparison.CompareConfig().source_of_frames(["raw", "gated", "wgan"]) == "gated"
    assert comparison.CompareConfig().source_of_frames(["raw", "mine"]) == "mine"


def test_a_continued_comparison_refuses_other_audio(sets, tmp_path):
    config = comparison.CompareConfig.model_validate(SMALL)
    shards = {name: [sets / name / "0.tar"] for name in ("raw", "clean")}
    comparison._aligned(shards, tmp_path, config)
    assert comparison._aligned(shards, tmp_path, config).common == 11
    with pytest.raises(ConfigError, match="set clean holds other audio than when the comparison"):
        comparison._aligned(shards | {"clean": [sets / "other" / "0.tar"]}, tmp_path, config)
