"""What people decided against what the gate said: counts that are known, and a threshold that people hold to."""

import numpy as np
import pytest

from clean_corpus.flows.commands import decisions as command
from clean_corpus.flows.review.agreement import _settings, agreement
from clean_corpus.flows.review.scores import known_scores
from clean_corpus.pipeline.corpus import decisions, ledger, versions
from tests.flows.review.conftest import BOB, LOW, page_over
from tests.support import gated


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    monkeypatch.setattr(command, "write_report", lambda store, manifest: None)


def test_decisions_are_counted_against_the_gate(page):
    def decide(what, *clip_ids):
        assert page.post("api/decisions", json={"clip_ids": clip_ids, "what": what}).status_code == 200

    assert page.get("api/agreement").json() == {
        "decided": 0, "agree": None, "agree_interval": None, "confusion": [[0, 0], [0, 0]], "by_reason": [], "best": [],
    }  # fmt: skip
    decide("use_raw", *BOB.clip_ids())
    decide("reject", BOB.clip_ids()[0])
    decide("keep", LOW.clip_ids()[0])
    found = page.get("api/agreement").json()
    assert (found["decided"], found["agree"], found["confusion"]) == (4, 0.5, [[2, 1], [1, 0]])
    assert found["by_reason"] == [
        {"reason": "", "decided": 3, "agree": 2}, {"reason": "snr_db", "decided": 1, "agree": 0},
    ]  # fmt: skip
    low, high = found["agree_interval"]
    # of 2 in 4: the beta distribution's 2.5 % and 97.5 %
    assert (low, high) == pytest.approx((0.0676, 0.9324), abs=1e-4)
    assert found["best"] == [], "four clips tell no threshold"
    page.opened.publish()
    assert page.get("api/agreement").json() == found, "what is published still stands against the gate"


def test_few_clips_that_all_agree_do_not_make_it_certain(page):
    clip_ids = BOB.clip_ids()
    body = {"clip_ids": clip_ids, "what": "use_raw"}
    assert page.post("api/decisions", json=body).status_code == 200
    found = page.get("api/agreement").json()
    assert found["agree"] == 1 and found["decided"] == len(clip_ids)
    assert found["agree_interval"] == pytest.approx([0.025 ** (1 / len(clip_ids)), 1])


def test_a_threshold_that_people_hold_to_is_found_again(tmp_path, store):
    """People who keep a clip if its OVRL is 3 or more, one in twenty at random, against a gate at 2.6."""
    rng = np.random.default_rng(3)
    config = gated.config(dnsmos_ovrl_min=2.6, cer_max=None, prefer="enhanced", guard_sig_drop=9)
    config = config.model_copy(update={"speakers": config.speakers.model_copy(update={"embed": False})})
    good = dict.fromkeys(gated.SCORES, 3.9) | {"snr_db": 30.0, "bandwidth_hz": 7000.0, "speech_ratio": 0.8}
    good |= {"clipping_ratio": 0.0, "loudness_lufs": -23.0}
    ovrl = rng.uniform(2.2, 3.6, 300)
    rows = [gated.scored(n, good | {"dnsmos_ovrl": float(value)}, config.gate) for n, value in enumerate(ovrl)]
    newest = versions.latest(store)
    path = tmp_path / "ledger.parquet"
    with path.open("wb") as file:
        ledger.write(rows, file, constants=dict.fromkeys(ledger.CONSTANTS, "x"))
    store.write(newest.ledger.key, path.read_bytes())
    said = newest.run | {"config": config.model_dump(mode="json")}
    store.write(versions.manifest_key(1), newest.model_copy(update={"run": said}).model_dump_json().encode())
    keeps = (ovrl >= 3) ^ (rng.random(300) < 0.05)
    place = {"by": "anna", "clip_id": "", "source": "", "offset_s": 0.0}
    decisions.append(
        store,
        [
            decisions.Entry(
                what="keep" if keep else "reject",
                source_sha256=row.clip.source_sha256,
                end_s=row.clip.duration_s,
                **place,
            )
            for row, keep in zip(rows, keeps, strict=True)
        ],
    )
    found = agreement(page_over(store).opened.corpus)
    assert (found["decided"], sum(map(sum, found["confusion"]))) == (300, 300)
    best = {one["setting"]: one for one in found["best"]}
    of = best["gate.dnsmos_ovrl_min"]
    assert of["threshold"] == pytest.approx(3, abs=0.05) and of["interval"][0] < 3.02 and of["interval"][1] > 2.98
    assert of["interval"][1] - of["interval"][0] < 0.3
    assert of["agreement"] == pytest.approx(0.95, abs=0.03) and of["agreement"] > of["agreement_now"] + 0.15
    assert of["agreement_now"] == pytest.approx(found["agree"]) and of["n"] == 300
    assert "gate.snr_db_min" not in best, "all clips have one SNR, so no threshold on it tells them apart"
    assert agreement(page_over(store).opened.corpus) == found, "the same decisions, the same intervals"


def test_every_threshold_that_is_tried_has_its_slider():
    sliders = {score.setting for score in known_scores().values()}
    assert {f"gate.{key}" for key, _ in _settings()} == sliders - {None, "gate.guard_likeness_min"}
