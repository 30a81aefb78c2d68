"""Commands over a folder of recordings, without a flow: `enhance`, `score`, `yield`, `demo`."""

import json
from typing import Annotated

import typer

from clean_corpus.flows.cli.console import console, ended_by_signals, print_end_of_folder
from clean_corpus.flows.cli.options import ConfigFile, Distillmos, EnhancerName, Settings, UpperBandName, Workers
from clean_corpus.flows.cli.settings import run_config, workers_or_share


def enhance(
    source: Annotated[str, typer.Argument(metavar="IN_DIR", help="folder of recordings, any rate, or s3://")],
    output: Annotated[str, typer.Argument(metavar="OUT_DIR", help="same tree, same names, WAV, or s3://")],
    enhancer: EnhancerName = None,
    sample_rate: Annotated[
        int | None, typer.Option(min=8000, max=192000, help="of all files, Hz; default: each recording's own")
    ] = None,
    upper_band: UpperBandName = None,
    keep_channels: Annotated[
        bool, typer.Option("--keep-channels", help="enhance each channel alone; default: to mono, as a run")
    ] = False,
    workers: Workers = None,
) -> None:
    """Denoise a folder and nothing else: every recording becomes a WAV of its name and rate. Starts no server."""
    from clean_corpus.enhancers import checkpoints
    from clean_corpus.flows import download_cache
    from clean_corpus.flows.commands.enhance_folder import enhance_folder
    from clean_corpus.pipeline.core.locations import parse_location

    with ended_by_signals("interrupted; written files are whole"):
        name = download_cache.weights(enhancer or checkpoints.DEFAULT)
        count, failed = enhance_folder(
            parse_location(source),
            parse_location(output),
            name,
            workers_or_share(workers),
            console,
            upper_band=download_cache.upper_band(name, upper_band),
            sample_rate=sample_rate,
            keep_channels=keep_channels,
        )
    print_end_of_folder(source, "enhanced", count, failed)


def score(
    source: Annotated[str, typer.Argument(metavar="DIR", help="folder of recordings, or s3://")],
    clean: Annotated[
        str | None,
        typer.Option(help="folder of the same recordings without noise, or s3://: adds PESQ, STOI, SI-SDR"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on standard output")] = False,
    distillmos: Distillmos = False,
    workers: Workers = None,
) -> None:
    """Score the recordings of a folder as a run would publish them: DNSMOS, SNR, clipping, bandwidth, speech, loudness.

    Starts no server.
    """
    from rich.table import Table

    from clean_corpus.flows.commands.score_folder import means, score_folder
    from clean_corpus.flows.observe.tables import print_table
    from clean_corpus.pipeline.core.config import ScoreConfig
    from clean_corpus.pipeline.core.locations import parse_location

    with ended_by_signals("interrupted"):
        clean_folder = parse_location(clean) if clean else None
        config = ScoreConfig(distillmos=distillmos)
        scores, failed = score_folder(parse_location(source), clean_folder, workers_or_share(workers), console, config)
    mean_scores = means(scores)
    if as_json:
        print(json.dumps({"files": scores, "mean": mean_scores, "failed": failed}, indent=2, sort_keys=True))
    else:
        table = Table("score", "mean", "files")
        for name, (mean, count) in mean_scores.items():
            table.add_row(name, f"{mean:.4g}", str(count))
        print_table(table)
    print_end_of_folder(source, "scored", len(scores), failed)


def yield_(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="folder of recordings, or s3://")],
    sample: Annotated[int, typer.Option(min=1, help="recordings to score, drawn with a fixed seed")] = 200,
    plot: Annotated[str, typer.Option(help="where the curves go, .png or .svg, local or s3://")] = "yield.png",
    config: ConfigFile = None,
    settings: Settings = [],  # noqa: B006 - typer copies it
    workers: Workers = None,
) -> None:
    """Hours kept against threshold for each score, from a sample of the raw recordings: before any enhancement."""
    from rich.table import Table

    from clean_corpus.flows.commands.yield_curve import yield_curve
    from clean_corpus.flows.observe.tables import print_table
    from clean_corpus.pipeline.core.locations import parse_location
    from clean_corpus.pipeline.storage import staging

    image = parse_location(plot)
    configuration = run_config(source, str(image.parent), config, None, settings, workers)
    with ended_by_signals("interrupted"), staging.output_file(image) as path:
        curve = yield_curve(sample, path, configuration, console)
    table = Table("score", "threshold", "hours kept", "share", title=curve.title)
    for row in curve.rows:
        table.add_row(row.score, f"{row.threshold:.4g}", f"{row.hours:.3g}", f"{row.share:.0%}")
    print_table(table)
    print(f"plot: {plot}")


def demo(
    output: Annotated[
        str, typer.Argument(metavar="OUT_DIR", help="folder for about 40 generated recordings, or s3://")
    ],
    clips: Annotated[int, typer.Option(min=1)] = 41,
    seed: Annotated[int, typer.Option(help="same seed, same bytes")] = 0,
) -> None:
    """Write a corpus of generated speech in generated rooms and noise, to try everything on (extra `demo`)."""
    from clean_corpus.pipeline.core.locations import parse_location
    from clean_corpus.pipeline.demo.corpus import write_corpus
    from clean_corpus.pipeline.storage import staging

    with staging.output_folder(parse_location(output)) as folder:
        write_corpus(folder, clips=clips, seed=seed)
    console.print(f"demo corpus: {output}")
