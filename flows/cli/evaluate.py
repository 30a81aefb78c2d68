"""The command `evaluate`: enhancement systems compared on noisy/clean pairs."""

from typing import Annotated

import typer

from clean_corpus.flows.cli.console import console, ended_by_signals, print_failures
from clean_corpus.flows.cli.options import Distillmos, Workers
from clean_corpus.flows.cli.settings import workers_or_cores


def evaluate(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="shipped names, or paths of .safetensors, or s3://")
    ],
    pairs: Annotated[str, typer.Option(help="folder with noisy/ and clean/ WAVs of the same names, or s3://")],
    out: Annotated[str, typer.Option(help="folder for the tables and plots, or s3://")],
    trained_speakers: Annotated[
        str | None,
        typer.Option(
            help="text file of speakers that training heard, or s3://, to compare by; a pair's is its name up to - or _"
        ),
    ] = None,
    trained_noises: Annotated[
        str | None, typer.Option(help="text file of noise classes that training heard, or s3://, to compare by")
    ] = None,
    distillmos: Distillmos = False,
    workers: Workers = None,
) -> None:
    """Compare systems on noisy/clean pairs: 18 measures per SNR and noise class, intervals and tests."""
    from clean_corpus.flows.commands import evaluate as command
    from clean_corpus.pipeline.core.locations import parse_location

    with ended_by_signals("interrupted; run the same command again to start over"):
        report, failed = command.evaluate(
            names,
            parse_location(pairs),
            parse_location(out),
            workers_or_cores(workers),
            console,
            distillmos,
            *(parse_location(name) if name else None for name in (trained_speakers, trained_noises)),
        )
    print_failures(failed)
    print(f"report: {report}")
