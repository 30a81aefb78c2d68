"""The names of files that a report is made of, told from those that others put into its folder."""

import re

_NAMES = re.compile(
    r"(?:speakers/)?index\.html|made_of\.json|audio/\d+-(?:raw|enhanced)\.wav|spectrograms/\d+-(?:raw|enhanced)\.png"
    r"|speakers/(?:audio/)?[0-9a-f]{16}\.(?:html|wav)"
)


def is_of_report(name: str) -> bool:
    """Return whether a file below report/ is one that a report may have, by its path there.

    >>> is_of_report("audio/001-raw.wav"), is_of_report("q3.pdf"), is_of_report("audio/mine.wav")
    (True, False, False)
    """
    return _NAMES.fullmatch(name) is not None
