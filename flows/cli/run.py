"""The command `run`: a folder of recordings cleaned by the flow, on a Prefect server of its own."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from clean_corpus.flows.cli.console import console, ended_by_signals, shown
from clean_corpus.flows.cli.export import print_export
from clean_corpus.flows.cli.options import ConfigFile, EnhancerName, RunLayoutName, Settings, Workers
from clean_corpus.flows.cli.settings import run_config
from clean_corpus.flows.cli.vocoder import compare
from clean_corpus.pipeline.core.errors import CleanCorpusError
from clean_corpus.pipeline.core.surroundings import RUN_BYTES, require_memory

if TYPE_CHECKING:
    from clean_corpus.flows.config import RunConfig

VARIANTS = {"raw": "variants/raw", "enhanced": "variants/enhanced", "gated": "shards"}  # sets of --compare by name


def run(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="folder of recordings, any depth, or s3://")],
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="folder for shards, ledger and report, or s3://")],
    config: ConfigFile = None,
    enhancer: EnhancerName = None,
    settings: Settings = [],  # noqa: B006 - typer copies it
    workers: Workers = None,
    layout: RunLayoutName = None,
    compare_minutes: Annotated[
        float | None,
        typer.Option("--compare", min=0.01, help="then train a vocoder each on raw, enhanced and gated: minutes each"),
    ] = None,
) -> None:
    """Clean a folder of recordings: shards, ledger and report. Run it again to continue or after a change."""
    from clean_corpus.flows import checks, local_server, unchanged
    from clean_corpus.pipeline.export.config import conflicts

    if layout:
        settings = [f"export.layout={layout}", *settings]
    if compare_minutes:
        settings = [*settings, "variants=true"]
    configuration = run_config(source, output, config, enhancer, settings, workers)
    checks.check(configuration)
    local_server.require_server()
    checks.prepared_store(configuration)
    for conflict in conflicts(configuration.export, configuration.segment, configuration.text):
        console.print(conflict)
    if configuration.engine.kind == "local":
        require_memory(RUN_BYTES)
    again = "interrupted; finished work is kept: run the same command again to continue"
    with ended_by_signals(again):
        console.print("starting")
        summary = unchanged.rerun(configuration) or _flow(configuration)
    _print_summary(summary)
    counts = summary["counts"]
    if counts["kept"] + counts["rejected"] == 0:
        raise CleanCorpusError(f"nothing could be read in {source}: {counts['in']} files, {counts['failed']} failed")
    if compare_minutes:
        sets = [f"{name}={configuration.output}/{folder}" for name, folder in VARIANTS.items()]
        compare(sets, str(configuration.output / "comparison"), budget=compare_minutes)


def _flow(configuration: "RunConfig") -> dict[str, Any]:
    """Run the flow, on a Prefect server of its own unless another is given; return what run.json says."""
    from clean_corpus.flows import local_server

    local_server.configure()
    with local_server.server(prepare=lambda: _prepare(configuration)):
        from clean_corpus.flows.clean_corpus import clean_corpus

        return clean_corpus(configuration)


def _prepare(configuration: "RunConfig") -> None:
    """Import what the flow and its workers need, while the server starts."""
    if configuration.engine.kind == "local":
        from clean_corpus.flows.engines.local import warm_up

        warm_up()
    import clean_corpus.flows.clean_corpus  # noqa: F401


def _print_summary(summary: dict[str, Any]) -> None:
    from rich.table import Table

    from clean_corpus.pipeline.core.locations import parse_location

    counts, seconds = summary["counts"], summary["seconds"]
    title = f"{counts['in']} clips in {summary['wall_s']} s: version {summary['version']}"
    table = Table("end", "clips", "minutes", title=title)
    for end in ("kept", "rejected", "failed"):
        table.add_row(end, str(counts[end]), f"{seconds[end] / 60:.1f}")
    for reason, part in summary["reasons"].items():
        table.add_row(f"  {reason}", str(part["clips"]), f"{part['seconds'] / 60:.1f}")
    console.print(table)
    stages = Table("stage", "worker seconds", "done", "reused")
    for stage in summary["stages"]:
        stages.add_row(stage["name"], f"{stage['seconds']:.1f}", str(stage["done"]), str(stage["reused"]))
    console.print(stages)
    if count := summary["textless"]:
        console.print(
            f"{count} kept clips were cut from a recording, and nobody knows what of its text is theirs: their text is "
            "empty, the recording's is in recording_text; time stamps, or an aligner (text.aligner), may tell"
        )
    if count := summary.get("trained_on"):
        console.print(
            f"{count} of the recordings are among those that {summary['enhancer']} was trained on: what it gains on "
            "them says little of others"
        )
    print(f"report: {shown(parse_location(summary['output']))}/report/index.html")
    if "export" in summary:
        print_export(summary["export"])
