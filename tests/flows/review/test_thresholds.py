"""Thresholds moved by hand: every clip ends as the gate itself would have it, whatever is moved."""

import json
import random
from dataclasses import replace

import pytest
import yaml

from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.review import queries, thresholds
from clean_corpus.flows.review.filters import Filter
from clean_corpus.flows.review.table import Table
from clean_corpus.pipeline.core.reasons import Reason
from clean_corpus.pipeline.core.types import Decision, ReviewFacts, Verdict
from clean_corpus.pipeline.corpus import ledger
from clean_corpus.pipeline.quality import gate_sql
from clean_corpus.pipeline.quality.gate import unmendable
from tests.support import gated

CLIPS = 400
MOVES = [
    {"gate.dnsmos_ovrl_min": 2.4},
    {"gate.dnsmos_sig_min": None, "gate.snr_db_min": 25},
    {"gate.clipping_ratio_max": 0.001, "gate.bandwidth_hz_min": 6000, "gate.speech_ratio_min": 0.5},
    {"gate.raw_snr_db_min": 8, "gate.raw_dnsmos_bak_min": None, "gate.raw_residual_snr_db_min": 15},
    {"gate.guard_sig_drop": 0.0, "gate.guard_clipping_rise": 1, "gate.guard_level_drop_db": 0.5},
    {"gate.guard_likeness_min": None, "gate.cer_max": 0.2},
    {"gate.cer_max": None, "gate.dnsmos_p808_min": 3.5, "gate.dnsmos_bak_min": 3.2},
    {f"gate.{name}": None for name in (*gate_sql.SETTINGS, "cer_max") if not name.startswith("guard_")},
]


@pytest.fixture(scope="module", params=["raw_if_good", "enhanced"])
def clips(request, tmp_path_factory):
    """A configuration, the rows that its gate decided, and the table of them."""
    config, draw = gated.config(prefer=request.param), random.Random(7)
    rows = [gated.row(draw, n, config.gate) for n in range(CLIPS)]
    rows[0] = replace(rows[0], decision=Decision(Verdict.REJECTED, Reason.TOO_SHORT, "duration_s 0.1 < 1"))
    rows[1] = replace(rows[1], decision=Decision(Verdict.FAILED, Reason.TRUNCATED, "truncated: 1 s of 2 s"))
    rows[2] = replace(rows[2], decision=Decision(Verdict.REJECTED, Reason.SPEAKER_OUTLIER, "voice_match 0 < 1", "raw"))
    kept = next(n for n in range(3, CLIPS) if rows[n].decision.verdict is Verdict.KEPT)
    said = ReviewFacts("reject", "anna", gate_verdict="kept", gate_chosen=rows[kept].decision.chosen)
    overruled = replace(rows[kept].decision, verdict=Verdict.REJECTED, reason=Reason.REVIEWED)
    fixed = {0, 1, 2, kept}
    rows[kept] = replace(rows[kept], decision=overruled, review=said)
    path = tmp_path_factory.mktemp("gated") / "ledger [1].parquet"  # a name, and no pattern
    with path.open("wb") as file:
        ledger.write(rows, file, constants=dict.fromkeys(ledger.CONSTANTS, "x"))
    return config, rows, fixed, Table(path, config)


def test_under_its_own_thresholds_the_table_says_what_the_gate_said(clips):
    config, rows, _, table = clips
    found = dict(table.rows("SELECT clip_id, now_keeps FROM clips WHERE judged"))
    expected = {row.clip.clip_id: gated.decided(row, config.gate).decision.verdict is Verdict.KEPT for row in rows}
    assert len(found) == CLIPS - 2 and 50 < sum(found.values()) < CLIPS - 50
    differing = {clip_id for clip_id, keeps in found.items() if keeps is not expected[clip_id]}
    assert differing <= {rows[2].clip.clip_id}, "an outlier stays one"
    reasons = table.rows(
        f"SELECT clip_id, {gate_sql.reason(thresholds.literal(config.gate), _chosen(config))} FROM clips"
    )
    for clip_id, reason in reasons:
        decision = rows[int(clip_id[5:])].decision
        if decision.reason in dict(gate_sql.CHECKS):
            assert reason == decision.reason
        assert decision.verdict is not Verdict.KEPT or reason is None


def _chosen(config):
    return f"({gate_sql.chosen(thresholds.literal(config.gate), prefer=config.gate.prefer)})"


@pytest.mark.parametrize("moved", MOVES, ids=lambda moved: next(iter(moved)))
def test_a_moved_threshold_changes_the_clips_that_the_gate_would_decide_otherwise(clips, moved):
    config, rows, fixed, table = clips
    gate = thresholds.moved_gate(config.gate, moved)
    of = {"entering": set(), "leaving": set(), "unscored": set()}
    for number, row in enumerate(rows):
        was, now = row.decision.verdict, gated.decided(row, gate).decision.verdict
        if number in fixed:
            continue
        if not row.before:
            if not unmendable(row.clip, gate):
                of["unscored"].add(row.clip.clip_id)
        elif was is not now:
            of["entering" if now is Verdict.KEPT else "leaving"].add(row.clip.clip_id)
    shown = queries.page(table, Filter(moved=moved), sort="clip_id", descending=None, seed=0, offset=0, limit=CLIPS)
    differing = set.union(*of.values())
    assert {clip["clip_id"] for clip in queries.clips(table, shown.rows)} == differing
    assert shown.totals["total"] == len(differing)
    said = queries.moved(table, moved)
    assert {name: said[name] for name in of} == {name: len(clips) for name, clips in of.items()}
    entering, leaving = of["entering"], of["leaving"]
    assert said["kept"] == said["now_kept"] + len(entering) - len(leaving)
    assert said["hours"] == pytest.approx(said["now_hours"] + said["entering_hours"] - said["leaving_hours"])


def test_settings_to_take_are_those_that_a_run_accepts(read_page):
    moved = json.dumps({"gate.dnsmos_ovrl_min": 2.7, "gate.snr_db_min": None})
    text = read_page.get("api/thresholds.yaml", params={"moved": moved}).text
    said = yaml.safe_load(text)
    assert said == {"enhancer": "cgcrn", "gate": {"dnsmos_ovrl_min": 2.7, "snr_db_min": None}}
    taken = RunConfig.model_validate(said | {"input": "a", "output": "b"})
    assert (taken.gate.dnsmos_ovrl_min, taken.gate.snr_db_min) == (2.7, None)
    wrong = read_page.get("api/thresholds", params={"moved": json.dumps({"gate.cer_max": -1})})
    assert "moved: gate.cer_max: Input should be greater than or equal to 0, found -1" in wrong.json()["error"]
