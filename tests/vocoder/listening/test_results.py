"""Results of a listening test: constructed answers whose means, screening and tests are known beforehand."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from clean_corpus.flows.listening import listening_results
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.vocoder.listening.results import analyse, holm, interval, load_key

COLUMNS = ("study", "mode", "listener", "kind", "position", "trial", "slot", "clip", "rating", "passed", "plays", "at")
UTTERANCES = [f"u{i}" for i in range(6)]
SYSTEMS = ["good", "middle", "bad"]


def key_of(mode: str = "acr", *, reference: str | None = None, systems=SYSTEMS) -> dict:
    """A study with two traps and six tones, as the page's writer leaves it."""
    clips = {f"{s}-{u}": {"system": s, "utterance": u} for s in systems for u in UTTERANCES}
    if mode == "acr":
        trials = {f"t-{clip}": [clip] for clip in clips}
    elif mode == "ab":
        pairs = [(a, b) for i, a in enumerate(systems) for b in systems[i + 1 :]]
        trials = {f"t-{a}-{b}-{u}": [f"{a}-{u}", f"{b}-{u}"] for a, b in pairs for u in UTTERANCES}
    else:
        trials = {f"t-{u}": [f"{s}-{u}" for s in systems] for u in UTTERANCES}
    answers = {"acr": (2, 4), "ab": (1, 2), "mushra": (20, 40)}[mode]
    traps = {f"trap{i}": {"clips": [f"beeps{i}"], "answer": answer} for i, answer in enumerate(answers)}
    if mode == "ab":
        for i, trap in enumerate(traps.values()):
            trap["clips"].append(f"plain{i}")
    return {
        "format": 1, "study": "s1", "mode": mode, "systems": [*systems], "utterances": UTTERANCES,
        "reference": reference, "clips": clips, "trials": trials, "traps": traps,
        "headphones": {f"check{i}": i % 3 + 1 for i in range(6)},
    }  # fmt: skip


def export(key: dict, listener: str, rate, *, wrong_tones: int = 0, wrong_traps: int = 0, **other) -> list[dict]:
    """Rows of a listener who does everything right but what is said; `rate`(system, utterance) -> rating."""
    rows = []

    def add(kind: str, trial: str, ratings: dict[str, float]) -> None:
        for slot, (clip, rating) in enumerate(ratings.items(), 1):
            row = {"study": key["study"], "mode": key["mode"], "listener": listener, "kind": kind, "trial": trial}
            row |= {"slot": slot, "clip": clip, "rating": rating}
            rows.append(dict.fromkeys(COLUMNS, "") | row | other)

    for i, (check, answer) in enumerate(key["headphones"].items()):
        add("headphones", check, {check: answer % 3 + 1 if i < wrong_tones else answer})
    for i, (name, trap) in enumerate(key["traps"].items()):
        answer = trap["answer"]
        if key["mode"] == "ab":
            chosen = (answer - 1) ^ (i < wrong_traps)
            add("trap", name, {clip: float(slot == chosen) for slot, clip in enumerate(trap["clips"])})
        else:
            add("trap", name, {trap["clips"][0]: answer + 1 if i < wrong_traps and key["mode"] == "acr" else answer})
    for trial, clips in key["trials"].items():
        add("rating", trial, {clip: rate(*key["clips"][clip].values()) for clip in clips})
    return rows


def write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".json":
        path.write_text(json.dumps({"format": 1, "rows": rows}))
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def keep(tmp_path):
    """Writes a key and loads it."""

    def write_key(key: dict):
        path = tmp_path / "test.key.json"
        path.write_text(json.dumps(key))
        return load_key(path)

    return write_key


def by_system(**ratings):
    return lambda system, utterance: ratings[system]


def test_known_means_intervals_and_tests(tmp_path, keep):
    """good is 5 for one and 4 for the other, middle 3 on even and 4 on odd utterances, bad 1 always."""
    key = key_of()

    def rate(good):
        return lambda s, u: {"good": good, "middle": 3 + int(u[1:]) % 2, "bad": 1}[s]

    files = [
        write(tmp_path / "a.csv", export(key, "a", rate(5))),
        write(tmp_path / "b.json", export(key, "b", rate(4))),
    ]
    results = analyse(files, keep(key))
    assert (results.listeners, results.excluded) == (["a", "b"], {})
    scores = {score.system: score for score in results.scores}
    assert {system: score.mean for system, score in scores.items()} == {"good": 4.5, "middle": 3.5, "bad": 1.0}
    assert all(score.ratings == 12 for score in results.scores)
    assert scores["bad"][3:] == (1.0, 1.0)  # nothing varies
    assert scores["good"][3:] == (4.0, 5.0)  # two listeners of whom both draws may be the same
    assert 3.0 <= scores["middle"].low < 3.3 and 3.7 < scores["middle"].high <= 4.0
    tests = {(row.system, row.against): row for row in results.comparisons}
    # all 6 utterances say the same: the least p that 6 signs can give
    assert tests["good", "bad"].p == pytest.approx(2 * 0.5**6)
    assert tests["good", "bad"].p_holm == pytest.approx(3 * 2 * 0.5**6)
    assert tests["good", "middle"].difference == pytest.approx(1.0)


