"""The table of the papers' systems: orders judged by pairs, rows kept one by one, what is missing said."""

import json

import numpy as np
import pytest

from tests.support.paths import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
PAIRS = [f"{speaker}-{i}__rain__{snr:02d}dB" for speaker in "abcd" for i in range(3) for snr in (0, 5, 10)]


@pytest.fixture
def modules(monkeypatch):
    """The scripts, found as they find each other."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import paper_orders
    import paper_systems

    return paper_orders, paper_systems


def row(name, scores, minutes=40.0):
    scores = {measure: np.asarray(values, float).tolist() for measure, values in scores.items()}
    about = {"name": name, "minutes": minutes, "steps": 1, "parameters": 1000}
    return about | {"machine": "2 cores of B, 2026-11-21", "scores": scores}


def test_every_order_is_of_rows_that_exist_and_no_paper_contradicts_itself(modules):
    orders, systems = modules
    found = orders.orders(orders.load_figures())
    assert {name for order in found for name in order[2:]} <= systems.systems().keys() | {"noisy"}
    assert not {(o.paper, o.measure, o.other, o.better) for o in found} & set(found)
    assert {order.measure for order in found} <= set(systems.MEASURES + systems.ALSO_KEPT)
    assert ("000", "pesq_nb", "cgcrn", "crn") in found and ("001", "stoi", "pl-crnn-q5", "crnn") in found


def test_an_order_is_shown_only_beyond_the_noise_of_the_pairs(modules):
    orders, _ = modules
    base = np.random.default_rng(0).normal(2.0, 1.0, len(PAIRS))
    gain = np.repeat(np.random.default_rng(1).normal(0.0, 0.1, 12), 3)  # pairs of one utterance are alike
    gain -= gain.mean()
    rows = {  # the first two are apart in pairs, not over them
        "a": row("a", {"stoi": base + 0.2 + gain}), "b": row("b", {"stoi": base}),
        "c": row("c", {"stoi": base + 0.02 + gain}), "longer": row("longer", {"stoi": base + 1}, minutes=10.0),
    }  # fmt: skip

    def verdict(better, other):
        found = orders.difference(orders.Order("x", "stoi", better, other), rows, PAIRS)
        return found and found.verdict

    assert (verdict("a", "b"), verdict("b", "a"), verdict("c", "b")) == ("shown", "contrary", "within the noise")
    assert verdict("longer", "b") is None and verdict("absent", "b") is None


def test_rows_with_means_alone_are_compared_by_their_intervals(modules):
    orders, _ = modules
    rows = {name: {"minutes": 10.0, "means": {"stoi": [mean, 0.03]}} for name, mean in (("a", 0.9), ("b", 0.85))}
    found = orders.difference(orders.Order("x", "stoi", "a", "b"), rows, [])
    assert found == pytest.approx((0.05, 0.05 - 0.03 * 2**0.5, 0.05 + 0.03 * 2**0.5)) and found.verdict == "shown"
    assert orders.difference(orders.Order("x", "covl", "a", "b"), rows, []) is None


def test_an_interval_is_of_utterances_not_of_pairs(modules):
    """Three equal values of each utterance are no more evidence than one."""
    orders, _ = modules
    each = np.random.default_rng(0).normal(0.0, 1.0, 12)
    names = [name.split("__")[0] for name in PAIRS]
    alike = orders._bootstrapped(np.repeat(each, 3), names)
    single = orders._bootstrapped(each, names[::3])
    assert alike == pytest.approx(single)


def test_a_row_takes_the_place_of_the_one_before_and_the_rest_is_said_to_be_missing(modules, tmp_path):
    _, systems = modules
    path = tmp_path / "rows.jsonl"
    old = {"name": "crn", "minutes": 10.0, "steps": 3, "parameters": 1000, "means": {"stoi": [0.8, 0.1]}}
    old["machine"] = "2 cores of A, 2026-11-20"
    path.write_text("".join(json.dumps(line) + "\n" for line in [{"pairs": []}, old]))
    scores = {measure: np.linspace(0.1, 1.0, len(PAIRS)) for measure in systems.MEASURES + systems.ALSO_KEPT}
    noisy = row("noisy", scores, minutes=None)
    systems.keep_rows(path, PAIRS, [noisy, row("nsnet", scores)])
    systems.keep_rows(path, PAIRS, [noisy, row("cgcrn", {k: v + 0.5 for k, v in scores.items()})])
    pairs, rows = systems.read_rows(path)
    assert pairs == PAIRS and list(rows) == ["noisy", "cgcrn", "crn", "nsnet"]  # as in the table of systems
    text = systems.section(path, 40.0)
    assert "| cgcrn | 0.00 M | 40 | 1 |" in text and "| crn | 0.00 M | 10 | 3 |" in text
    fit = [name for name, about in systems.systems().items() if systems.expected_steps(about, 40.0) >= 100]
    assert f"2 of {len(fit)} systems" in text and "Missing: cgcrn-no-skips, " in text
    assert "- [000] stoi: crn > noisy (+0.25), cgcrn > noisy (+0.5)\n" in text.split("Shown:")[1]
    assert "cgcrn > crn" not in text  # of other minutes
    assert "2 cores of A; 2 cores of B." in text
    assert "Rows of 10 minutes are older: minutes of the clock, with other work beside them now and then. Mean" in text
    assert "the critic from the start" in systems.introduction(rows | {"segan": old}, 40.0)
    assert "older" not in systems.introduction({"noisy": noisy, "nsnet": row("nsnet", scores)}, 40.0)
    with pytest.raises(ValueError, match="not of other"):
        systems.keep_rows(path, ["other"], [row("crn", scores)])


def test_the_file_of_rows_holds_what_the_document_says(modules):
    _, systems = modules
    _, rows = systems.read_rows(BENCHMARKS / "paper_systems.jsonl")
    text = (REPOSITORY / "docs" / "RESULTS.md").read_text()
    section = text.split("<!-- results -->")[1].split("<!-- /results -->")[0]
    for name, about in rows.items():
        assert f"| {name} |" in section and (
            not about["minutes"] or f"| {about['minutes']:g} | {about['steps']} |" in section
        )


def test_what_fits_into_the_time_goes_by_work_and_stages(modules):
    _, systems = modules
    known = systems.systems()
    assert systems.expected_steps(known["nsnet"], 40.0) > systems.expected_steps(known["crn"], 40.0) > 100
    assert systems.expected_steps(known["dcunet-16"], 40.0) < 100 < systems.expected_steps(known["dcunet-16"], 80.0)
    critics = [name for name, about in known.items() if about["critic_parameters"]]
    assert systems.OWN.keys() == set(critics)
    config = systems.config("wgan-glu", 20.0, loss_weights={"adversarial": 0.0})
    assert config.mix.snr_db == systems.EASY_SNR_DB and config.sizes["residual"] and config.budget_min == 20.0
    assert systems.config("crn", 40.0).mix.snr_db != systems.EASY_SNR_DB
