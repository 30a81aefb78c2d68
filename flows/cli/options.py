"""Options that several commands share."""

from typing import Annotated

import typer

Settings = Annotated[list[str], typer.Option("--set", help="one setting, for example gate.dnsmos_ovrl_min=2.8")]
ConfigFile = Annotated[
    str | None, typer.Option("--config", help="YAML with the sections of docs/SETTINGS.md, local or s3://")
]
TrainingConfigFile = Annotated[str | None, typer.Option("--config", help="YAML of settings, local or s3://")]
EnhancerName = Annotated[
    str | None,
    typer.Option("--enhancer", help="shipped name, path of trained .safetensors, or s3://; for run also none"),
]
UpperBandName = Annotated[
    str | None,
    typer.Option("--upper-band", help="what treats the band above 8 kHz: full-band weights, or extrapolated"),
]
LAYOUTS = "piper, f5-tts, xtts, vits, styletts2, gpt-sovits, cosyvoice, ljspeech, hf, lhotse, lhotse-shar, nemo, kaldi"
LayoutName = Annotated[str, typer.Option("--for", metavar="NAME", help=f"reader of the export: {LAYOUTS}")]
RunLayoutName = Annotated[
    str | None,
    typer.Option("--for", metavar="NAME", help=f"set rate and lengths for a trainer, and export for it: {LAYOUTS}"),
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="worker processes; default: one per core")]
TrainingOut = Annotated[
    str, typer.Option(help="folder for checkpoints, curves and weights, or s3://; continues what lies there")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON list on standard output")]

Distillmos = Annotated[
    bool, typer.Option("--distillmos", help="also score naturalness by DistillMOS (extra `distillmos`); slow")
]
