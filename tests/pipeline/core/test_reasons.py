"""Reasons are a closed list: each error of the code has one, each one is documented, and no file makes its own."""

import ast
import os
import re

import pytest

from clean_corpus.pipeline.core.reasons import MEANINGS, Reason, reason_of
from tests.support.paths import REPOSITORY


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("not finite: sample at 3.200 s is nan", Reason.NOT_FINITE),
        ("not finite: sample at 4.100 s is -inf", Reason.NOT_FINITE),
        ("truncated: header announces 2 s, file holds 1 s", Reason.TRUNCATED),
        ("empty file", Reason.EMPTY_FILE),
        ("enhance: out of memory", Reason.ENHANCE),
        (os.strerror(5), Reason.CANNOT_BE_READ),  # Input/output error, from a disk
        (os.strerror(13).lower(), Reason.PERMISSION_DENIED),
        ("sample_at_3.200_s_is_nan", Reason.OTHER_ERROR),
        ("a library's text in 17 words: and more", Reason.OTHER_ERROR),
        ("", Reason.OTHER_ERROR),
    ],
)
def test_an_error_has_the_reason_that_it_begins_with(error, reason):
    assert reason_of(error) is reason


def test_what_decoding_and_discovery_say_begins_with_a_reason():
    """Errors of recordings are strings in these modules; one that began otherwise would be `other_error`."""
    said = set()
    for path in [*(REPOSITORY / "pipeline/audio").glob("*.py"), REPOSITORY / "pipeline/storage/s3_objects.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("DataError", "ObjectUnavailable"):
                said |= {_first_words(argument) for argument in node.args}
    said -= {"", "clip has "}  # built by another function; of a shard's member, which is no recording
    assert len(said) > 5
    assert not {text for text in said if reason_of(text) is Reason.OTHER_ERROR and not text.startswith("s3://")}


def _first_words(argument: ast.expr) -> str:
    """Return the text with which a literal or a formatted string begins."""
    first = argument.values[0] if isinstance(argument, ast.JoinedStr) else argument
    return first.value if isinstance(first, ast.Constant) else ""


def test_every_reason_is_documented():
    assert MEANINGS.keys() == set(Reason)
    text = (REPOSITORY / "docs/INPUTS-AND-OUTPUTS.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", text[text.index("### Reasons") :], re.M)
    assert dict(rows) == {reason.value: meaning for reason, meaning in MEANINGS.items()}
