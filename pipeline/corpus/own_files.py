"""What in an OUTPUT is its corpus' own: the folders that runs and commands over a corpus write into."""

from clean_corpus.pipeline.core.locations import Location, is_within
from clean_corpus.pipeline.corpus import decisions, forgotten, versions

EXPORTS = "export"
OWN_FOLDERS = (
    *versions.FOLDERS, "versions", "report", "variants", decisions.FOLDER, forgotten.FOLDER, "fence", "work", EXPORTS
)  # fmt: skip


def own_folder(where: Location, output: Location) -> str | None:
    """Return which of an output's own folders a location is, or lies in; None if it does in none."""
    return next((folder for folder in OWN_FOLDERS if is_within(where, output / folder)), None)
