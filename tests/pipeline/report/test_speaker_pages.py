"""Pages of speakers: their figures against the ledger, names that are no names of files, and what a reader sees."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clean_corpus.pipeline.corpus.embeddings import Embedding
from clean_corpus.pipeline.quality import voice
from clean_corpus.pipeline.report import speaker_figures, speaker_map
from clean_corpus.pipeline.report.page import write_report
from clean_corpus.pipeline.report.speaker_pages import write_speakers
from tests.pipeline.quality.test_speakers import voices
from tests.support.browser import chromium
from tests.support.ledgers import HOSTILE, audio, clip, figure, run_of

ANNA, AUTO = "anna/../..", "auto-0123456789ab"


def rows() -> list[dict]:
    """Anna has seven clips, one of them another's; a voice without a label has three, a hostile name one."""
    found = [
        clip(f"a{i}", before=2.0, after=2.5 + 0.1 * i, chosen="enhanced", speaker=ANNA, voice_match=0.9)
        for i in range(6)
    ]
    outlier = {"reason": "speaker_outlier", "detail": "voice_match 0.4 < 0.75", "voice_match": 0.4}
    found.append(clip("wrong", "rejected", before=2.0, after=2.5, chosen="enhanced", speaker=ANNA, **outlier))
    found += [clip(f"u{i}", before=3.0, after=2.0, chosen="raw", speaker_auto=AUTO, duration_s=2.0) for i in range(3)]
    found.append(clip("h", before=3.0, after=3.0, chosen="raw", speaker=HOSTILE, duration_s=0.5))
    return [*found, clip("nobody", before=3.0, after=3.0, chosen="raw"), clip("f", "failed", reason="decode")]


def write_ledger(folder):
    table = pa.Table.from_pylist([{"speaker_auto": None, "voice_match": None} | row for row in rows()])
    for score in ("distillmos",):
        nulls = pa.nulls(len(table), pa.float64())
        table = table.append_column(f"before_{score}", nulls).append_column(f"after_{score}", nulls)
    pq.write_table(table, folder / "ledger.parquet")
    return folder / "ledger.parquet"


def embedded() -> list[Embedding]:
    texts = {ANNA: voices(1, 7), AUTO: voices(2, 3), HOSTILE: voices(3, 1)}
    return [
        Embedding(f"{i}-{j}", "s", None if name == AUTO else name, AUTO, "raw", voice.to_bytes(x))
        for i, (name, clips) in enumerate(texts.items())
        for j, x in enumerate(clips)
    ]


def test_figures_are_those_of_the_ledger(tmp_path):
    ledger = write_ledger(tmp_path)
    found = {speaker.name: speaker for speaker in speaker_figures.speakers(ledger)}
    assert [*found] == [ANNA, AUTO, HOSTILE] and speaker_figures.count(ledger) == 3
    anna = found[ANNA]
    assert (anna.auto, anna.clips, anna.kept, anna.kept_s, anna.rejected_by_voice) == (False, 7, 6, 9.0, 1)
    assert anna.scores["dnsmos_ovrl"] == pytest.approx(2.75) and anna.scores["distillmos"] is None
    assert anna.match == pytest.approx(0.9) and found[AUTO].auto and found[AUTO].scores["dnsmos_ovrl"] == 3.0
    heard = speaker_figures.heard(ledger)
    assert [len(heard[name]) for name in (ANNA, AUTO, HOSTILE)] == [4, 3, 1]
    assert "wrong" in [row["clip_id"] for row in heard[ANNA]]
    assert sorted(speaker_figures.picked(ledger)) == sorted(r["clip_id"] for part in heard.values() for r in part)


def test_every_speaker_has_a_page_and_no_name_leads_elsewhere(tmp_path):
    ledger = write_ledger(tmp_path)
    asked = []

    def heard(clip_id, version):
        asked.append((clip_id, version))
        return None if clip_id == "h" else audio(clip_id, version)

    page = write_report(ledger, run_of(), tmp_path / "report", heard, embedded())
    folder = tmp_path / "report" / "speakers"
    pages = sorted(path.name for path in folder.glob("*.html"))
    assert len(pages) == 4 and all(re.fullmatch(r"index\.html|[0-9a-f]{16}\.html", name) for name in pages)
    index = (folder / "index.html").read_text()
    assert figure(index, "speakers") == "3" and 'href="speakers/index.html"' in page.read_text()
    assert index.count("<circle") == 11 and "<script>window" not in index
    for name in pages[:-1]:
        text = (folder / name).read_text()
        assert 'href="index.html"' in text and "<script>window" not in text
        assert all((folder / source).exists() for source in re.findall(r'src="(audio/[^"]+)"', text))
    assert ("wrong", "enhanced") in asked and ("u0", "raw") in asked
    # without voices there are no pages and no link
    plain = write_report(ledger, run_of(), tmp_path / "plain", audio)
    assert "speakers/index.html" not in plain.read_text() and not (tmp_path / "plain" / "speakers").exists()


def test_the_map_is_a_sample_and_the_same_in_any_order(monkeypatch):
    everything = embedded()
    first = speaker_map.points(everything)
    assert sorted(first) == sorted(speaker_map.points(everything[::-1])) and len(first) == 11
    assert all(0 <= p.x <= speaker_map.WIDTH and 0 <= p.y <= speaker_map.HEIGHT for p in first)
    monkeypatch.setattr(speaker_map, "DRAWN", 4)
    drawn = speaker_map.points(everything)
    assert len(drawn) == 4 and {p.clip_id for p in drawn} < {p.clip_id for p in first}
    assert speaker_map.points([]) == []
    assert np.isfinite([(p.x, p.y) for p in speaker_map.points(everything[:1])]).all()


def test_readers_go_from_the_report_to_a_speaker_and_back(tmp_path):
    ledger = write_ledger(tmp_path)
    page = write_report(ledger, run_of(), tmp_path / "report", audio, embedded())
    with chromium(tmp_path) as browser:
        browser.set_window_size(390, 800)
        browser.get(page.as_uri())
        browser.find_element("link text", "Speakers").click()
        for name in (ANNA, AUTO):
            browser.find_element("link text", name).click()
            assert browser.find_element("css selector", "h1").text == name
            assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
            assert browser.find_elements("css selector", "audio") and browser.find_elements("css selector", ".map .own")
            browser.find_element("css selector", "a[href='index.html']").click()
        assert browser.execute_script("return window.hacked === undefined")
        assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_a_ledger_without_speakers_has_no_pages(tmp_path):
    table = pq.read_table(write_ledger(tmp_path)).filter(pa.compute.field("clip_id") == "nobody")
    pq.write_table(table, tmp_path / "none.parquet")
    assert write_speakers(tmp_path / "none.parquet", [], run_of(), tmp_path / "report", audio) == 0
    assert not (tmp_path / "report").exists()
