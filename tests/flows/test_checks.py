"""What is wrong with a run's settings is said before a Prefect server or a worker starts, and nothing is written."""

import os

import pytest

from clean_corpus.enhancers import checkpoints
from clean_corpus.flows import checks, local_server
from clean_corpus.flows.config import RunConfig
from clean_corpus.pipeline.core import extras
from clean_corpus.pipeline.core.config_input import override, validate
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.commands import invoke
from tests.support.versions import draft, row


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    return tmp_path


@pytest.fixture
def no_server(monkeypatch):
    def fail(**_):
        pytest.fail("a server was started for settings that cannot work")

    monkeypatch.setattr(local_server, "server", fail)
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["gate.dnsmos_ovrl_min=4.2"], "cannot be reached"),
        (["audio.sample_rate=12000"], "the nearest is 16000"),
        (["enhancer=none", "variants=true"], "with enhancer none there is none"),
        (["enhancer=none", "gate.prefer=enhanced"], "nothing is; leave one of them out"),
        (["enhancer=default-casual"], "did you mean 'default-causal'"),
        (["upper_band=default-causal"], "works by itself: for the band above 8 kHz expected full-band"),
        (["upper_band=no-such"], "enhancer 'no-such' has no weights"),
        (["gate.cer_max=0.1"], "set text.transcriber"),
        (["text.transcriber=faster-whisper"], "set text.model to its folder"),
        (["score.clean_dir=/no/such/place"], "no such folder"),
        (["gate.distillmos_min=2"], "score.distillmos is off"),
        (["score.distillmos=true", "gate.distillmos_min=5.1"], "cannot be reached"),
    ],
)
def test_settings_that_cannot_work_start_nothing(folder, no_server, settings, words):
    given = [part for setting in settings for part in ("--set", setting)]
    with pytest.raises(ConfigError, match=words):
        invoke("run", folder / "in", folder / "out", *given)
    assert not (folder / "out").exists()


def test_a_setting_whose_extra_is_not_installed_starts_nothing(folder, no_server, monkeypatch):
    monkeypatch.setattr(extras, "is_installed", lambda _: False)
    for setting, extra in (("score.distillmos", "distillmos"), ("speakers.embed", "speakers")):
        with pytest.raises(ConfigError, match=rf"{setting} needs .*clean-corpus\[{extra}\]"):
            invoke("run", folder / "in", folder / "out", "--set", f"{setting}=true")
    with pytest.raises(ConfigError, match=r"--distillmos needs"):
        invoke("score", folder / "in", "--distillmos")
    assert not (folder / "out").exists()


def test_an_output_that_cannot_be_starts_nothing(folder, no_server):
    with pytest.raises(ConfigError, match="choose another OUTPUT"):
        invoke("run", folder / "in", folder / "file" / ".." / "in")
    with pytest.raises(CleanCorpusError, match=r"file.*cannot be written"):
        invoke("run", folder / "in", folder / "file")


def test_an_input_among_the_corpus_files_starts_nothing(folder, no_server):
    for source in ("out/rejected", "out/work/a", "out/export/vits"):
        (folder / source).mkdir(parents=True)
        with pytest.raises(ConfigError, match=f"^INPUT {folder}/{source} lies in .*/ of OUTPUT {folder}/out, where"):
            invoke("run", folder / source, folder / "out")
    assert not list((folder / "out").rglob("*.*"))


def test_files_of_others_where_those_of_a_run_go_start_nothing(folder, no_server):
    for name in ("shards/mine.tar", "report/q3.pdf"):
        (folder / name).parent.mkdir()
        (folder / name).write_bytes(b"mine")
        with pytest.raises(ConfigError, match=f"^output {folder}: holds {name}, which no run wrote"):
            invoke("run", folder / "in", folder)
        assert (folder / name).read_bytes() == b"mine" and not (folder / "work").exists()
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("to", "words"), [("in/x", "lies in INPUT .*/in, whose next"), ("out/shards", "lies in shards/ of OUTPUT .*/out")]
)
def test_an_export_to_no_place_for_it_starts_nothing(folder, no_server, to, words):
    with pytest.raises(ConfigError, match=f"^export.to {folder}/{to} {words}"):
        invoke("run", folder / "in", folder / "out", "--for", "vits", "--set", f"export.to={folder}/{to}")
    assert not (folder / "out").exists()


def test_weights_for_the_band_above_are_no_enhancer(folder, no_server, upper_band_weights):
    with pytest.raises(ConfigError, match=r"is a full-band, which works above 8 kHz after another: name that one"):
        invoke("run", folder / "in", folder / "out", "--enhancer", upper_band_weights)
    with pytest.raises(ConfigError, match=r"is a full-band, which works above 8 kHz after another: name that one"):
        invoke("enhance", folder / "in", folder / "out", "--enhancer", upper_band_weights)


def test_settings_that_can_work_give_the_networks_that_run(folder, upper_band_weights):
    def networks(*settings):
        return checks.check(validate(RunConfig, override({"input": folder / "in", "output": folder / "out"}, settings)))

    low, weights = "audio.sample_rate=16000", f"upper_band={upper_band_weights}"
    assert networks("enhancer=none") == (None, None, None)
    assert networks(low, weights) == (checkpoints.weights_sha256("default"), None, None)
    assert networks("upper_band=extrapolated") == (checkpoints.weights_sha256("default"), "extrapolated", None)
    assert networks(weights)[1:] == ("upper", checkpoints.weights_sha256(str(upper_band_weights)))
    assert not (folder / "out").exists()


def test_the_output_is_prepared(folder):
    config = validate(RunConfig, {"input": folder / "in", "output": folder / "out"})
    assert checks.prepared_store(config).root == folder / "out" and (folder / "out").is_dir()


def test_another_input_than_that_of_the_newest_version_is_said(folder, caplog):
    store = LocalStore(folder / "out")
    manifest = draft(store, row("a"))
    there = {"run": manifest.run | {"input": str(folder / "in")}, "version": 3}
    for source, version in (("in", there), ("x/../in", there), ("other", {}), ("other", there)):
        config = RunConfig(input=folder / source, output=folder / "out")
        checks.warn_of_other_input(config, manifest.model_copy(update=version))
    checks.warn_of_other_input(config, None)
    (line,) = caplog.messages
    assert line.startswith(f"{folder}/out: version 3 was made of {folder}/in, this run reads {folder}/other: clips of")
