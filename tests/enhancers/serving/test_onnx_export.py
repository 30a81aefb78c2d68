"""Export to ONNX: the file cleans as the network does, and foreign files are explained."""

import json

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from clean_corpus.enhancers import table
from clean_corpus.enhancers.serving.enhancer import load_enhancer
from clean_corpus.enhancers.serving.full_band_stream import FullBandStream
from clean_corpus.enhancers.serving.onnx_export import OnnxStream, export_streaming
from clean_corpus.enhancers.serving.streaming import LiveStream
from clean_corpus.enhancers.serving.upper_band import UpperBand
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError

NARROW = {"channels": (4, 4, 4, 4, 8)}
SMALL = {
    "cgcrn": NARROW, "cgcrn-complex": NARROW, "cgcrn-refined": NARROW, "pl-crnn-iam": NARROW, "pl-lstm": {"units": 16},
}  # fmt: skip


def enhancer(name, tmp_path):
    """A small network with weights drawn at random and BatchNorm statistics that are not trivial, through its file."""
    torch.manual_seed(0)
    row = table.method(name)
    network = row.build(**SMALL[name])
    noisy = torch.randn(2, 8000)
    row.domain.forward(network, noisy, noisy)
    save_file(network.state_dict(), tmp_path / "x.safetensors")
    card = {"name": "x", "method": name, "sizes": SMALL[name], "sample_rate": 16000}
    (tmp_path / "x.json").write_text(json.dumps(card))
    return load_enhancer(str(tmp_path / "x.safetensors"))


@pytest.mark.parametrize(("name", "full_band"), [("cgcrn-refined", False), ("pl-lstm", True)])
def test_an_exported_file_cleans_as_the_network_does(name, full_band, tmp_path):
    whole, row = enhancer(name, tmp_path), table.method("full-band-causal")
    whole.gain = -0.5  # as that of a training whose loss left sign and level open
    live = LiveStream(whole.network, whole.row.domain, gain=-0.5)
    upper = UpperBand(row.build(width=16, hidden=16), row.domain, sha256="upper") if full_band else None
    if upper:
        live = FullBandStream(live, upper.network, upper.domain)
    export_streaming(whole, tmp_path / "live.onnx", upper=upper)
    x = 0.1 * torch.randn(1, 12000)
    x[:, 1000:6000] = 0  # digital silence, where a floor that an optimiser dropped would give NaN for good
    output = OnnxStream(tmp_path / "live.onnx").run(x[0].numpy())
    np.testing.assert_allclose(output, live.run(x)[0].numpy(), atol=1e-4)
    file = onnx.load(tmp_path / "live.onnx")
    assert [i.name for i in file.graph.input][:2] == ["hop", "state_0"]
    about = {p.key: p.value for p in file.metadata_props}
    wanted = {"sample_rate": 48000 if full_band else 16000, "hop_length": live.hop_length, "head": live.head}
    wanted = {k: str(v) for k, v in (wanted | {"delay": live.delay}).items()} | {"level": "running"}
    assert wanted.items() <= about.items() and about["weights_sha256"] == whole.sha256
    assert about.get("upper_weights_sha256") == ("upper" if full_band else None)
    assert len(json.loads(about["state_shapes"])) == len(live.initial_state(torch.zeros(1, live.head)))
    assert [p.name for p in tmp_path.glob("*.part")] == []


def test_a_file_that_differs_is_not_left_behind(tmp_path, monkeypatch):
    whole = enhancer("cgcrn", tmp_path)
    monkeypatch.setattr(OnnxStream, "run", lambda self, x: x)
    with pytest.raises(CleanCorpusError, match=r"live\.onnx\.part: its output differs.*at most 0\.0001"):
        export_streaming(whole, tmp_path / "live.onnx")
    assert not list(tmp_path.glob("*live.onnx*"))


def test_a_foreign_file_is_explained(tmp_path):
    from clean_corpus.pipeline.quality.dnsmos import NETWORKS, network_path

    with pytest.raises(ConfigError, match="clean-corpus export-onnx NAME"):
        OnnxStream(network_path(NETWORKS["dnsmos_p808"]))
