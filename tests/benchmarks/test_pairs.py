"""The documents' figures of enhancers and other tools beside them."""

import json

import numpy as np
import pytest
import soundfile
import torch

from tests.support.paths import REPOSITORY


@pytest.fixture
def pairs(monkeypatch):
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))
    import pairs

    return pairs


NOISY = {"all": {"pesq": 1.5, "stoi": 0.8, "sisdr": 9.0, "sig": 3.0, "bak": 2.0, "ovrl": 2.4}, "00dB": {"pesq": 1.25}}


def test_documents_have_a_table_a_measure_with_every_system(pairs, monkeypatch):
    written = {}
    monkeypatch.setattr(pairs, "write_section", lambda name, text: written.update({name: text}))
    pairs.write_documents(["lean", "default"], NOISY)
    tables = [text.splitlines() for text in written["pairs"].split("\n\n")[:-1]]
    assert [lines[0].split(" | ")[0] for lines in tables] == [f"| {title}" for title in pairs.MEASURES.values()]
    names = ["noisy", "RNNoise", "DTLN", "GTCRN", "noisereduce", "DeepFilterNet3", "**`lean`**", "**`default`**"]
    assert all([line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in names] for lines in tables)
    assert tables[0][2] == "| noisy | 1.5 | 1.25 |  |  |  |  |"
    assert len(written["shipped"].splitlines()) == 2 + len(names)


def test_what_was_run_replaces_the_published_figures_of_that_tool_alone(pairs, monkeypatch, tmp_path):
    before = json.loads(pairs.PEERS.read_text())
    monkeypatch.setattr(pairs, "PEERS", tmp_path / "peers.json")
    pairs.PEERS.write_text(json.dumps(before))
    pairs.write_peers({"DeepFilterNet3": NOISY}, {"DeepFilterNet3": 5.03})
    *others, ours = json.loads(pairs.PEERS.read_text())
    assert others == before[:-1]
    assert (ours["name"], ours["scores"], ours["times_real_time"]) == ("DeepFilterNet3", NOISY, 5.0) and ours["run"]


def test_speed_is_of_one_core_and_leaves_the_threads_as_they_were(pairs, tmp_path):
    paths = [tmp_path / f"{n}.wav" for n in range(2)]
    for path in paths:
        soundfile.write(path, np.zeros(16000, np.float32), 16000)
    seen, threads = [], torch.get_num_threads()
    assert pairs.times_real_time(lambda x: seen.append((len(x), torch.get_num_threads())), paths) > 100
    assert seen == [(16000, 1)] * 3 and torch.get_num_threads() == threads
