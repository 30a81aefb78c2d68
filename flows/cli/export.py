"""The command `export`: kept clips of a version as a trainer reads them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from clean_corpus.flows.cli.console import console, ended_by_signals, shown
from clean_corpus.flows.cli.options import LayoutName
from clean_corpus.flows.cli.versions import BucketSettings, OutputArgument, open_output
from clean_corpus.pipeline.core.errors import ConfigError


def export(
    output: OutputArgument,
    dest: Annotated[
        str, typer.Argument(metavar="DEST", help="folder for the export, new or of an earlier one, or s3://")
    ],
    layout: LayoutName,
    version: Annotated[int | None, typer.Option(min=1, help="default: the newest")] = None,
    speakers: Annotated[list[str], typer.Option("--speaker", help="this speaker alone; may be given again")] = [],  # noqa: B006
    split: Annotated[
        str | None, typer.Option(help="shares of train/dev/test, for example 0.9/0.05/0.05; default: docs/EXPORT.md")
    ] = None,
    split_by: Annotated[str, typer.Option(help="text or speaker: whose clips stay on one side")] = "text",
    sample_rate: Annotated[int | None, typer.Option(help="Hz; default: what the reader takes")] = None,
    language: Annotated[
        str | None, typer.Option(help="of clips whose own is not known, for example en; default: that of the run")
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="where the trainer finds DEST, for lists with whole paths; default: DEST")
    ] = None,
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Write the kept clips of a version as a trainer reads them: rate, lengths, files, lists, split. Run it again after
    a new version: only what changed is written.
    """
    from clean_corpus.pipeline.core.config_input import validate
    from clean_corpus.pipeline.core.locations import parse_location
    from clean_corpus.pipeline.corpus import versions
    from clean_corpus.pipeline.export import export as exports
    from clean_corpus.pipeline.export.config import ExportConfig

    given = {
        "layout": layout, "split": split, "split_by": split_by, "sample_rate": sample_rate, "language": language,
        "prefix": prefix, "speakers": tuple(speakers),
    }  # fmt: skip
    options = validate(ExportConfig, {key: value for key, value in given.items() if value is not None})
    store, s3 = open_output(output, settings)
    manifest = versions.read(store, version) if version else versions.latest(store)
    if manifest is None:
        raise ConfigError(f"OUTPUT {output}: there is no version; `clean-corpus run` makes one")
    with ended_by_signals("interrupted; run the same command again to continue"):
        exported = exports.export(store, manifest, parse_location(dest), options, s3, progress=shown_progress)
    print_export(exported.summary)


@contextmanager
def shown_progress(total: int) -> Iterator[object]:
    """Show how many of so many tars are written."""
    from clean_corpus.flows.observe import progress

    if not total:
        yield lambda: None
        return
    with progress.stage(console, "export", total, "shards") as advance:
        yield advance


def print_export(summary: dict[str, Any]) -> None:
    """Print what was exported, what was left out, and where it lies."""
    from clean_corpus.pipeline.core.locations import parse_location

    counted = ", ".join(f"{side} {found['clips']}" for side, found in summary["sides"].items())
    clips = summary["clips"]
    state = "" if summary["changed"] else "nothing has changed: "
    console.print(f"{state}{clips['clips']} clips, {clips['hours']:.2f} h, {summary['sample_rate']} Hz: {counted}")
    for why, found in summary["left_out"].items():
        console.print(f"left out: {found['clips']} clips, {found['hours']:.2f} h, {why}")
    for remark in summary["remarks"]:
        console.print(remark)
    print(f"export for {summary['layout']}: {shown(parse_location(summary['to']))}")
