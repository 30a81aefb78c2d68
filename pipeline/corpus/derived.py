"""What lies in an output and was made of a version as a whole, to be made anew of the next: its report and exports."""

from collections.abc import Iterable

from clean_corpus.pipeline.corpus import own_files
from clean_corpus.pipeline.discover.outputs import EXPORT_STATE

REPORTS = ("report/", ".report.new/", ".report.old/")
EXPORTS = f"{own_files.EXPORTS}/"


def folders(keys: Iterable[str]) -> tuple[str, ...]:
    """Return these folders of an output, each with "/" behind, by all of its keys.

    >>> folders(["voice/piper/.export/layout.json", "voice/notes.txt", "export/vits/.export/x", ".export/layout.json"])
    ('report/', '.report.new/', '.report.old/', 'export/', 'voice/piper/')
    """
    parts = (key.split("/") for key in keys)
    roots = {"/".join(names[: names.index(EXPORT_STATE)]) for names in parts if EXPORT_STATE in names[:-1]}
    elsewhere = (f"{root}/" for root in sorted(roots.difference(own_files.OWN_FOLDERS, {""})))
    return (*REPORTS, EXPORTS, *(folder for folder in elsewhere if not folder.startswith(EXPORTS)))
