"""Notifications of how a run ended, by a webhook or a command, neither of which can ever fail the run."""

import json
import logging
import os
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from clean_corpus.flows.observe.permissions import with_machine_settings
from clean_corpus.pipeline.core.config import Section
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.switches import NULL_IS_OFF

log = logging.getLogger("clean_corpus.flows.observe.hooks")

FROM_ENVIRONMENT = "env:"


class Hook(Section):
    """A receiver of notifications: a webhook that gets JSON by POST, or a command that gets it on standard input."""

    webhook: str | None = Field(
        None,
        description="env:NAME, the environment variable that holds the address for a POST of JSON: an address may hold "
        "a token, and parameters of a run lie in the server's database",
    )
    command: list[str] | None = Field(
        None, min_length=1, description="program and arguments, run without a shell, JSON on standard input"
    )
    timeout_s: float = Field(20.0, gt=0, le=300, description="after which the addressee is given up, seconds")

    @model_validator(mode="after")
    def _one_that_works(self) -> Self:
        if (self.webhook is None) == (self.command is None):
            raise ConfigError("a hook has either webhook or command")  # ours: pydantic's would print the address
        if self.webhook is not None and not re.fullmatch(rf"{FROM_ENVIRONMENT}\w+", self.webhook):
            raise ConfigError(
                "webhook of a hook: an address may hold a token, and a run's parameters are stored; put it into an "
                f"environment variable and write {FROM_ENVIRONMENT}NAME"
            )
        return self


class HookConfig(Section):
    """Receivers of the notification that a run ended."""

    on_finish: Annotated[Hook | None, NULL_IS_OFF] = Field(None, description="told when a run completed")
    on_failure: Annotated[Hook | None, NULL_IS_OFF] = Field(
        None,
        description="told when a run failed, crashed or was cancelled, by its process or its worker: by nobody where "
        "both died",
    )


def notify(flow: Any, flow_run: Any, state: Any) -> None:
    """Notify the receivers that the run's parameters name; a state hook of Prefect. Problems are logged, never raised.

    Prefect's worker calls it for crashed and cancelled runs, from a process of its own, as the run's is gone by then.
    """
    try:
        config = _config(flow_run)
        hook = config.on_finish if state.is_completed() else config.on_failure
        if hook:
            send(hook, payload(flow.name, str(flow_run.id), state, flow_run.parameters))
    except Exception as error:
        log.warning("hook of run %s: %s", flow_run.id, type(error).__name__)


def _config(flow_run: Any) -> HookConfig:
    """Return the hooks of a run, whose parameters are sections, or lie all in `config`.

    Of a deployed run, whose parameters are anybody's, only what its machine permits counts.
    """
    given = flow_run.parameters.get("hooks") or _get(flow_run.parameters.get("config"), "hooks") or {}
    if isinstance(given, HookConfig):
        given = given.model_dump(exclude_unset=True)
    deployed = getattr(flow_run, "deployment_id", None) is not None
    for hooks in (given, {}):
        try:
            return HookConfig.model_validate(with_machine_settings({"hooks": hooks})["hooks"] if deployed else hooks)
        except (ValidationError, ConfigError):
            continue  # the run was refused for this very reason, which its state says; the machine's hooks still hold
    return HookConfig()


def _get(holder: object, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)


def payload(flow: str, run_id: str, state: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the message: flow, run, its end, its output's location, how many clips ended how, and why it failed."""
    result = _result(state)
    output = _get(parameters, "output") or _get(parameters, "out") or _get(parameters.get("config"), "output")
    failed = isinstance(result, BaseException)
    return {
        "flow": flow,
        "run_id": run_id,
        "state": state.name,
        "output": None if output is None else str(output),
        "counts": result.get("counts") if isinstance(result, dict) else None,
        "error": str(result) if failed else None if state.is_completed() else state.message,
    }


def _result(state: Any) -> Any:
    try:
        return state.result(raise_on_failure=False)
    except Exception:  # a run that another process ended has no result
        return None


def send(hook: Hook, message: dict[str, Any]) -> bool:
    """Send the message; return whether the receiver took it. Of its address only the host is logged, for it may carry
    a token."""
    text = json.dumps(message).encode()
    where = "webhook" if hook.command is None else hook.command[0]
    try:
        if hook.command is not None:
            process = subprocess.run(
                hook.command, input=text, timeout=hook.timeout_s, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            problem = f"exit code {process.returncode}" if process.returncode else None
        else:
            url = _address(hook.webhook or "")
            where = urllib.parse.urlsplit(url).hostname or "webhook"
            problem = _post(url, text, hook.timeout_s)
    except (subprocess.TimeoutExpired, TimeoutError):
        problem = f"no answer within {hook.timeout_s:g} s"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
    except _Unset as error:
        problem = str(error)
    if problem:
        log.warning("hook %s was not told that run %s is %s: %s", where, message["run_id"], message["state"], problem)
    return problem is None


class _Unset(Exception):
    """The environment lacks the variable that an address is to come from."""


def _address(webhook: str) -> str:
    """Return the address that the named environment variable holds.

    Raises: _Unset if there is no such variable.
    """
    name = webhook.removeprefix(FROM_ENVIRONMENT)
    if name not in os.environ:
        raise _Unset(f"environment variable {name} is not set where the worker runs")
    return os.environ[name]


def _post(url: str, text: bytes, timeout_s: float) -> str | None:
    """Post JSON; return the problem, if there was one.

    Raises: TimeoutError, OSError, ValueError.
    """
    if not url.startswith(("http://", "https://")):
        return "the address is neither http:// nor https://"
    request = urllib.request.Request(url, text, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):
            return None
    except urllib.error.HTTPError as error:
        return f"status {error.code}"
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise error.reason from None
        return str(getattr(error.reason, "strerror", None) or type(error.reason).__name__)
