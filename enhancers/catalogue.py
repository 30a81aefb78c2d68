"""Describes the systems one can choose from: source, size, work, delay, training target, shipped weights. No torch."""

import json
from pathlib import Path
from typing import Any

from clean_corpus.enhancers.checkpoints import SGMSE, WEIGHTS, card

CATALOGUE = Path(__file__).with_name("catalogue.json")

PAPERS = {
    "000": "CGCRN and its baselines",
    "001": "PL-CRNN and its baselines",
    "002": "CRN+DNN-DEC and its baselines",
    "003": "DCCRN and its baselines",
    "004": "WGAN-GLU, its ablation and SEGAN",
    "own": "developed in this project, after several papers",
}
"""What the column `paper` stands for."""


def describe(name: str) -> dict[str, Any]:
    """Return one row in plain values, as `measure.measure` documents them, with the shipped weights.

    `weights` maps the name of shipped weights to their licence, `remarks` to what their card says one should know
    before choosing them, if anything. A row that is new in the table is measured.

    Raises: ConfigError if there is no such row.
    """
    return _with_weights(_measured().get(name) or _measure(name))


def describe_all() -> list[dict[str, Any]]:
    """Return every row in the order of the table, and at last the third party's, of which little is known here."""
    rows = [_with_weights(row) for row in _measured().values()]
    known = {"name": SGMSE, "paper": "002", "network": "ScoreDiffusion", "sample_rate": 16000, "causal": False}
    return [*rows, {**dict.fromkeys(rows[0]), **known, "weights": {}, "remarks": {}}]


def _measured() -> dict[str, dict[str, Any]]:
    """Return the rows of the file by name."""
    return {row["name"]: row for row in json.loads(CATALOGUE.read_text())}


def _measure(name: str) -> dict[str, Any]:
    """Measure a row that the file lacks, which loads torch."""
    from clean_corpus.enhancers.measure import measure  # imports torch

    return measure(name)


def _with_weights(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its shipped weights and their remarks."""
    cards = [card(path.stem) for path in sorted(WEIGHTS.glob("*.safetensors"))]
    cards = [about for about in cards if about["method"] == row["name"]]
    return {
        **row,
        "weights": {about["name"]: about["licence"] for about in cards},
        "remarks": {about["name"]: about["remark"] for about in cards if "remark" in about},
    }
