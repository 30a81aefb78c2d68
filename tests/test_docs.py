"""README.md and docs/ are what they should be: short, linked, and with each generated figure in one place."""

import re
import subprocess
import sys
from collections import Counter

from tests.support.paths import REPOSITORY

README = REPOSITORY / "README.md"
DOCS = sorted((REPOSITORY / "docs").glob("*.md"))
FIGURES = {
    "bandwidth", "change", "choice", "crowd", "data_speed", "english_voice", "enhance_speed", "extras", "faults",
    "files", "generation", "german_voice", "groups", "growth", "guard", "harm", "layouts", "levels", "likeness",
    "live", "long", "mild", "naturalness", "outlier", "pairs", "pairs48", "proof", "proof_gpu", "proof_low", "results",
    "review", "rows", "run_again", "run_crowd", "run_hour", "run_long", "run_start", "scores",
    "gpu_speed", "scoring_speed", "settings", "shipped", "streaming", "voice_steps",
}  # fmt: skip


def test_readme_has_at_most_200_lines():
    assert len(README.read_text().splitlines()) <= 200


def test_readme_shows_a_picture_below_300_kb():
    pictures = re.findall(r"!\[.+\]\((.+\.png)\)", README.read_text())
    assert pictures and all((REPOSITORY / name).stat().st_size < 300_000 for name in pictures)


def test_readme_links_every_document():
    assert {f"docs/{path.name}" for path in DOCS} <= set(re.findall(r"\]\((docs/[\w-]+\.md)", README.read_text()))


def test_each_generated_figure_stands_in_one_place():
    text = "\n".join(path.read_text() for path in [README, *DOCS])
    opened = re.findall(r"^<!-- (\w+) -->$", text, re.M)
    closed = re.findall(r"^<!-- /(\w+) -->$", text, re.M)
    assert opened == closed
    assert Counter(opened) == Counter(FIGURES)


def test_readme_quotes_no_figure_that_the_documents_lack():
    """Figures change by benchmarks in docs/; a quoted one that stayed behind fails here."""
    rows = [line for line in README.read_text().splitlines() if line.startswith("| ")]
    quoted = set(re.findall(r"\d+\.\d+", "\n".join(rows)))
    known = set(re.findall(r"\d+\.\d+", "\n".join(path.read_text() for path in DOCS)))
    assert len(quoted) > 10
    assert quoted <= known


def test_table_of_files_is_true():
    check = subprocess.run([sys.executable, "docs/files.py", "--check"], cwd=REPOSITORY, capture_output=True, text=True)
    assert check.returncode == 0, check.stderr
