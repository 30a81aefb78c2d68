"""The flow `clean-corpus` put on a Prefect server: pool, deployment, schedule, and a watch over lost runs."""

import asyncio
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.deployments.runner import DeploymentApplyError
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.schedules import Cron
from prefect.server.schemas.schedules import CronSchedule
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_API_URL, temporary_settings
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker
from pydantic import BaseModel

from clean_corpus.flows.config import RunConfig
from clean_corpus.flows.deploy import flow
from clean_corpus.flows.observe.hooks import FROM_ENVIRONMENT
from clean_corpus.flows.observe.permissions import require_permitted
from clean_corpus.pipeline.core import telemetry
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError

FLOW = "clean-corpus"
SLUG = "nightly"
HEARTBEAT_S = 30  # Prefect's least
LOST_AFTER_S = 300  # ten heartbeats: a run outlives a restart of the server
CONNECT_S = 5.0

# A run that meets another waits for it, and then works on what came in since that one listed its input. If it were
# cancelled instead, a night would be lost whenever the last run ended late, or died and is not given up yet.
COLLISION = ConcurrencyLimitStrategy.ENQUEUE


@dataclass(frozen=True)
class Deployed:
    """A deployment on a server, and the commands that use it; `resume` are those that switch its schedule on again."""

    name: str
    next_run: datetime
    start_worker: str
    start_run: str
    resume: tuple[str, ...] = ()


def deploy(
    server: str,
    parameters: Mapping[str, Any],
    *,
    cron: str,
    timezone: str,
    pool: str,
    name: str = FLOW,
    lost_after_s: float = LOST_AFTER_S,
) -> Deployed:
    """Create or update pool, deployment and watch on a running server. `parameters` are fields of RunConfig, as plain
    data that was validated. A deployment or schedule that somebody paused stays so.

    Raises: ConfigError before anything is sent if the schedule is none or a parameter may not be stored there;
    CleanCorpusError if there is no Prefect server at `server`, or it refuses.
    """
    url = api_url(server)
    next_run = _next_run(cron, timezone)
    _refuse_secrets(parameters)
    require_permitted(parameters)
    _require_server(url)
    with temporary_settings({PREFECT_API_URL: url, PREFECT_API_REQUEST_TIMEOUT: 30.0}):
        try:
            with get_client(sync_client=True) as client:
                _make_pool(client, pool)
                is_paused, is_active = _switches(client, f"{FLOW}/{name}")
                deployment_id = flow.clean_corpus.to_deployment(
                    name=name,
                    schedules=[Cron(cron, timezone=timezone, slug=SLUG, active=is_active)],
                    paused=is_paused,
                    concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=COLLISION),
                    parameters=dict(parameters),
                    enforce_parameter_schema=True,
                    work_pool_name=pool,
                    job_variables={"env": {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S), **telemetry.FORCED}},
                    entrypoint_type=EntrypointType.MODULE_PATH,  # a worker has the package, and no checkout
                ).apply()
                watch(client, str(deployment_id), f"{FLOW}/{name}", lost_after_s)
                resume = list(_resuming(client, f"{FLOW}/{name}"))
        except (DeploymentApplyError, PrefectHTTPStatusError) as error:
            if _is_busy(error):
                raise CleanCorpusError(
                    f"the Prefect server at {shown(url)} is too busy (status 503, asked again until "
                    "PREFECT_CLIENT_MAX_RETRIES): deploy once more when fewer runs and workers ask it"
                ) from None
            raise CleanCorpusError(f"the Prefect server at {shown(url)} refused the deployment: {error}") from None
        except httpx.HTTPError as error:
            raise CleanCorpusError(f"the Prefect server at {shown(url)} went away: {type(error).__name__}") from None
    prefect = f"DO_NOT_TRACK=1 PREFECT_API_URL={shown(url)} prefect"  # it starts before this package is imported
    return Deployed(
        name=f"{FLOW}/{name}",
        next_run=next_run,
        start_worker=f"{prefect} worker start --pool {pool} --type process --limit 1",
        start_run=f"{prefect} deployment run {FLOW}/{name}",
        resume=tuple(f"{prefect} {command}" for command in resume),
    )


def _switches(client: SyncPrefectClient, name: str) -> tuple[bool, bool]:
    """Return whether a deployment is paused as a whole, and whether its schedule is active; it may not exist yet."""
    try:
        found = client.read_deployment_by_name(name)
    except ObjectNotFound:
        return False, True
    schedules = [one for one in found.schedules if one.slug == SLUG] or found.schedules
    return found.paused, not schedules or any(one.active for one in schedules)


def _resuming(client: SyncPrefectClient, name: str) -> Iterator[str]:
    """Yield the commands of Prefect that switch on what is paused of a deployment, so that runs start by themselves."""
    found = client.read_deployment_by_name(name)
    if found.paused:
        yield f"api POST /deployments/{found.id}/resume_deployment"
    for one in found.schedules:
        if one.slug == SLUG and not one.active:
            yield f"deployment schedule resume {name} {one.id}"


