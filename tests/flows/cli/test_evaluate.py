"""The command `evaluate`: its arguments reach the comparison, its failures and report are printed."""

from clean_corpus.pipeline.core.locations import S3Folder
from tests.support.commands import invoke


def test_systems_are_compared_and_failures_named(monkeypatch, tmp_path):
    seen = []

    def evaluate(names, pairs, out, workers, console, distillmos, speakers, noises):
        seen.append((names, pairs, out, workers, distillmos, speakers, noises))
        return out / "report.md", {"crn: p1": "not finite"}

    monkeypatch.setattr("clean_corpus.flows.commands.evaluate.evaluate", evaluate)
    result = invoke("evaluate", "default", "crn", "--pairs", "s3://b/pairs", "--out", tmp_path, "--workers", 2,
                    "--trained-speakers", tmp_path / "speakers.txt")  # fmt: skip
    assert seen == [(["default", "crn"], S3Folder("b", "pairs"), tmp_path, 2, False, tmp_path / "speakers.txt", None)]
    assert result.stdout == f"report: {tmp_path / 'report.md'}\n"
    assert result.stderr == "failed: crn: p1: not finite\n"