def test_interval_of_independent_ratings_is_that_of_the_t_distribution():
    """With one listener, only utterances are drawn: the bootstrap of a mean; 5 % for its own randomness."""
    x = np.random.default_rng(1).normal(50, 10, (1, 200))
    low, high = interval(x)
    t_low, t_high = stats.t.interval(0.95, 199, x.mean(), stats.sem(x[0]))
    assert (high - low) == pytest.approx(t_high - t_low, rel=0.05)
    assert (low + high) / 2 == pytest.approx(x.mean(), abs=0.2)
    assert interval(np.array([[3.0]])) == (None, None)


def test_holm_never_falls_with_rank():
    assert holm([0.03, 0.01, 0.02]) == [pytest.approx(0.04), pytest.approx(0.03), pytest.approx(0.04)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_listeners_are_screened_by_name_and_reason(tmp_path, keep):
    key = key_of()
    fine = by_system(good=5, middle=3, bad=1)
    people = {
        "fine": export(key, "fine", fine, wrong_tones=1),
        "loudspeakers": export(key, "loudspeakers", fine, wrong_tones=2),
        "asleep": export(key, "asleep", fine, wrong_traps=1),
        "stuck": export(key, "stuck", lambda s, u: 3),
        "gone": export(key, "gone", fine)[:-4],
        "all of it": export(key, "all of it", lambda s, u: 3, wrong_tones=6, wrong_traps=2),
    }
    results = analyse([write(tmp_path / f"{name}.csv", rows) for name, rows in people.items()], keep(key))
    assert results.listeners == ["fine"]
    assert results.excluded == {
        "loudspeakers": ["headphone check: 4 of 6 right, 5 needed"],
        "asleep": ["traps: 1 of 2 answered as asked"],
        "stuck": ["all 18 answers are the same: 3"],
        "gone": ["incomplete: 14 of 18 trials answered"],
        "all of it": [
            "headphone check: 0 of 6 right, 5 needed",
            "traps: 0 of 2 answered as asked",
            "all 18 answers are the same: 3",
        ],
    }
    with pytest.raises(DataError, match="none of 1 listeners is left after screening: asleep: traps: 1 of 2"):
        analyse([tmp_path / "asleep.csv"], keep(key))


def test_preferences_and_their_binomial_test(tmp_path, keep):
    key = key_of("ab", systems=["good", "bad"])

    def prefer(rank):
        """u0 sounds the same to all; on the others `good` wins, or on the last one `bad`."""
        return lambda s, u: 0.5 if u == "u0" else float((s == "good") != (u == "u5" and rank == 1))

    files = [write(tmp_path / f"{i}.csv", export(key, f"l{i}", prefer(i))) for i in range(2)]
    (row,) = analyse(files, keep(key)).preferences
    assert row[:5] == ("good", "bad", 9, 2, 1)
    assert row.share == 0.9
    assert row.p == pytest.approx(2 * 11 / 2**10)  # 9 or 10 of 10, or as far on the other side
    assert row.low == pytest.approx(stats.beta.ppf(0.025, 9, 2)) and row.high == pytest.approx(
        stats.beta.ppf(0.975, 10, 1)
    )
    always_a = export(key, "left", lambda s, u: float(s == "good"))
    with pytest.raises(DataError, match="left: all 6 answers are the same: A"):
        analyse([write(tmp_path / "left.csv", always_a)], keep(key))


def test_mushra_means_and_hidden_reference(tmp_path, keep):
    key = key_of("mushra", reference="good")
    fine = export(key, "fine", by_system(good=100, middle=62, bad=0))
    deaf = export(key, "deaf", by_system(good=80, middle=62, bad=10))
    results = analyse([write(tmp_path / "1.csv", fine), write(tmp_path / "2.csv", deaf)], keep(key))
    assert {score.system: score.mean for score in results.scores} == {"good": 100, "middle": 62, "bad": 0}
    assert results.excluded == {"deaf": ["hidden reference below 90 in 6 of 6 trials"]}
    assert [row.against for row in results.comparisons] == ["bad", "good", "good"]


BROKEN = {
    "other study": ({"study": "s2"}, "a.csv, line 2: answers of study s2, the key is of s1; use its own key"),
    "out of range": ({"rating": "7"}, "rating '7' of listener 'a' is out of range, 1, 2, 3 expected"),
    "no number": ({"rating": "good"}, "rating 'good' of listener 'a' is out of range"),
    "not finite": ({"rating": "nan"}, "rating 'nan'"),
    "unknown trial": ({"trial": "t9"}, "trial 't9' with clip 'check0' is not in the key"),
    "no listener": ({"listener": " "}, "no listener"),
    "bad slot": ({"slot": "2"}, "slot '2', 1 to 1 expected"),
}


@pytest.mark.parametrize("change, message", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_row_that_cannot_be_is_named(tmp_path, keep, suffix, change, message):
    key = key_of()
    rows = export(key, "a", by_system(good=5, middle=3, bad=1))
    rows[0] |= change
    with pytest.raises(DataError) as error:
        analyse([write(tmp_path / f"a.{suffix}", rows)], keep(key))
    if suffix == "json":
        message = message.replace("a.csv, line 2", "a.json, row 1")
    assert message in str(error.value)


def test_a_rating_of_the_wrong_scale_is_out_of_range(tmp_path, keep):
    key = key_of()
    for rating in (0, 6, 2.5):
        rows = export(key, "a", lambda s, u, rating=rating: rating)
        with pytest.raises(DataError, match=f"rating '{rating}' .* 1, 2, 3, 4, 5 expected"):
            analyse([write(tmp_path / "a.csv", rows)], keep(key))


def test_one_listener_twice_is_refused(tmp_path, keep):
    key = key_of()
    rows = export(key, "a", by_system(good=5, middle=3, bad=1))
    files = [write(tmp_path / "1.csv", rows), write(tmp_path / "2.json", rows)]
    with pytest.raises(DataError, match=r"listener 'a' is in .*1\.csv and in .*2\.json"):
        analyse(files, keep(key))
    with pytest.raises(DataError, match=r"3\.csv: listener 'a' answered trial check0 twice"):
        analyse([write(tmp_path / "3.csv", rows + rows)], keep(key))
    both = rows + export(key, "b", by_system(good=4, middle=3, bad=2))
    assert analyse([write(tmp_path / "4.csv", both)], keep(key)).listeners == ["a", "b"]


def test_files_that_are_no_exports_are_named(tmp_path, keep):
    key = keep(key_of())
    rows = export(key_of(), "a", by_system(good=5, middle=3, bad=1))
    path = write(tmp_path / "a.csv", [{k: v for k, v in row.items() if k != "rating"} for row in rows])
    with pytest.raises(DataError, match=r"a\.csv: no column rating, found study, mode, listener"):
        analyse([path], key)
    for text, message in {
        "": "no column study",
        ",".join(COLUMNS): "holds no answers",
        "{": "broken JSON",
        "[1]": "no list of rows",
        '{"rows": []}': "holds no answers",
        '{"rows": [{"study": "s1"}]}': "row 1: no listener, trial",
        "study;listener\ns1;a\n": "with commas",
    }.items():
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            analyse([path], key)
    path.write_bytes(b"study\xff")
    with pytest.raises(DataError, match="no UTF-8"):
        analyse([path], key)
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        analyse([tmp_path / "nowhere.csv"], key)
    path.write_text("\N{ZERO WIDTH NO-BREAK SPACE}" + write(tmp_path / "b.csv", rows).read_text())  # as Excel saves
    assert analyse([path], key).listeners == ["a"]


def test_keys_that_are_none_are_named(tmp_path):
    path = tmp_path / "key.json"
    with pytest.raises(ConfigError, match=r"key\.json: No such file"):
        load_key(path)
    for text, message in {"no": "is not JSON", "{}": "lacks format, study", "[]": "lacks format"}.items():
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_key(path)
    path.write_text(json.dumps(key_of() | {"format": 2}))
    with pytest.raises(ConfigError, match="has format 2, this version reads 1"):
        load_key(path)


@pytest.mark.parametrize("mode", ["acr", "ab", "mushra"])
def test_results_are_written_and_odd_names_stay_text(tmp_path, mode):
    odd = "a|b*<b>$x$"
    key = key_of(mode, systems=[odd, "middle"], reference="middle")
    (tmp_path / "key.json").write_text(json.dumps(key))
    best = {"acr": (5, 3), "ab": (1.0, 0.0), "mushra": (70, 100)}[mode]

    def rate(s, u):
        better, worse = best if u != "u0" or mode != "ab" else best[::-1]
        return better if s == odd else worse

    files = [write(tmp_path / f"{n}.csv", export(key, n, rate)) for n in ("a", "b")]
    files.append(write(tmp_path / "c.csv", export(key, "c|d", rate, wrong_tones=3)))
    console = Console(record=True, width=200)
    path = listening_results(files, tmp_path / "key.json", tmp_path / "out", console)
    assert "not counted: c|d: headphone check: 3 of 6 right, 5 needed" in console.export_text()
    text = path.read_text()
    assert path == tmp_path / "out/results.md"
    assert r"a\|b\*\<b\>$x$" in text and r"c\|d" in text and "middle (reference)" in text
    expected = {
        "acr": "| 12 | 5.00 | 5.00 to 5.00 |",
        "ab": "| 10 | 0 | 2 | 83.3 % |",
        "mushra": "| 12 | 70.0 | 70.0 to",
    }
    assert expected[mode] in text
    data = json.loads((tmp_path / "out/results.json").read_text())
    assert (data["study"], data["listeners"], [*data["excluded"]]) == ("s1", ["a", "b"], ["c|d"])
    assert (tmp_path / "out/results.png").read_bytes()[:4] == b"\x89PNG"
    again = listening_results(files, tmp_path / "key.json", tmp_path / "again", Console(quiet=True)).parent
    assert (again / "results.png").read_bytes() == (tmp_path / "out/results.png").read_bytes()