def watch(client: SyncPrefectClient, deployment_id: str, name: str, lost_after_s: float) -> None:
    """Have the server mark a run as crashed when its heartbeat stops without an end, so that the next one can start."""
    ends = {f"prefect.flow-run.{end}" for end in ("Completed", "Failed", "Cancelled", "Crashed")}
    heartbeat = "prefect.flow-run.heartbeat"
    automation = AutomationCore(
        name=f"{name}: lost runs",
        description="A run whose process or machine is gone says nothing; it is marked as crashed.",
        trigger=EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.id": f"prefect.deployment.{deployment_id}",
                "prefect.resource.role": "deployment",
            },
            after={heartbeat},
            expect={heartbeat} | ends,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=lost_after_s),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=f"no sign of life for {lost_after_s:g} s")],
    )
    existing = client.read_automations_by_name(automation.name)
    for surplus in existing[1:]:
        client.delete_automation(surplus.id)
    if existing:
        client.update_automation(existing[0].id, automation)
    else:
        client.create_automation(automation)


def place(text: str) -> str:
    """Return a location as a worker can use it: s3:// as it is, a folder from the root: it starts elsewhere."""
    return text if "://" in text else str(Path(text).absolute())


def parameters_of(config: RunConfig, source: str, output: str) -> dict[str, Any]:
    """Return the fields that were set, as plain data; the worker's version and machine decide over the rest."""
    data = config.model_dump(mode="json", exclude_unset=True)
    _place_paths(config, data)
    weights = {name: data.get(name) for name in ("enhancer", "upper_band")}
    data |= {name: place(path) for name, path in weights.items() if path and Path(path).suffix}
    return data | {"input": place(source), "output": place(output)}


def _place_paths(section: BaseModel, data: dict[str, Any]) -> None:
    """Replace the local paths in the data of a section, and of those in it, by what a worker can use."""
    for name in section.model_fields_set & data.keys():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            _place_paths(value, data[name])
        elif isinstance(value, Path):
            data[name] = place(str(value))


def api_url(server: str) -> str:
    """Return the address of a server's API, given its own or its API's address.

    >>> api_url("http://prefect:4200"), api_url("https://prefect.example/api/")
    ('http://prefect:4200/api', 'https://prefect.example/api')

    Raises: ConfigError if it is no http:// or https:// address.
    """
    parts = urlsplit(server)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"--server {shown(server)}: expected an address such as http://127.0.0.1:4200")
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path if path.endswith("/api") else f"{path}/api", "", ""))


def shown(url: str) -> str:
    """Return an address without the user and password that it may hold.

    >>> shown("http://me:secret@prefect:4200/api")
    'http://prefect:4200/api'
    """
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _next_run(cron: str, timezone: str) -> datetime:
    """Return when a schedule next fires.

    Raises: ConfigError if there is no such schedule.
    """
    if timezone not in zoneinfo.available_timezones():
        raise ConfigError(f"--timezone {timezone!r}: no such time zone; write for example Europe/Berlin or UTC")
    try:
        return asyncio.run(CronSchedule(cron=cron, timezone=timezone).get_dates(1))[0]
    except (ValueError, IndexError):  # no cron, or 31 February
        raise ConfigError(
            f'--cron {cron!r}: never comes; write minute hour day month weekday, for example "0 2 * * *"'
        ) from None


def _refuse_secrets(parameters: Mapping[str, Any]) -> None:
    """Raises: ConfigError if a webhook's address stands in the parameters."""
    for name, hook in (parameters.get("hooks") or {}).items():
        webhook = (hook or {}).get("webhook")
        if webhook and not webhook.startswith(FROM_ENVIRONMENT):
            raise ConfigError(
                f"hooks.{name}.webhook: an address may hold a token, and a deployment's parameters can be read on the "
                f"server; put it into an environment variable of the worker and write {FROM_ENVIRONMENT}NAME"
            )


def _require_server(url: str) -> None:
    """Raises: CleanCorpusError if no Prefect server answers."""
    try:
        answer = httpx.get(f"{url}/health", timeout=CONNECT_S, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CleanCorpusError(
            f"no Prefect server at {shown(url)}: {error or type(error).__name__}; "
            "start one with `prefect server start`, or correct --server"
        ) from None
    if answer.status_code in (401, 403):
        return  # it wants PREFECT_API_KEY or PREFECT_API_AUTH_STRING, which the client will send
    if answer.status_code != 200 or answer.text.strip() != "true":
        raise CleanCorpusError(
            f"no Prefect server at {shown(url)}: what answers there (status {answer.status_code}) is something else; "
            "correct --server"
        )


def _is_busy(error: Exception) -> bool:
    """Return whether what a server last said to Prefect's client was that its database is locked or overloaded."""
    answer = error if isinstance(error, PrefectHTTPStatusError) else error.__cause__
    return isinstance(answer, PrefectHTTPStatusError) and answer.response.status_code == httpx.codes.SERVICE_UNAVAILABLE


def _make_pool(client: SyncPrefectClient, pool: str) -> None:
    """Create a pool of processes; one that exists stays as it is, whatever its type."""
    try:
        client.read_work_pool(pool)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
