"""The commands `models` and `export-onnx`: what enhancement systems there are, and one of them as an ONNX file."""

import json
from typing import Annotated

import typer

from clean_corpus.enhancers.checkpoints import EXTRAPOLATED
from clean_corpus.flows.cli.options import AsJson
from clean_corpus.pipeline.core.errors import ConfigError

LOW_RATE, FULL_RATE = 16000, 48000
LIVE_UPPER_BAND = "full-band-causal"
HEADS = ("name", "paper", "parameters", "MFMA/s", "look-ahead", "shipped")


def models(as_json: AsJson = False) -> None:
    """List the enhancement systems: paper, size, work per second of audio, delay, shipped weights."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from clean_corpus.enhancers.catalogue import PAPERS, describe_all
    from clean_corpus.flows.observe.tables import print_table

    rows = describe_all()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(*HEADS, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in rows:
        delay = "all" if row["lookahead_ms"] is None else f"{row['lookahead_ms']:g} ms"
        work = f"{row['fma_per_s'] / 1e6:,.0f}" if row["fma_per_s"] else ""
        parameters = f"{row['parameters']:,}" if row["parameters"] else ""
        table.add_row(row["name"], row["paper"], parameters, work, delay, ", ".join(row["weights"]))
    print_table(table)
    out = Console()
    out.print("papers: " + "; ".join(f"{paper} {about}" for paper, about in PAPERS.items()))
    out.print("MFMA/s: million fused multiply-adds per second of audio; look-ahead `all`: the whole signal is needed")
    out.print("look-ahead is that of live use: of a file, systems at `level` rms (--json) hear the whole's RMS first")
    for remark in (f"{name}: {remark}" for row in rows for name, remark in row["remarks"].items()):
        out.print(remark, highlight=False)


def export_onnx(
    name: Annotated[str, typer.Argument(help="shipped name, or path of trained .safetensors, or s3://")],
    output: Annotated[str, typer.Argument(metavar="OUT.onnx", help="file to write, local or s3://")],
    streaming: Annotated[
        bool, typer.Option("--streaming", help="a hop of samples and state in, the same out: for live audio")
    ] = False,
    sample_rate: Annotated[
        int, typer.Option(help="16000, or 48000 to clean what lies above 8 kHz as well; in Hz")
    ] = LOW_RATE,
    upper_band: Annotated[
        str | None,
        typer.Option(help=f"weights for the band above 8 kHz, as NAME; default at 48000: {LIVE_UPPER_BAND}"),
    ] = None,
) -> None:
    """Write trained weights as an ONNX file, and check it with onnxruntime (extra `onnx`)."""
    if not streaming:
        raise ConfigError("export-onnx writes files that run hop by hop; add --streaming")
    _check_rate(sample_rate, upper_band)
    from clean_corpus.enhancers.serving.onnx_export import export_streaming
    from clean_corpus.flows import download_cache
    from clean_corpus.pipeline.core.locations import parse_location
    from clean_corpus.pipeline.storage import staging

    with staging.output_file(parse_location(output)) as path:
        from clean_corpus.enhancers.serving.enhancer import load_enhancer
        from clean_corpus.enhancers.serving.upper_band import UpperBand

        upper = None
        if sample_rate == FULL_RATE:
            upper = UpperBand.load(download_cache.weights(upper_band or LIVE_UPPER_BAND))
        export_streaming(load_enhancer(download_cache.weights(name)), path, upper=upper)
    print(f"written and checked: {output}")


def _check_rate(sample_rate: int, upper_band: str | None) -> None:
    """Refuse a rate at which live audio is not cleaned, and an upper band that it does not have."""
    if sample_rate not in (LOW_RATE, FULL_RATE):
        raise ConfigError(f"--sample-rate {sample_rate}: live audio is cleaned at {LOW_RATE} or {FULL_RATE} Hz")
    if upper_band and sample_rate == LOW_RATE:
        raise ConfigError(
            f"--upper-band {upper_band}: at {LOW_RATE} Hz nothing lies above 8 kHz; add --sample-rate {FULL_RATE}"
        )
    if upper_band == EXTRAPOLATED:
        raise ConfigError(f"--upper-band {EXTRAPOLATED}: live audio needs a network there, such as {LIVE_UPPER_BAND}")
