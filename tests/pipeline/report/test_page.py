"""The report: its figures against the ledger, its bytes, and the page as a browser shows it."""

import hashlib
import io
import json
import re
import subprocess
import sys
import wave
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from selenium.webdriver.support.wait import WebDriverWait

from clean_corpus.pipeline.audio.synthetic import coloured_noise
from clean_corpus.pipeline.core.config import GateConfig, PipelineConfig
from clean_corpus.pipeline.report import page as report_module
from clean_corpus.pipeline.report.listening_picks import CLIPS_PER_GROUP, First, Group, picked, picks
from clean_corpus.pipeline.report.page import write_report
from clean_corpus.pipeline.report.plots import gate_thresholds, hours_kept, plot_yield, yield_table
from tests.support.browser import chromium, set_width
from tests.support.paths import REPOSITORY

RATE = 16000
SCORES = ("dnsmos_sig", "dnsmos_bak", "dnsmos_ovrl", "snr_db", "clipping_ratio", "bandwidth_hz", "speech_ratio")
GOOD = {
    "dnsmos_sig": 3.4,
    "dnsmos_bak": 3.6,
    "snr_db": 25.0,
    "clipping_ratio": 0.0,
    "bandwidth_hz": 7800.0,
    "speech_ratio": 0.8,
}
HOSTILE = 'a "b" \'c\' <script>window.hacked = 1</script>\n</td><img src=x onerror="window.hacked = 1">'


def clip(name: str, verdict: str = "kept", *, before: float | None = None, after: float | None = None, **more) -> dict:
    """One row of a ledger; `before` and `after` are its OVRL, the other scores pass the gate."""
    row = dict.fromkeys(("text", "speaker", "licence", "consent", "reason", "detail", "chosen", "chosen_why", "shard"))
    row |= {"clip_id": name, "source": f"{name}.wav", "offset_s": 0.0, "duration_s": 1.5, "verdict": verdict}
    for when, ovrl in (("before", before), ("after", after)):
        scores = dict.fromkeys(SCORES) | ({} if ovrl is None else GOOD | {"dnsmos_ovrl": ovrl})
        row |= {f"{when}_{score}": value for score, value in scores.items()}
    return row | more


TEXTS = ("clip_id", "source", "verdict", "text", "speaker", "licence", "consent", "reason", "detail")
TEXTS += ("chosen", "chosen_why", "shard")


def ledger(rows: list[dict], *, rows_per_group: int = 7) -> pq.ParquetFile:
    """Rows as a ledger of several parts, its columns those of the first; without rows, its columns alone."""
    names = rows[0] if rows else clip("none")
    schema = pa.schema([(name, pa.string() if name in TEXTS else pa.float64()) for name in names])
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema), file, row_group_size=rows_per_group)
    return pq.ParquetFile(file)


def run_of(**more) -> dict:
    """What a run says of itself."""
    started = datetime(2026, 1, 1, 12, tzinfo=UTC)
    return {
        "started": started.isoformat(),
        "finished": (started + timedelta(seconds=90)).isoformat(),
        "input": "/recordings/radio",
        "output": "/corpus",
        "enhancer": "cgcrn",
        "stages": [
            {"name": "decode", "seconds": 2.0, "done": 20, "reused": 4},
            {"name": "enhance", "seconds": 61.5, "done": 3, "reused": 0},
        ],
        "config": json.loads(PipelineConfig(gate=GateConfig(dnsmos_ovrl_min=2.4)).model_dump_json()),
        "versions": {"clean-corpus": "0.1.0"},
        "rulers": {"dnsmos_ovrl": "sig_bak_ovr.onnx"},
    } | more


