"""The commands `review` and `decisions`: clips heard and decided over in a page, or by a file, and published."""

import getpass
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from clean_corpus.flows.cli.console import console
from clean_corpus.flows.cli.options import AsJson
from clean_corpus.flows.cli.versions import BucketSettings, OutputArgument, open_output

if TYPE_CHECKING:
    from clean_corpus.flows.commands.decisions import Standing
    from clean_corpus.pipeline.corpus.republish import Change

ReviewerName = Annotated[str | None, typer.Option("--by", help="who decides; default: the user of this machine")]


def reviewer(name: str | None) -> str:
    """Return who decides: the name that was given, or the user's."""
    try:
        return name or getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        return "unknown"


def review(
    output: OutputArgument,
    port: Annotated[int, typer.Option(min=0, max=65535, help="of this machine; 0: any that is free")] = 8765,
    by: ReviewerName = None,
    version: Annotated[int | None, typer.Option(min=1, help="default: the newest")] = None,
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Open a page on a version of a corpus, to hear its clips, decide over them, and publish: docs/review.md.

    Only this machine can reach it, by the address that is printed; Ctrl-C ends it. Decisions are stored at once.
    """
    from clean_corpus.flows.cli.console import ended_by_signals

    with ended_by_signals("review ended; what was decided is stored"):
        from clean_corpus.flows.review import server
        from clean_corpus.flows.review.corpus import Open

        store, s3 = open_output(output, settings)
        with server.listen(port) as listening:
            opened = Open(store, s3, reviewer(by), version)
            server.serve(opened, output, listening, lambda address: print(address, flush=True))


def decisions(
    output: OutputArgument,
    apply: Annotated[
        str | None,
        typer.Option(
            "--apply", metavar="FILE", help="store the decisions of these JSON lines, local or s3://, and publish"
        ),
    ] = None,
    publish: Annotated[bool, typer.Option("--publish", help="make a version with all that is pending")] = False,
    by: ReviewerName = None,
    as_json: AsJson = False,
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """List what people decided and the newest version lacks, with its effect in hours; --apply and --publish make one.

    A line of FILE is {"clip_id": ..., "what": "keep"}, and so on; docs/review.md has all of them.
    """
    from clean_corpus.flows.commands import decisions as command
    from clean_corpus.pipeline.core.locations import parse_location

    store, _ = open_output(output, settings)
    if apply:
        store.prepare()
        stored = command.add_file(store, parse_location(apply), by=reviewer(by))
        console.print(f"{len(stored)} decisions stored")
    standing = command.standing(store)
    if as_json:
        print(json.dumps([_record(change) for change in standing.pending.changes], ensure_ascii=False))
    else:
        for change in standing.pending.changes:
            print(_line(change))
    remark = console.print if as_json else print  # standard output is the JSON alone
    for line in _without_effect(standing):
        remark(line)
    remark(f"{len(standing.pending.changes)} pending, {standing.effect_s / 3600:+.4f} h kept")
    if (apply or publish) and (publish or standing.pending.changes):
        done = command.publish(store)
        for change in done.left:
            console.print(f"left as it is, its tars in work/ are gone: {change.old['clip_id']}")
        console.print(f"{len(done.applied)} clips changed")
        remark(f"version: {done.manifest.version}")


def _record(change: "Change") -> dict[str, object]:
    from clean_corpus.flows.commands.decisions import words_of

    old, new, review = change.old, change.new, change.review
    return {
        "clip_id": old["clip_id"],
        "decided": review.words if review else None,
        "by": review.by if review else None,
        "verdict": [old["verdict"], new["verdict"]],
        "effect": list(words_of(change)),
        "hours": change.effect_s / 3600,
    }


def _line(change: "Change") -> str:
    from clean_corpus.flows.commands.decisions import words_of

    who = f"{change.review.words or 'note'}, by {change.review.by}" if change.review else "undone"
    words = "; ".join(words_of(change))
    return f"{change.old['clip_id']}: {who}" + (f": {words}" if words else "")


def _without_effect(standing: "Standing") -> Iterator[str]:
    for clip_id, why in standing.pending.barred:
        yield f"{clip_id}: nobody can keep it: {why}"
    for entry in standing.pending.absent:
        name = entry.clip_id or entry.source_sha256[:12]
        yield f"{name}: {entry.what}, by {entry.by}: version {standing.version} lacks it"
