"""The report's page: its figures against the ledger, and its bytes."""

import contextlib
import re
from pathlib import Path

import pytest

from clean_corpus.pipeline.report.own_names import is_of_report
from clean_corpus.pipeline.report.page import write_report
from tests.support.ledgers import EDGES, audio, clip, figure, ledger, mixed, run_of


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    return write_report(ledger(folder, mixed()), run_of(), folder / "report", audio)


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
        "raw": "7.7 %",
        # the gate's own rule gives back what was kept; without enhancement 8 clips from 2.4 up and the guarded one
        "yield-enhanced": "22.0 s",
        "yield-raw": "16.0 s",
    }
    assert {name: figure(page, name) for name in expected} == expected


def test_same_input_gives_the_same_bytes_in_any_order(report, tmp_path):
    again = write_report(ledger(tmp_path, mixed()[::-1]), run_of(), tmp_path / "report", audio)
    first, second = (
        {path.relative_to(page.parent): path.read_bytes() for path in page.parent.rglob("*.*")}
        for page in (report, again)
    )
    assert len(first) > 50
    assert first == second


def test_what_others_put_into_its_folder_stays_whenever_a_run_dies(report, tmp_path, monkeypatch):
    """Killed before, between and after the renames that put the new report in place of the last one."""
    out = tmp_path / "report"
    (out / "audio").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (out / "link").symlink_to(tmp_path / "elsewhere")
    mine = {"q3.pdf": b"1", "audio/mine.wav": b"2", "notes/a/b.txt": b"3", ".hidden": b"4"}
    for name, data in mine.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    (out / "audio/999-raw.wav").write_bytes(b"of the last report")
    table, rename = ledger(tmp_path, mixed()), Path.rename
    for deaths in ([0], [0, 1], [1], []):
        calls = iter(range(9))

        def dying(path, target, calls=calls, deaths=deaths):
            if next(calls) in deaths:
                raise KeyboardInterrupt
            return rename(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", dying)
            with contextlib.suppress(KeyboardInterrupt):
                write_report(table, run_of(), out, audio)
    assert {name: (out / name).read_bytes() for name in mine} == mine and (out / "link").is_symlink()
    assert [path.name for path in tmp_path.glob(".report*")] == []
    theirs = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file() and not path.is_symlink()}
    assert theirs - mine.keys() == {p.relative_to(report.parent).as_posix() for p in report.parent.rglob("*.*")}
    assert all(map(is_of_report, theirs - mine.keys()))


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


def test_many_classes_of_failure_end_in_one_row(tmp_path):
    rows = [clip(f"f{i:03}", "failed", reason=f"sample_at_{i:03}_s", detail="bad", duration_s=2.0) for i in range(130)]
    page = write_report(ledger(tmp_path, rows), run_of(), tmp_path / "report", audio).read_text()
    table = page[page.index('class="reasons"') : page.index("</table>")]
    assert "sample_at_099_s" in table and "sample_at_100_s" not in table
    assert re.search(r"30 others</bdi></th>\s*<td>30</td>\s*<td>1.0 min</td>\s*<td>23.1 %</td>", table)


def test_a_failing_report_leaves_the_old_one_and_a_new_one_replaces_it_whole(tmp_path):
    out = tmp_path / "report"
    kept = ledger(tmp_path, [clip("a", before=3.0, after=3.2, chosen="enhanced")])
    page = write_report(kept, run_of(), out, audio)
    before = page.read_bytes()

    def broken(clip_id, version):
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        write_report(kept, run_of(), out, broken)
    assert page.read_bytes() == before
    write_report(ledger(tmp_path, [clip("f", "failed", reason="decode", detail="bad")]), run_of(), out, audio)
    assert not list((out / "audio").iterdir())
    assert sorted(path.name for path in tmp_path.glob("*report*")) == ["report"]


@pytest.mark.parametrize("rows", EDGES.values(), ids=EDGES.keys())
def test_a_ledger_with_empty_parts_gives_a_page(tmp_path, rows):
    page = write_report(ledger(tmp_path, rows), run_of(), tmp_path / "report", audio).read_text()
    assert figure(page, "in-clips") == str(len(rows))
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S).lower()


def test_a_new_score_and_many_failures_appear_by_themselves(tmp_path):
    rows = [clip("k", before=3.0, after=3.2, chosen="enhanced", before_utmos=2.0, after_utmos=2.5)]
    rows += [clip(f"f{i:03}", "failed", reason="decode", detail=f"error {i:03}.") for i in range(250)]
    page = write_report(ledger(tmp_path, rows), run_of(), tmp_path / "report", audio).read_text()
    assert page.count("<code>utmos</code>") == 1
    assert "error 199." in page and "error 200." not in page
    assert "The first 200 of 250" in page


def test_paths_that_are_not_utf8_are_shown_with_their_bytes(tmp_path):
    page = write_report(ledger(tmp_path, []), run_of(input="/data/caf\udce9"), tmp_path / "report", audio).read_text()
    assert "<title>caf\\udce9 " in page


@pytest.mark.parametrize(
    ("upper_band", "words"),
    [({}, ""), ({"upper_band": None}, ""), ({"upper_band": "extrapolated"}, ""),
     ({"upper_band": "full-band"}, ", above 8 kHz with full-band")],
)  # fmt: skip
def test_the_page_says_what_enhanced_each_band(tmp_path, upper_band, words):
    page = write_report(ledger(tmp_path, []), run_of(**upper_band), tmp_path / "report", audio).read_text()
    assert f"enhanced with cgcrn{words} ·" in page


def test_a_run_without_enhancer_shows_raw_clips_alone(tmp_path):
    why = {"chosen": "raw", "chosen_why": "not_enhanced: enhancer is none"}
    rows = [clip(f"k{i}", before=2.7 + 0.1 * i, **why) for i in range(3)]
    page = write_report(
        ledger(tmp_path, rows),
        run_of(enhancer="none"),
        tmp_path / "report",
        lambda *a: audio(*a) if a[1] == "raw" else None,
    ).read_text()
    assert figure(page, "kept-clips") == "3" and figure(page, "ovrl-before") == "2.80"
    assert "not enhanced ·" in page and "as they came" in page and "raw, not enhanced" in page
    assert not {"yield-enhanced", "ovrl-after"} & set(re.findall(r'data-figure="([\w-]+)"', page))
    assert not list((tmp_path / "report").glob("*/*-enhanced.*")) and '<th scope="col">enhanced' not in page
