"""Commands over the versions of a corpus: `versions`, `diff`, `rollback`, `verify`, `gc`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clean_corpus.flows.cli.console import console, one_line
from clean_corpus.flows.cli.options import AsJson
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError

if TYPE_CHECKING:
    from clean_corpus.pipeline.core.config import S3Config
    from clean_corpus.pipeline.storage.base import Store

OutputArgument = Annotated[str, typer.Argument(metavar="OUTPUT", help="of a run: a folder or s3://")]
BucketSettings = Annotated[list[str], typer.Option("--set", help="of buckets, for example s3.endpoint_url=http://...")]
HEADS = ("version", "made", "kept", "rejected", "failed", "hours", "enhancer")


def versions(output: OutputArgument, as_json: AsJson = False, settings: BucketSettings = []) -> None:  # noqa: B006
    """List the versions of a corpus, the newest last."""
    from rich import box
    from rich.table import Table

    from clean_corpus.flows.observe.tables import print_table
    from clean_corpus.pipeline.corpus import versions

    store, _ = open_output(output, settings)
    manifests = [versions.read(store, number) for number in versions.numbers(store)]
    if as_json:
        fields = {"version", "made", "again", "rewrites", "run"}
        print(json.dumps([manifest.model_dump(mode="json", include=fields) for manifest in manifests]))
        return
    table = Table(*HEADS, box=box.SIMPLE, padding=(0, 1))
    for manifest in manifests:
        number = str(manifest.version)
        number += f" ({manifest.again} again)" if manifest.again else ""
        number += f" (was {manifest.rewrites})" if manifest.rewrites else ""
        counts = [str(manifest.run["counts"][end]) for end in ("kept", "rejected", "failed")]
        hours = f"{manifest.run['seconds']['kept'] / 3600:.2f}"
        table.add_row(number, manifest.made[:16].replace("T", " "), *counts, hours, manifest.run["enhancer"])
    print_table(table)


def diff(
    output: OutputArgument,
    earlier: Annotated[int, typer.Argument(metavar="A", min=1)],
    later: Annotated[int, typer.Argument(metavar="B", min=1)],
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Say what changed from version A to B: clips new, gone, or with another end, audio, text, speaker, review ..."""
    from clean_corpus.pipeline.corpus import versions
    from clean_corpus.pipeline.corpus.forgotten import PREFIX

    store, _ = open_output(output, settings)
    difference = versions.difference(store, versions.read(store, earlier), versions.read(store, later))
    for clip in difference.added:
        print(f"+ {clip}" + (", kept out: it is forgotten" if clip.startswith(PREFIX) else ""))
    for clip in difference.removed:
        print(f"- {clip}")
    for clip, before, after, other in difference.changed:
        print(f"~ {clip}: {before} -> {after}" if before != after else f"~ {clip}: {after}, other {other}")
    counts = len(difference.added), len(difference.removed), len(difference.changed)
    console.print("{} new, {} gone, {} changed".format(*counts))


def rollback(
    output: OutputArgument,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1)],
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Make an old version the newest again, as a version of its own, with its report; nothing is taken away."""
    from clean_corpus.flows.commands import rollback as command

    store, _ = open_output(output, settings)
    print(f"version: {command.rollback(store, version).version}")


def verify(
    output: OutputArgument,
    version: Annotated[int | None, typer.Option(min=1, help="default: all that are there")] = None,
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Hash every tar and ledger of the versions anew, and look for what is forgotten in everything that lies there."""
    from clean_corpus.flows.observe import progress
    from clean_corpus.pipeline.corpus import forget, forgotten, versions

    store, _ = open_output(output, settings)
    chosen = [version] if version else versions.numbers(store)
    if not chosen:
        raise ConfigError(f"OUTPUT {output}: there is no version; `clean-corpus run` makes one")
    manifests = [versions.read(store, number) for number in chosen]
    objects = {named for manifest in manifests for named in manifest.objects}
    wrong = 0
    with progress.stage(console, "verify", len(objects), "objects") as advance:
        for key, problem in versions.verify(store, manifests):
            if problem:
                wrong += 1
                console.print(one_line(f"{key} {problem}"))
            else:
                advance()
    opaque: list[str] = []
    for key, problem in forget.check(store):
        if problem is None:
            opaque.append(key)
        elif problem:
            wrong += 1
            console.print(one_line(f"{key} {problem}"))
    if opaque:
        words = (
            f"cannot be looked into for what is forgotten: {len(opaque)} objects, the first is {one_line(opaque[0])}"
        )
        console.print(words)
    if forgotten.load(store) and (remark := store.remark_on_deletions()):
        console.print(f"remark: {remark}")
    console.print(f"{len(manifests)} versions, {len(objects)} objects, {wrong} wrong")
    if wrong:
        raise CleanCorpusError(
            f"OUTPUT {output}: {wrong} objects are not what was written, or hold what is forgotten; run again, roll "
            "back, or forget again"
        )


def gc(
    output: OutputArgument,
    keep: Annotated[int, typer.Option(min=1, help="versions that stay, the newest")],
    work: Annotated[bool, typer.Option("--work", help="also empty work/: the next run has all to do anew")] = False,
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Drop old versions and the tars that no other version names."""
    from clean_corpus.flows.commands.forget import complete
    from clean_corpus.pipeline.corpus import collection

    store, _ = open_output(output, settings)
    store.prepare()
    with store.only_run():
        complete(store)
        dropped = list(collection.gc(store, keep))
        if work:
            dropped += collection.empty_work(store)
    for key in dropped:
        print(key)
    console.print(f"{len(dropped)} objects dropped")


def open_output(output: str, settings: list[str]) -> tuple["Store", "S3Config"]:
    """Return the store of a run's output, and the settings of its bucket.

    Raises: ConfigError if there is no such folder, or for a setting that cannot be.
    """
    from clean_corpus.pipeline.core.config import PipelineConfig
    from clean_corpus.pipeline.core.config_input import override, validate
    from clean_corpus.pipeline.core.locations import parse_location
    from clean_corpus.pipeline.storage import open_store

    if isinstance(location := parse_location(output), Path) and not location.is_dir():
        raise ConfigError(f"OUTPUT {output}: no such folder")
    s3 = validate(PipelineConfig, override({}, settings)).s3
    return open_store(location, s3), s3
