"""Commands in the documents and in containers are understood by the programs that they start."""

import re
import shlex

import pytest
import yaml

from tests.infra.files import INFRA, OPERATIONS, pods, services
from tests.support.paths import REPOSITORY

PROGRAMS = ("clean-corpus", "prefect", "ray")
DOCUMENTS = [  # INPUTS-AND-OUTPUTS.md lists commands with placeholders, which are no commands
    REPOSITORY / "README.md",
    OPERATIONS,
    *(REPOSITORY / "docs" / f"{name}.md" for name in ("QUICKSTART", "GATE", "ENHANCERS", "VOCODER-AND-PROOF")),
]


def _documented() -> list[list[str]]:
    """Return the commands of ours, Prefect's and Ray's in the documents, from code blocks and text."""
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    lines = []
    for block in re.findall(r"^ *```sh\n(.+?)^ *```", text, re.M | re.S):
        block = re.sub(r"<<'?END'?\n.+?^END$", "", block, flags=re.M | re.S).replace("\\\n", " ")
        lines += block.splitlines()
    lines += [re.sub(r"\s+", " ", code) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    return [words for line in lines if (words := _command(line))]


def _command(line: str) -> list[str] | None:
    """Return the part of a line that runs one of the programs, without redirections; None if it only names one."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return None
    at = next((i for i, word in enumerate(words) if word in PROGRAMS), None)
    if at is None or at + 1 == len(words) or words[at - 1 if at else 0] in ("--tag", "namespace", "--namespace"):
        return None
    command = words[at:]
    end = next((i for i, word in enumerate(command) if re.fullmatch(r"[0-9]?>|&|;|\|", word)), len(command))
    return command[:end]


def _deployed() -> list[list[str]]:
    """Return the commands that containers start."""
    found = [service["command"] for service in services().values() if "command" in service]
    for path in sorted((INFRA / "kubernetes").rglob("*.yaml")):
        for item in yaml.safe_load_all(path.read_text()):
            if item and item["kind"] in ("Deployment", "Job", "RayCluster"):
                for _, template in pods([item]):
                    spec = template["spec"]
                    found += [c["args"] for c in spec["containers"] + spec.get("initContainers", []) if "args" in c]
        for value in re.findall(r"value: (--set=\S+)", path.read_text()):
            found.append(["clean-corpus", "deploy", "--server=http://x", "--input=i", "--output=o", value])
    return [command for command in found if command[0] in PROGRAMS]


COMMANDS = sorted({tuple(command) for command in (*_documented(), *_deployed())})


@pytest.fixture(scope="module", autouse=True)
def _own_prefect_home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(tmp_path_factory.mktemp("prefect")))
        yield


def test_commands_were_found():
    programs = [command[0] for command in COMMANDS]
    assert programs.count("clean-corpus") >= 10 and programs.count("prefect") >= 8 and programs.count("ray") >= 2
    words = {command[1] for command in COMMANDS if command[0] == "clean-corpus"}
    assert {"deploy", "versions", "diff", "rollback", "verify", "gc"} <= words


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_are_understood_by_the_program(command):
    filled = [re.sub(r"\$[({]\w+[^)}]*[)}]", "2", word) for word in command]
    {"clean-corpus": _parse_ours, "prefect": _parse_prefect, "ray": _parse_ray}[command[0]](filled[1:])


def _parse_ours(words: list[str]) -> None:
    import typer.main

    from clean_corpus.flows.cli.app import app
    from clean_corpus.flows.config import RunConfig
    from clean_corpus.pipeline.core.config_input import override, validate

    group = typer.main.get_command(app)
    assert words[0] in group.commands, f"clean-corpus has no command {words[0]}"
    context = group.commands[words[0]].make_context(words[0], words[1:])  # raises where an option is not known
    if words[0] in ("run", "deploy"):
        validate(RunConfig, override({"input": "in", "output": "out"}, context.params.get("settings") or []))


def _parse_prefect(words: list[str]) -> None:
    from prefect.cli._app import _app

    words = [word for word in words if word != "--no-prompt"]  # an option of every command, taken off before
    words = ["00000000-0000-0000-0000-000000000000" if word == "ID" else word for word in words]
    _app.parse_args(words, exit_on_error=False, print_error=False)


def _parse_ray(words: list[str]) -> None:
    ray = pytest.importorskip("ray.scripts.scripts", reason="ray is not installed").cli
    ray.commands[words[0]].make_context(words[0], words[1:])
