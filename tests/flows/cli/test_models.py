"""The commands `models` and `export-onnx`: a table of all systems, and one of them as a file."""

import json

import pytest

from clean_corpus.enhancers.catalogue import PAPERS, describe
from clean_corpus.enhancers.table import ENHANCERS
from clean_corpus.pipeline.core.errors import ConfigError
from tests.support.commands import invoke


@pytest.fixture(scope="module")
def text() -> str:
    return invoke("models").stdout


def test_every_system_and_paper_is_printed(text):
    assert all(name in text for name in [*ENHANCERS, "sgmse+"])
    assert all(f"{paper} " in text for paper in PAPERS)


def test_a_row_has_the_size_work_and_delay_of_the_catalogue(text):
    row = describe("cgcrn")
    line = next(line for line in text.splitlines() if line.split()[:1] == ["cgcrn"])
    delay = "all" if row["lookahead_ms"] is None else f"{row['lookahead_ms']:g} ms"
    assert f"{row['parameters']:,}" in line and f"{row['fma_per_s'] / 1e6:,.0f}" in line and delay in line


def test_weights_trained_without_the_critic_are_remarked_on(text):
    assert "wgan-mild: no GAN" in text


def test_json_is_what_the_catalogue_says():
    assert json.loads(invoke("models", "--json").stdout)[0] == describe("cgcrn")


def test_export_without_streaming_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(ConfigError, match="add --streaming"):
        invoke("export-onnx", "no-such-network", tmp_path / "x.onnx")


def test_export_writes_the_file_and_says_where(monkeypatch, tmp_path):
    monkeypatch.setattr("clean_corpus.enhancers.serving.enhancer.load_enhancer", lambda name: f"network {name}")
    monkeypatch.setattr(
        "clean_corpus.enhancers.serving.onnx_export.export_streaming",
        lambda network, path, upper: path.write_text(f"{network}, {upper}"),
    )
    monkeypatch.setattr("clean_corpus.enhancers.serving.upper_band.UpperBand.load", lambda name: f"above {name}")
    printed = invoke("export-onnx", "default-causal", tmp_path / "x.onnx", "--streaming").stdout
    assert printed == f"written and checked: {tmp_path / 'x.onnx'}\n"
    assert (tmp_path / "x.onnx").read_text() == "network default-causal, None"
    full_rate = ("export-onnx", "default-causal", tmp_path / "x.onnx", "--streaming", "--sample-rate", "48000")
    for asked, loaded in (((), "full-band-causal"), (("--upper-band", "mine"), "mine")):
        invoke(*full_rate, *asked)
        assert (tmp_path / "x.onnx").read_text() == f"network default-causal, above {loaded}"


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (("--sample-rate", "44100"), "--sample-rate 44100: live audio is cleaned at 16000 or 48000 Hz"),
        (("--upper-band", "mine"), "--upper-band mine: at 16000 Hz nothing lies above 8 kHz; add --sample-rate 48000"),
        (("--sample-rate", "48000", "--upper-band", "extrapolated"), "--upper-band extrapolated: .*needs a network"),
        (("--sample-rate", "48000", "--upper-band", "default"), "works by itself: for the band above 8 kHz expected"),
        (("--sample-rate", "48000", "--upper-band", "mine"), "'mine' has no weights"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_words(options, refusal, tmp_path):
    with pytest.raises(ConfigError, match=refusal):
        invoke("export-onnx", "default-causal", tmp_path / "x.onnx", "--streaming", *options)
    assert not list(tmp_path.iterdir())
