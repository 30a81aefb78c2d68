"""The command `deploy`: the flow `clean-corpus` on a running Prefect server, on a schedule."""

import os
from typing import Annotated

import typer

from clean_corpus.flows.cli.options import ConfigFile, RunLayoutName, Settings
from clean_corpus.flows.cli.settings import read_yaml


def deploy(
    server: Annotated[str, typer.Option(metavar="URL", help="running Prefect server, for example http://host:4200")],
    source: Annotated[str, typer.Option("--input", metavar="INPUT", help="s3:// or a folder the worker can read")],
    output: Annotated[str, typer.Option("--output", metavar="OUTPUT", help="s3:// or a folder the worker can write")],
    cron: Annotated[str, typer.Option(help="minute hour day month weekday")] = "0 2 * * *",
    timezone: Annotated[str, typer.Option(help="of the schedule, for example Europe/Berlin")] = "UTC",
    pool: Annotated[str, typer.Option(help="work pool that GPU machines take runs from; made if missing")] = "gpu",
    name: Annotated[str, typer.Option(help="of the deployment; one per input and output")] = "clean-corpus",
    config: ConfigFile = None,
    settings: Settings = [],  # noqa: B006 - typer copies it
    layout: RunLayoutName = None,
) -> None:
    """Have a Prefect server clean what is new on a schedule. Run it again to change input, schedule or settings.

    What was paused stays paused.
    """
    from clean_corpus.flows.config import RunConfig
    from clean_corpus.pipeline.core.config_input import override, validate

    data = read_yaml(config) | {"input": source, "output": output}
    layouts = [f"export.layout={layout}"] if layout else []
    configuration = validate(RunConfig, override(data, [*layouts, *settings]))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # errors are printed by us, once
    from clean_corpus.flows.deploy import deployment

    parameters = deployment.parameters_of(configuration, source, output)
    deployed = deployment.deploy(server, parameters, cron=cron, timezone=timezone, pool=pool, name=name)
    if deployed.resume:
        print(f"deployed: {deployed.name}, which was paused and stays so: no run starts by itself")
        print(f"to switch it on: {' && '.join(deployed.resume)}")
    else:
        print(f"deployed: {deployed.name}, next run {deployed.next_run:%Y-%m-%d %H:%M %Z}")
    print(f"on each GPU machine: {deployed.start_worker}")
    print(f"to start a run now: {deployed.start_run}")
