"""The command `forget`: clips taken out of every version of a corpus, and kept out of later runs."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from clean_corpus.flows.cli.console import console, one_line
from clean_corpus.flows.cli.versions import BucketSettings, OutputArgument, open_output
from clean_corpus.pipeline.core.errors import ConfigError

if TYPE_CHECKING:
    from clean_corpus.flows.commands.forget import Completed, Selection
    from clean_corpus.pipeline.storage.base import Store

SHOWN = 10  # names of recordings, of those that were asked for and of their copies


def forget(
    output: OutputArgument,
    speakers: Annotated[
        list[str], typer.Option("--speaker", help="all recordings with this label, also those that are still to come")
    ] = [],  # noqa: B006
    sources: Annotated[
        list[str], typer.Option("--source", help="pattern of the ledger's column source: * and ? match / too, [ is a [")
    ] = [],  # noqa: B006
    listed: Annotated[
        str | None, typer.Option("--list", help="file with a source a line, UTF-8, local or s3://")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="stored with it, such as a ticket's number")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what it would take")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    allow_unmatched: Annotated[
        bool, typer.Option("--allow-unmatched", help="what matches nothing is kept out of later runs all the same")
    ] = False,
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Take clips out of every version, tar, ledger, report and cache, and keep them out of later runs.

    Everything that --speaker, --source or --list names goes, and what holds the same audio. Without any of them what
    an earlier command left is completed.
    """
    from clean_corpus.flows.commands import forget as command
    from clean_corpus.pipeline.corpus.forget_selection import Asked

    store, _ = open_output(output, settings)
    asked = Asked(tuple(speakers), tuple(sources), _read_list(listed))
    if not asked:
        _print_completed(store, command.complete_alone(store))
        return
    if dry_run:
        _print_selection(command.plan(store, asked, allow_unmatched=allow_unmatched))
        _print_remark(store)
        return

    def confirm(selection: "Selection") -> None:
        _print_selection(selection)
        if yes:
            return
        if not _has_terminal():
            raise ConfigError("forget: there is no terminal to ask on; give --yes, or --dry-run to change nothing")
        typer.confirm("forget them for good?", abort=True, err=True)

    ended = command.forget(store, asked, reference=reference, allow_unmatched=allow_unmatched, confirm=confirm)
    print(f"request: {ended.request.id}")
    if ended.done is None:
        console.print(f"asked for before, on {ended.request.made[:10]}; nothing that it covers is left")
        return
    _print_completed(store, ended.done)


def _has_terminal() -> bool:
    return sys.stdin.isatty()


def _read_list(name: str | None) -> dict[str, int]:
    from clean_corpus.pipeline.core.locations import parse_location
    from clean_corpus.pipeline.corpus.forget_selection import read_list
    from clean_corpus.pipeline.storage import staging

    if name is None:
        return {}
    try:
        with staging.local_input(parse_location(name)) as path:
            return read_list(path.read_bytes(), f"--list {name}")
    except OSError as error:
        raise ConfigError(f"--list {name}: {error.strerror}") from None


def _print_selection(selection: "Selection") -> None:
    request = selection.request
    length = f"{request.seconds / 3600:.2f} h ({request.seconds:.1f} s)"
    print(f"{request.clips} clips of {request.recordings} recordings, {length}")
    _print_names(selection.named)
    if copies := len(selection.copies):
        print(f"{copies} recordings of these nobody named: they hold the same audio, or have the same name")
        _print_names(selection.copies)
    if selection.labels:
        print(one_line(f"speakers: {', '.join(selection.labels)}"))


def _print_names(names: Sequence[str]) -> None:
    for name in names[:SHOWN]:
        print(f"  {one_line(name)}")
    if len(names) > SHOWN:
        print(f"  and {len(names) - SHOWN} more")


def _print_completed(store: "Store", done: "Completed | None") -> None:
    if done is None:
        raise ConfigError("forget: name what to forget with --speaker, --source or --list; nothing is left to complete")
    if done.made:
        first, last = done.made[0].version, done.made[-1].version
        console.print(f"versions {first} to {last} stand for those before" if last > first else f"version: {last}")
    for what, counts in (("dropped", done.swept.dropped), ("written anew", done.swept.rewritten)):
        if counts:
            console.print(f"{what}: {', '.join(f'{folder} {count}' for folder, count in sorted(counts.items()))}")
    if done.swept.exports:
        gone = ", ".join(done.swept.exports)
        console.print(f"exports below OUTPUT are gone, export again: {gone}")
    for key in done.swept.unknown:
        console.print(f"cannot be looked into, left as it is: {one_line(key)}")
    _print_remark(store)


def _print_remark(store: "Store") -> None:
    if remark := store.remark_on_deletions():
        console.print(f"remark: {remark}")
