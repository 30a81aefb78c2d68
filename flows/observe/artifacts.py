"""Artifacts of a run on the Prefect server: progress of each stage, a table of results, a link to the report.

Nothing here can fail or hold up a run: outside one it does nothing, and a server that does not answer costs a warning.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from clean_corpus.flows.observe.progress import Advance

log = logging.getLogger("clean_corpus.flows.observe.artifacts")

EVERY_S = 5.0
TIMEOUT_S = 5.0
LAST_TIMEOUT_S, LAST_RETRIES = 30.0, 2  # of what shows the results: a busy server may need them
AWAY_S = 60.0

_away_until = 0.0


@contextmanager
def stage(name: str, total: int, unit: str) -> Iterator[Advance]:
    """Show a stage of `total` pieces while the block runs; yield a function to be called with the number finished."""
    run, done, shown_at = _run_id(), 0, time.monotonic()
    artifact = run and _request(lambda client: client.create_artifact(_progress(run, name, f"0/{total} {unit}")).id)

    def show() -> None:
        nonlocal shown_at
        shown_at = time.monotonic()
        if isinstance(artifact, UUID):
            share = 100.0 * done / total if total else 100.0
            update = ArtifactUpdate(data=share, description=f"{name}: {done}/{total} {unit}")
            _request(lambda client: client.update_artifact(artifact, update))

    def advance(pieces: int = 1) -> None:
        nonlocal done
        done += pieces
        if time.monotonic() - shown_at >= EVERY_S:
            show()

    try:
        yield advance
    finally:
        show()


def results(summary: Mapping[str, Any], report: str) -> None:
    """Show the table of a finished run, from its run.json, and a link to its report, a path or s3://."""
    if not (run := _run_id()):
        return
    table = ArtifactCreate(
        key="clean-corpus-result", type="markdown", data=markdown(summary, report), flow_run_id=run,
        description=f"{summary['input']} to {summary['output']}",
    )  # fmt: skip
    address = report if "://" in report else Path(report).absolute().as_uri()
    link = ArtifactCreate(
        key="clean-corpus-report", type="markdown", data=f"[{address}]({address})", flow_run_id=run,
        description="report of the run",
    )  # fmt: skip
    _request(lambda client: client.create_artifact(table), anyway=True)
    _request(lambda client: client.create_artifact(link), anyway=True)


def markdown(summary: Mapping[str, Any], report: str) -> str:
    """Return Markdown: how many clips and minutes ended how and why, what enhancement gained, what each stage took."""
    counts, seconds = summary["counts"], summary["seconds"]
    lines = ["| end | clips | minutes |", "|---|---:|---:|"]
    lines += [f"| **{end}** | {counts[end]} | {seconds[end] / 60:.1f} |" for end in ("kept", "rejected", "failed")]
    for reason, part in summary["reasons"].items():
        lines.append(f"| {_cell(reason)} | {part['clips']} | {part['seconds'] / 60:.1f} |")
    if means := summary.get("means"):
        lines += ["", "| mean of kept clips | before | after |", "|---|---:|---:|"]
        lines += [f"| {_cell(name)} | {was:.2f} | {now:.2f} |" for name, (was, now) in means.items()]
    lines += ["", "| stage | worker seconds | done | reused |", "|---|---:|---:|---:|"]
    lines += [f"| {s['name']} | {s['seconds']:.1f} | {s['done']} | {s['reused']} |" for s in summary["stages"]]
    lines += ["", f"{counts['in']} clips in {summary['wall_s']} s with `{summary['enhancer']}`; report: {report}"]
    return "\n".join(lines) + "\n"


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _progress(run: UUID, name: str, so_far: str) -> ArtifactCreate:
    key = "clean-corpus-progress-" + "".join(c if c.isalnum() else "-" for c in name.lower())
    return ArtifactCreate(key=key, type="progress", data=0.0, description=f"{name}: {so_far}", flow_run_id=run)


def _run_id() -> UUID | None:
    context = FlowRunContext.get()
    return context.flow_run.id if context and context.flow_run else None


def _request(what: Callable[[SyncPrefectClient], Any], *, anyway: bool = False) -> Any:
    """Make one request without retries, and none for a minute after a failure; with `anyway` make it all the same."""
    global _away_until
    if time.monotonic() < _away_until and not anyway:
        return None
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: LAST_RETRIES if anyway else 0}),
            get_client(sync_client=True, httpx_settings={"timeout": LAST_TIMEOUT_S if anyway else TIMEOUT_S}) as client,
        ):
            return what(client)
    except Exception as error:
        _away_until = time.monotonic() + AWAY_S
        log.warning("the Prefect server does not take what the run shows of itself: %s", type(error).__name__)
        return None
