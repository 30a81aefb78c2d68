"""The commands `vocode` and `compare`: speech from a trained vocoder, and vocoders of several versions of a corpus."""

from typing import TYPE_CHECKING, Annotated

import typer

from clean_corpus.flows.cli.console import console, ended_by_signals, print_end_of_folder, shown
from clean_corpus.flows.cli.options import TrainingConfigFile
from clean_corpus.flows.cli.settings import read_yaml, workers_or_cores
from clean_corpus.flows.cli.train import training_process
from clean_corpus.pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from clean_corpus.flows.compare_config import CompareConfig
    from clean_corpus.pipeline.core.locations import Location


def vocode(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="MEL_OR_AUDIO...", help="recordings, folders of them, or saved frames; s3:// too"),
    ],
    checkpoint: Annotated[
        str, typer.Option(help="--out of train-vocoder, a .safetensors file of it, or a shipped voice; s3:// too")
    ],
    out: Annotated[str, typer.Option(help="folder for NAME.wav, or s3://")],
    seed: Annotated[int, typer.Option(help="of what is drawn; the same one gives the same speech")] = 0,
    speaker: Annotated[str | None, typer.Option(help="whose voice, if the vocoder knows several")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="utterances side by side; default: 32 a thread, 1024 on a GPU")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="default: one per core")] = None,
    voiced_temperature: Annotated[
        float | None,
        typer.Option(
            min=0.05,
            max=1,
            help="of draws in voiced frames: below 1 for a voice less hoarse; default: the card's, or 1",
        ),
    ] = None,
    equaliser_ms: Annotated[
        float | None,
        typer.Option(min=0, help="over which speech gets its frames' energies; 0: never; default: the card's, or 0"),
    ] = None,
    score: Annotated[bool, typer.Option("--score", help="also how near the copy of each recording came to it")] = False,
) -> None:
    """Speak recordings or log-mel frames with a trained vocoder (extra `vocoder`)."""
    from clean_corpus.flows.commands import vocode as command
    from clean_corpus.pipeline.core.locations import parse_location

    with ended_by_signals("interrupted; nothing was written"):
        count, failed = command.vocode(
            [parse_location(source) for source in sources], parse_location(checkpoint), parse_location(out), console,
            seed=seed, speaker=speaker, batch_size=batch_size, threads=workers_or_cores(threads),
            voiced_temperature=voiced_temperature, equaliser_ms=equaliser_ms, score=score,
        )  # fmt: skip
    print_end_of_folder(sources[0], "spoken", count, failed)


def compare(
    sets: Annotated[
        list[str],
        typer.Option("--set", metavar="NAME=SHARDS", help="a version of the corpus; gains are over the first one's"),
    ],
    out: Annotated[
        str, typer.Option(help="folder for trainings, speech and report, or s3://; continues what lies there")
    ],
    budget: Annotated[
        float | None,
        typer.Option("--budget-minutes", min=0.01, help="of each training; all do as many updates, counted out before"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="trainings of each set, each with another seed; default: 1, published: 3")
    ] = None,
    aa: Annotated[
        bool, typer.Option("--aa", help="train the clean set, or else the first, once more: how much chance alone does")
    ] = False,
    config: TrainingConfigFile = None,
    force: Annotated[bool, typer.Option("--force", help="compare less than ten minutes of audio too")] = False,
    settings: Annotated[
        list[str], typer.Option("--setting", help="one setting, for example vocoder.sizes.layers=20")
    ] = [],  # noqa: B006
) -> None:
    """Train one vocoder per version of a corpus, all else equal, and report what each sounds like (extra `vocoder`)."""
    from clean_corpus.flows import local_server

    shards = _shards_by_set(sets)

    def prepare() -> tuple["Location", "CompareConfig"]:
        from clean_corpus.flows.compare_vocoders import CompareConfig
        from clean_corpus.pipeline.core.config_input import override, validate
        from clean_corpus.pipeline.core.locations import parse_location

        data = read_yaml(config)
        given = {"vocoder.budget_min": budget, "seeds": seeds, "aa": aa or None}
        data = override(data, [f"{name}={value}" for name, value in given.items() if value])
        return parse_location(out), validate(CompareConfig, override(data, settings))

    with training_process(), local_server.server(prepare) as (folder, configuration):
        from clean_corpus.flows import compare_vocoders as flow

        page = flow.compare_vocoders(shards, folder, configuration, force)
    from clean_corpus.pipeline.core.config import DEFAULT_S3
    from clean_corpus.pipeline.storage import open_store

    print(open_store(folder, DEFAULT_S3).read("verdict.txt").decode(), end="")
    print(f"report: {shown(page)}")


def _shards_by_set(options: list[str]) -> dict[str, list[str]]:
    """Return the locations of shards by the name of their set, from options NAME=LOCATION[,LOCATION].

    Raises: ConfigError for an option of another form, or a name given twice.
    """
    shards: dict[str, list[str]] = {}
    for option in options:
        name, equals, locations = option.partition("=")
        if not (name and equals and locations):
            raise ConfigError(f"--set {option}: write NAME=SHARDS, NAME of letters, digits, - and _")
        if name in shards:
            raise ConfigError(f"--set {option}: {name} was given before; separate several places by commas")
        shards[name] = locations.split(",")
    return shards