def audio(clip_id: str, version: str):
    """A second and a half of pink noise, quieter when enhanced."""
    noise = coloured_noise(np.random.default_rng(len(clip_id)), RATE * 3 // 2, slope=1.0)
    return noise * (0.1 if version == "raw" else 0.02), RATE


def mixed() -> list[dict]:
    """Every kind of end, some of them hostile."""
    enhanced = [
        clip(f"kept-{i:02}", before=2.0 + 0.1 * i, after=2.6 + 0.05 * i, chosen="enhanced", text="Hello.")
        for i in range(12)
    ]
    guarded = clip(
        "guarded",
        before=3.2,
        after=2.7,
        chosen="raw",
        chosen_why="enhancement lowered dnsmos_sig: 3.4 -> 3.2, allowed 0.1",
        duration_s=4.0,
    )
    rejected = [
        clip(f"low-{i}", "rejected", before=1.5, after=2.0 + 0.1 * i, chosen="enhanced", reason="dnsmos_ovrl")
        | {"detail": f"dnsmos_ovrl {2.0 + 0.1 * i:.4g} < 2.4"}
        for i in range(3)
    ]
    hostile = clip('h"><script>window.hacked = 1</script>', "rejected", source=HOSTILE, text=HOSTILE, reason=HOSTILE)
    failed = [
        clip("f-1", "failed", source=HOSTILE, reason="decode", detail=f"LibsndfileError: {HOSTILE}", duration_s=0.0),
        clip("f-2", "failed", source="x" * 200, reason="decode", detail="y" * 300, duration_s=0.0),
    ]
    return [*enhanced, guarded, *rejected, hostile, clip("long-" + "n" * 200, "rejected", reason="duplicate"), *failed]


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    return write_report(ledger(mixed()), run_of(), tmp_path_factory.mktemp("out") / "report", audio)


def figure(page: str, name: str) -> str:
    """The text that the page shows for a named figure."""
    return re.search(rf'data-figure="{name}">([^<]*)<', page).group(1)


def test_figures_equal_those_of_the_ledger(report):
    page = report.read_text()
    # 12 clips of 1.5 s and one of 4 s are kept; OVRL rises from 2.0 + 0.1 i to 2.6 + 0.05 i, the guarded one stays.
    expected = {
        "in-clips": "20",
        "kept-clips": "13",
        "rejected-clips": "5",
        "failed-clips": "2",
        "in-duration": "29.5 s",
        "kept-duration": "22.0 s",
        "rejected-duration": "7.5 s",
        "failed-duration": "0.0 s",
        "ovrl-before": f"{(12 * 2.55 + 3.2) / 13:.2f}",
        "ovrl-after": f"{(12 * 2.875 + 3.2) / 13:.2f}",
        "guarded": "7.7 %",
        # the gate's own rule gives back what was kept; without enhancement 8 clips from 2.4 up and the guarded one
        "yield-enhanced": "22.0 s",
        "yield-raw": "16.0 s",
    }
    assert {name: figure(page, name) for name in expected} == expected


def test_same_input_gives_the_same_bytes_in_any_order(report, tmp_path):
    again = write_report(ledger(mixed()[::-1]), run_of(), tmp_path / "report", audio)
    first, second = (
        {path.relative_to(page.parent): path.read_bytes() for path in page.parent.rglob("*.*")}
        for page in (report, again)
    )
    assert len(first) > 50
    assert first == second


def test_clips_to_hear_are_the_right_ones_and_none_twice(report):
    page = report.read_text()
    heard = {}
    for part in page.split("<h3 ")[1:]:
        heard[re.search(r">(.*?) <span", part, re.S).group(1)] = re.findall(r"<h4><bdi>(.*?)</bdi>", part)
    assert heard["Best"] == ["guarded", "kept-11", "kept-10", "kept-09"]
    assert heard["Worst kept"] == ["kept-00", "kept-01", "kept-02", "kept-03"]
    assert heard["Most improved"] == ["low-2", "low-1", "low-0", "kept-04"]
    assert "Most damaged" not in heard  # the only one that fell is already the best
    assert sorted(heard["Kept, at random"]) == ["kept-05", "kept-06", "kept-07", "kept-08"]
    clips = [clip_id for group in heard.values() for clip_id in group]
    assert len(clips) == len(set(clips))


def test_picks_are_known_before_the_report_and_are_all_it_asks_for(tmp_path):
    asked = []

    def heard(clip_id, version):
        asked.append(clip_id)
        return audio(clip_id, version)

    file = ledger(mixed())
    known = picked(file)
    assert picks(file)[0] == Group("Best", "kept, highest dnsmos_ovrl", ["guarded", "kept-11", "kept-10", "kept-09"])
    assert known == [clip_id for group in picks(file) for clip_id in group.clip_ids]
    write_report(file, run_of(), tmp_path / "report", heard)
    assert asked == [clip_id for clip_id in known for _ in ("raw", "enhanced")]


@pytest.mark.parametrize("rows_per_group", [1, 40, 400])
def test_picks_are_those_of_the_whole_ledger_sorted(rows_per_group):
    """Few distinct scores, so that names decide, and as many clips as several groups want."""
    random = np.random.default_rng(3)
    rows = [
        clip(f"c{i:03}", before=random.integers(8, 12) / 4, after=random.integers(8, 12) / 4, chosen="enhanced")
        for i in range(200)
    ]
    rows += [clip(f"r{i:03}", "rejected", reason=("snr_db", "duplicate")[i % 2]) for i in range(40)]
    random.shuffle(rows)

    kept = [row for row in rows if row["verdict"] == "kept"]
    by_score = sorted((row["after_dnsmos_ovrl"], row["clip_id"]) for row in kept)
    by_change = sorted((row["after_dnsmos_ovrl"] - row["before_dnsmos_ovrl"], row["clip_id"]) for row in kept)
    by_hash = sorted(rows, key=lambda row: hashlib.sha256(row["clip_id"].encode()).digest())
    wanted = {
        "Best": [name for _, name in by_score[::-1]],
        "Worst kept": [name for _, name in by_score],
        "Most improved": [name for change, name in by_change[::-1] if change > 0],
        "Most damaged": [name for change, name in by_change if change < 0],
        "Kept, at random": [row["clip_id"] for row in by_hash if row["verdict"] == "kept"],
        "Rejected: duplicate": [row["clip_id"] for row in by_hash if row["reason"] == "duplicate"],
        "Rejected: snr_db": [row["clip_id"] for row in by_hash if row["reason"] == "snr_db"],
    }
    used: set[str] = set()
    for title, names in wanted.items():
        wanted[title] = [name for name in names if name not in used][:CLIPS_PER_GROUP]
        used.update(wanted[title])
    assert {group.title: group.clip_ids for group in picks(ledger(rows, rows_per_group=rows_per_group))} == wanted


def test_the_first_rows_of_a_stream_are_held_and_no_more():
    first = First(3, ("value", "descending"), ("name", "ascending"))
    for start in range(0, 100, 10):
        first.add(pa.table({"value": [i // 2 for i in range(start, start + 10)], "name": [f"{i}" for i in range(10)]}))
        assert sum(part.num_rows for part in first._held) <= 6
    assert first.table().to_pylist() == [{"value": v, "name": n} for v, n in [(49, "8"), (49, "9"), (48, "6")]]
    assert First(3, ("value", "ascending")).table() is None


def test_picks_come_without_the_plots():
    """The flow's process wants the names and must stay small."""
    code = "import sys, clean_corpus.pipeline.report.listening_picks; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


def long_ledger() -> list[dict]:
    """1200 clips of 10 s, a third of them good enough as they are, a third once enhanced, a third in no version."""
    thirds = [
        {"before": 3.0, "after": 3.4},
        {"before": 2.0, "after": 3.0},
        {"before": 1.5, "after": 2.0, "verdict": "rejected", "reason": "dnsmos_ovrl"},
    ]
    return [clip(f"clip-{i:04}", duration_s=10.0, chosen="enhanced", **thirds[i % 3]) for i in range(1200)]


def test_a_long_ledger_is_counted_whole_and_its_curves_are_a_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "SAMPLED", 300)
    page = write_report(ledger(long_ledger(), rows_per_group=100), run_of(), tmp_path / "report", audio).read_text()
    exact = {"in-clips": "1,200", "in-duration": "3.33 h", "kept-clips": "800", "rejected-clips": "400"}
    exact |= {"kept-duration": "2.22 h", "ovrl-before": "2.50", "ovrl-after": "3.20"}
    assert {name: figure(page, name) for name in exact} == exact
    assert page.count("of 300 of the 1,200 clips, drawn by a hash of their names") == 2
    # A third, of 300 of 1200 drawn without replacement, has a standard deviation of 0.0236; three of 200 min: 14.2 min.
    for name, minutes in (("yield-raw", 400 / 6), ("yield-enhanced", 800 / 6)):
        value, unit = figure(page, name).split()
        assert float(value) * {"h": 60, "min": 1}[unit] == pytest.approx(minutes, abs=14.2)
    assert "hours kept" in page  # the sample's own 50 min would be drawn in minutes


def test_a_sample_of_equal_clips_has_the_yield_of_the_whole_ledger(tmp_path, monkeypatch):
    """Clips that are all alike leave nothing to chance but their number."""
    monkeypatch.setattr(report_module, "SAMPLED", 50)
    rows = [clip(f"c{i}", before=2.0, after=3.0, chosen="enhanced", duration_s=36.0) for i in range(1000)]
    page = write_report(ledger(rows, rows_per_group=100), run_of(), tmp_path / "report", audio).read_text()
    assert (figure(page, "yield-raw"), figure(page, "yield-enhanced")) == ("0.0 s", "10.00 h")


def test_a_ledger_as_long_as_the_sample_is_drawn_whole(tmp_path, monkeypatch):
    pages = []
    for sampled in (len(mixed()), len(mixed()) + 1):
        monkeypatch.setattr(report_module, "SAMPLED", sampled)
        page = write_report(ledger(mixed()), run_of(), tmp_path / str(sampled), lambda clip_id, version: None)
        pages.append(page.read_text())
    assert pages[0] == pages[1]
    assert "drawn by a hash" not in pages[0]
    assert figure(pages[0], "yield-raw") == "16.0 s"


def test_many_classes_of_failure_end_in_one_row(tmp_path):
    rows = [clip(f"f{i:03}", "failed", reason=f"sample_at_{i:03}_s", detail="bad", duration_s=2.0) for i in range(130)]
    page = write_report(ledger(rows), run_of(), tmp_path / "report", audio).read_text()
    table = page[page.index('class="reasons"') : page.index("</table>")]
    assert "sample_at_099_s" in table and "sample_at_100_s" not in table
    assert re.search(r"30 others</bdi></th>\s*<td>30</td>\s*<td>1.0 min</td>\s*<td>23.1 %</td>", table)


def test_a_failing_report_leaves_the_old_one_and_a_new_one_replaces_it_whole(tmp_path):
    out = tmp_path / "report"
    kept = ledger([clip("a", before=3.0, after=3.2, chosen="enhanced")])
    page = write_report(kept, run_of(), out, audio)
    before = page.read_bytes()

    def broken(clip_id, version):
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        write_report(kept, run_of(), out, broken)
    assert page.read_bytes() == before
    write_report(ledger([clip("f", "failed", reason="decode", detail="bad")]), run_of(), out, audio)
    assert not list((out / "audio").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


EDGES = {
    "nothing at all": [],
    "all failed": [clip(f"f{i}", "failed", reason="decode", detail="bad", duration_s=0.0) for i in range(3)],
    "nothing kept": [clip(f"r{i}", "rejected", before=1.0, after=1.2, reason="dnsmos_ovrl") for i in range(3)],
    "scores null": [clip("a", chosen="raw"), clip("b", "rejected", reason="no_speech")],
    "one clip": [clip("a", before=3.0, after=3.0, chosen="enhanced")],
}


@pytest.mark.parametrize("rows", EDGES.values(), ids=EDGES.keys())
def test_a_ledger_with_empty_parts_gives_a_page(tmp_path, rows):
    page = write_report(ledger(rows), run_of(), tmp_path / "report", audio).read_text()
    assert figure(page, "in-clips") == str(len(rows))
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S).lower()


def test_without_enhanced_audio_there_is_one_player_per_clip(tmp_path):
    rows = [clip(f"k{i}", before=3.0, chosen="raw") for i in range(3)]
    raw_only = lambda clip_id, version: audio(clip_id, version) if version == "raw" else None  # noqa: E731
    page = write_report(ledger(rows), run_of(), tmp_path / "report", raw_only).read_text()
    assert page.count("<audio") == 3
    assert sorted(path.name for path in (tmp_path / "report/audio").iterdir()) == [
        "001-raw.wav",
        "002-raw.wav",
        "003-raw.wav",
    ]


def test_a_new_score_and_many_failures_appear_by_themselves(tmp_path):
    rows = [clip("k", before=3.0, after=3.2, chosen="enhanced", before_utmos=2.0, after_utmos=2.5)]
    rows += [clip(f"f{i:03}", "failed", reason="decode", detail=f"error {i:03}.") for i in range(250)]
    page = write_report(ledger(rows), run_of(), tmp_path / "report", audio).read_text()
    assert page.count("<code>utmos</code>") == 1
    assert "error 199." in page and "error 200." not in page
    assert "The first 200 of 250" in page


def test_paths_that_are_not_utf8_are_shown_with_their_bytes(tmp_path):
    page = write_report(ledger([]), run_of(input="/data/caf\udce9"), tmp_path / "report", audio).read_text()
    assert "<title>caf\\udce9 " in page


def test_audio_and_spectrogram_of_a_tone(tmp_path):
    """4 kHz lies in the middle of a picture that ends at 8 kHz; -20 dB of it stays 20 dB below on the shared scale."""
    tone = (0.5 * np.sin(2 * np.pi * 4000 / RATE * np.arange(RATE))).astype(np.float32)
    versions = {"raw": tone, "enhanced": 0.1 * tone}
    rows = [clip("tone", before=3.0, after=3.0, chosen="enhanced", duration_s=1.0)]
    write_report(ledger(rows), run_of(), tmp_path / "report", lambda clip_id, version: (versions[version], RATE))
    with wave.open(str(tmp_path / "report/audio/001-raw.wav")) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (RATE, 2, 1)
        samples = np.frombuffer(file.readframes(-1), "<i2") / 32768
    assert np.abs(samples - tone).max() <= 0.5001 / 32768  # rounding alone
    steps = {v: np.array(Image.open(tmp_path / f"report/spectrograms/001-{v}.png")) for v in versions}
    middle = steps["raw"].shape[1] // 2
    assert steps["raw"].shape[0] == 257
    assert steps["raw"][:, middle].argmax() == 128
    assert steps["raw"][128, middle] - steps["enhanced"][128, middle] == 10  # steps of 2 dB


def test_hours_kept_by_direction_and_without_value():
    values, durations_s = [0.0, 0.01, float("nan"), 0.5], [3600.0] * 4
    assert hours_kept("snr_db", values, durations_s, [-1.0, 0.01, 1.0]).tolist() == [3.0, 2.0, 0.0]
    assert hours_kept("clipping_ratio", values, durations_s, [-1.0, 0.01, 1.0]).tolist() == [0.0, 2.0, 3.0]


def test_yield_table_has_the_gates_thresholds_and_skips_what_was_not_measured():
    scores = {"snr_db": np.arange(100.0), "stoi": np.full(100, np.nan)}
    rows = yield_table(scores, np.full(100, 36.0), gate_thresholds({"snr_db_min": 37.0, "stoi_min": 0.5}))
    assert {row.score for row in rows} == {"snr_db"}
    assert [(row.hours, row.share) for row in rows if row.threshold == 37.0] == [(pytest.approx(0.63),) * 2]
    assert [row.threshold for row in rows] == sorted(row.threshold for row in rows)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_plot_yield_is_reproducible(tmp_path, suffix):
    scores = {name: np.linspace(0, 1, 50) for name in ("snr_db", "clipping_ratio", "dnsmos_ovrl", "utmos")}
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        assert plot_yield(scores, [60.0] * 50, {"snr_db": 0.5}, tmp_path / folder / f"yield.{suffix}").exists()
    assert (tmp_path / "a" / f"yield.{suffix}").read_bytes() == (tmp_path / "b" / f"yield.{suffix}").read_bytes()


def test_plot_yield_without_values_says_so(tmp_path):
    with pytest.raises(ValueError, match="snr_db"):
        plot_yield({"snr_db": [float("nan")]}, [1.0], {}, tmp_path / "yield.png")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def show(browser, page: Path, width: int) -> None:
    """Open a page; returns when every picture and the head of every recording is there, or 10 s have gone."""
    set_width(browser, width)
    browser.get(page.as_uri())
    browser.set_script_timeout(15)
    browser.execute_async_script("""
        const done = arguments[0], media = [...document.querySelectorAll("audio")];
        const heads = media.map(m => m.readyState >= 1 || new Promise(r => m.addEventListener("loadedmetadata", r)));
        Promise.race([Promise.all(heads), new Promise(r => setTimeout(r, 10000))]).then(done);
    """)


def boxes(browser, selector: str) -> list[tuple[str, float, float, float, float]]:
    return browser.execute_script(
        """return [...document.querySelectorAll(arguments[0])].map(e => {
            const b = e.getBoundingClientRect();
            return [e.className || e.tagName, b.left, b.top, b.right, b.bottom];
        })""",
        selector,
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_layout_has_no_overflow_and_no_overlap(browser, report, width):
    show(browser, report, width)
    assert browser.execute_script("return [innerWidth, document.documentElement.scrollWidth <= innerWidth]") == [
        width,
        True,
    ]
    inner = ".card h4, .card table, .player figcaption, .picture, .time, audio, .plots figcaption, .plots svg, .tile"
    for selector in (".tile, .panel, .stack, h2, h3, nav, footer", inner):
        found = boxes(browser, selector)
        assert len(found) > 20
        for (a, *first), (b, *second) in combinations(found, 2):
            wide = min(first[2], second[2]) - max(first[0], second[0])
            high = min(first[3], second[3]) - max(first[1], second[1])
            assert wide <= 1 or high <= 1, f"{a} {first} overlaps {b} {second}"
    clipped = "return [...document.querySelectorAll('.tile, .panel')].filter(e => e.scrollWidth > e.clientWidth).length"
    assert browser.execute_script(clipped) == 0


@pytest.mark.parametrize("width", [1280, 1000, 700, 390])
def test_millions_of_clips_fit_their_tiles(browser, tmp_path, monkeypatch, width):
    monkeypatch.setitem(report_module._TEMPLATES.filters, "clips", lambda n: "1,000,000")
    rows = [clip("f", "failed", reason="decode", detail="bad")]
    show(browser, write_report(ledger(rows), run_of(), tmp_path / "report", audio), width)
    room = "return [...document.querySelectorAll('.tile b')].map(e => [e.textContent, e.clientWidth - e.scrollWidth])"
    found = browser.execute_script(room)
    assert [text for text, _ in found[:4]] == ["1,000,000"] * 4
    assert min(left for _, left in found) >= 0
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


def test_everything_loads_and_every_player_knows_its_duration(browser, report):
    browser.get_log("performance")
    show(browser, report, 1280)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    # a player that has read the head of its file cancels the rest
    failures = [e["params"] for e in events if e["method"] == "Network.loadingFailed" and not e["params"]["canceled"]]
    assert failures == []
    players = browser.execute_script(
        "return [...document.querySelectorAll('audio')].map(a => [a.getAttribute('src'), a.readyState, a.duration])"
    )
    assert len(players) == 2 * len(boxes(browser, ".card"))
    for source, ready, duration_s in players:
        assert ready >= 1, source
        assert duration_s == pytest.approx(1.5, abs=0.05), source
    widths = browser.execute_script("return [...document.images].map(i => i.naturalWidth)")
    assert len(widths) == len(players) and min(widths) > 0


def test_hostile_names_are_text(browser, report):
    show(browser, report, 1280)
    assert browser.execute_script("return window.hacked ?? null") is None
    assert browser.execute_script("return document.querySelectorAll('img[src=x]').length") == 0
    shown = browser.execute_script("return [...document.querySelectorAll('bdi')].map(e => e.textContent)")
    assert shown.count(HOSTILE) >= 4  # source, text and reason of the rejected one, source of the failed one
    assert 'h"><script>window.hacked = 1</script>' in shown
    ids = browser.execute_script("return [...document.querySelectorAll('body > * [id]')].map(e => e.id)")
    assert {"ends", "scores", "listen", "failed", "timings", "settings"} <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_click_plays_and_stops_the_others(browser, report):
    show(browser, report, 1280)
    pictures = browser.find_elements("css selector", ".picture")[:2]
    for number, picture in enumerate(pictures):
        picture.click()
        playing = "return [...document.querySelectorAll('audio')].flatMap((a, i) => a.paused ? [] : [i])"
        WebDriverWait(browser, 5).until(lambda b: b.execute_script(playing) == [number])  # noqa: B023 - called at once
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("kind", ["all failed", "nothing kept"])
def test_ledgers_without_kept_clips_look_right(browser, tmp_path, kind):
    show(browser, write_report(ledger(EDGES[kind]), run_of(), tmp_path / "report", audio), 390)
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    assert len(boxes(browser, ".card")) == (0 if kind == "all failed" else 3)
