"""The commands `models` and `export-onnx`: what enhancement systems there are, and one of them as an ONNX file."""

import json
from typing import Annotated

import typer

from clean_corpus.flows.cli.options import AsJson
from clean_corpus.pipeline.core.errors import ConfigError

HEADS = ("name", "paper", "parameters", "MFMA/s", "look-ahead", "shipped")


def models(as_json: AsJson = False) -> None:
    """List the enhancement systems: paper, size, work per second of audio, delay, shipped weights."""
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table

    from clean_corpus.enhancers.catalogue import PAPERS, describe_all

    rows = describe_all()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(*(Column(head, no_wrap=True) for head in HEADS), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in rows:
        delay = "all" if row["lookahead_ms"] is None else f"{row['lookahead_ms']:g} ms"
        work = f"{row['fma_per_s'] / 1e6:,.0f}" if row["fma_per_s"] else ""
        parameters = f"{row['parameters']:,}" if row["parameters"] else ""
        table.add_row(row["name"], row["paper"], parameters, work, delay, ", ".join(row["weights"]))
    out = Console()
    out.print(table)
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
) -> None:
    """Write trained weights as an ONNX file, and check it with onnxruntime (extra `onnx`)."""
    if not streaming:
        raise ConfigError("export-onnx writes files that run hop by hop; add --streaming")
    from clean_corpus.enhancers.serving.onnx_export import export_streaming
    from clean_corpus.flows import download_cache
    from clean_corpus.pipeline.core.locations import parse_location
    from clean_corpus.pipeline.storage import staging

    with staging.output_file(parse_location(output)) as path:
        from clean_corpus.enhancers.serving.enhancer import load_enhancer

        export_streaming(load_enhancer(download_cache.weights(name)), path)
    print(f"written and checked: {output}")
