"""Where texts are from, and how well they were heard, as the report shows it."""

from clean_corpus.pipeline.report.page import write_report
from clean_corpus.pipeline.report.texts import texts
from tests.support.ledgers import audio, clip, figure, ledger, run_of


def row(name: str, source: str | None, *, cer: float | None = None, whole: str | None = None, verdict="kept") -> dict:
    said = "words" if source else None
    more = {"text": said, "text_source": source, "recording_text": whole, "cer": cer}
    return clip(name, verdict, before=2.0, after=3.0, **more)


ROWS = [
    row("a", "manifest", cer=0.1),
    row("b", "aligned", cer=0.3, whole="many words"),
    row("c", None, whole="many words"),
    row("d", "asr"),
    row("e", None),
    row("f", "manifest", cer=0.2, verdict="rejected"),
]


def test_shares_and_error_rates(tmp_path):
    found = texts(ledger(tmp_path, ROWS), {"cer_max": 0.25})
    assert {shown["name"]: shown["clips"] for shown in found["rows"]} == dict.fromkeys(
        ("manifest", "aligned", "asr", "cut", "none"), 1
    )
    assert sum(shown["share"] for shown in found["rows"]) == 1
    assert (found["cer"]["median"], found["cer"]["clips"], found["cer"]["threshold"]) == (0.2, 3, 0.25)
    page = write_report(ledger(tmp_path, ROWS), run_of(), tmp_path / "report", audio).read_text()
    assert (figure(page, "text-aligned"), figure(page, "cer")) == ("1", "0.20")


def test_runs_without_texts(tmp_path):
    assert texts(ledger(tmp_path, [row("a", None)]), {}) is None
    assert texts(ledger(tmp_path, [clip("a", before=2.0, after=3.0)]), {}) is None
    assert texts(ledger(tmp_path, [row("a", "timed")]), {})["cer"] is None
