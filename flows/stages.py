"""Stages of a run, and the ways to work through them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.discover.groups import Groups


@dataclass(frozen=True)
class Stage:
    """A part of a run: the function called with each item, and the names of items."""

    name: Literal["ingest", "copies", "clean", "publish"]
    unit: str
    function: Callable[[Any], Any]
    label: Callable[[Any], str]


class Work(Protocol):
    """A way to work through the stages of a run."""

    def begin(self, groups: Groups) -> None:
        """Take note of the groups of recordings that the run is over."""

    def each(self, stage: Stage, items: Iterator[tuple[int, Any]], total: int) -> Iterator[tuple[int, Any]]:
        """Yield what a stage makes of each numbered item, in the order of completion; few at a time are in memory."""

    def before_commit(self, draft: Manifest) -> None:
        """Take note of the version that is to be committed."""

    def once(self, name: Literal["report", "export"], function: Callable[[], Any]) -> Any:
        """Do a part of the run that is one call; return what it returns."""

    def show(self, summary: Mapping[str, Any], report: str) -> None:
        """Show the results of the run, from its run.json, and where its report is."""
