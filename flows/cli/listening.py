"""The commands `listening-test` and `listening-results`: a blind test for people, and what they heard."""

from contextlib import ExitStack, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clean_corpus.flows.cli.console import console
from clean_corpus.pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from clean_corpus.pipeline.core.locations import Location


class Mode(StrEnum):
    """The question that listeners answer."""

    acr = "acr"
    ab = "ab"
    mushra = "mushra"


Source = Annotated[
    str,
    typer.Argument(
        metavar="DIR",
        help="--out of compare, or a folder per system: DIR/SYSTEM/UTTERANCE.wav, same names in each; s3:// too",
    ),
]
ModeOption = Annotated[
    Mode, typer.Option(help="acr: naturalness 1 to 5; ab: which of two is better; mushra: sliders 0 to 100")
]
PerSystem = Annotated[
    int | None, typer.Option(min=1, help="utterances drawn, the same for all; default: all that every system has")
]
Reference = Annotated[
    str | None, typer.Option(help="the system that others are compared with; in mushra also the hidden reference")
]
KeyFile = Annotated[
    str | None,
    typer.Option(
        help="where the key goes, outside --out, or s3://; default: NAME.key.json beside --out, if that is local"
    ),
]


def listening_test(
    source: Source,
    out: Annotated[str, typer.Option(help="folder for the page, to be given to listeners, or s3://")],
    mode: ModeOption = Mode.acr,
    seed: Annotated[int, typer.Option(help="same recordings, settings and seed: same bytes, same orders")] = 0,
    per_system: PerSystem = None,
    reference: Reference = None,
    key: KeyFile = None,
    traps: Annotated[
        int, typer.Option(min=0, help="clips that ask for a number by beeps, to find who does not listen")
    ] = 2,
    headphones: Annotated[bool, typer.Option(help="check for headphones by three tones, one in antiphase")] = True,
    title: Annotated[str, typer.Option(help="what listeners see on top; must not name a system")] = "Listening test",
) -> None:
    """Make a blind listening test: one folder with a page that needs no server, and a key that stays with you."""
    from clean_corpus.flows.commands import listening
    from clean_corpus.pipeline.core.locations import parse_location
    from clean_corpus.pipeline.storage import staging

    page_folder, secret = parse_location(out), parse_location(key) if key else None
    _refuse_exposed_key(page_folder, secret)
    with (
        staging.local_input(parse_location(source)) as systems,
        staging.output_folder(page_folder) as folder,
        staging.output_file(secret) if secret else nullcontext() as key_file,  # sent first: no page without its key
    ):
        written = listening.listening_test(
            systems, folder, console,
            mode=mode.value, seed=seed, per_system=per_system, reference=reference, key=key_file, traps=traps,
            headphones=headphones, title=title,
        )  # fmt: skip
    console.print(f"key, not for listeners: {secret or written.key}", markup=False, soft_wrap=True)
    print(f"page: {page_folder / written.page.name}")


def _refuse_exposed_key(out: "Location", key: "Location | None") -> None:
    """Raises: ConfigError if there is no place for the key, or listeners would get it."""
    from clean_corpus.pipeline.core.locations import S3Folder

    if key is None and not isinstance(out, Path):
        raise ConfigError(f"--out {out}: with a page in a bucket, --key FILE says where its key goes")
    if isinstance(key, S3Folder) and f"{key}/".startswith(f"{out}/"):
        raise ConfigError(f"--key {key} lies in --out {out}, which listeners get; choose a place outside it")


def listening_results(
    exports: Annotated[
        list[str],
        typer.Argument(metavar="CSV...", help="what listeners saved, CSV or JSON, one or many a file; s3:// too"),
    ],
    key: Annotated[str, typer.Option(help="NAME.key.json that listening-test wrote, local or s3://")],
    out: Annotated[str, typer.Option(help="folder for results.md, results.json and results.png, or s3://")],
    comparison: Annotated[
        str | None, typer.Option(metavar="DIR", help="--out of compare, whose report is to show what people heard")
    ] = None,
) -> None:
    """Opinions of listeners: screening, means with intervals, tests, a plot."""
    from clean_corpus.flows.commands import listening
    from clean_corpus.pipeline.core.locations import parse_location
    from clean_corpus.pipeline.storage import staging

    results_folder = parse_location(out)
    with ExitStack() as stack:
        saved = [stack.enter_context(staging.local_input(parse_location(export))) for export in exports]
        key_file = stack.enter_context(staging.local_input(parse_location(key)))
        folder = stack.enter_context(staging.output_folder(results_folder))
        path = listening.listening_results(saved, key_file, folder, console)
    print(f"results: {results_folder / path.name}")
    if comparison:
        print(f"report: {_show_in_comparison(results_folder, parse_location(comparison))}")


def _show_in_comparison(results: "Location", comparison: "Location") -> "Location":
    """Put results into the report of a comparison, wherever both lie; returns where its page lies."""
    from clean_corpus.flows import training_folder
    from clean_corpus.flows.commands import listening
    from clean_corpus.pipeline.core.locations import S3Folder
    from clean_corpus.pipeline.storage import staging

    bucket = isinstance(comparison, S3Folder)
    synced = training_folder.synced_folder(comparison, {"sets"}) if bucket else nullcontext(comparison)
    with staging.local_input(results) as local_results, synced as folder:
        page = listening.merge(local_results, folder)
    return training_folder.final_location(page, folder, comparison)
