"""Files of deployment that several tests read, and the programs that check them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.paths import REPOSITORY

INFRA = REPOSITORY / "infra"
OPERATIONS = REPOSITORY / "docs" / "OPERATIONS.md"
DOCKERFILE = INFRA / "docker" / "Dockerfile"
COMPOSE = [INFRA / "compose" / name for name in ("compose.yaml", "compose.gpu.yaml")]
TERRAFORM = sorted((INFRA / "terraform").glob("*.tf"))


def program(name: str) -> str:
    """Return the path of a program, beside this Python or on PATH; skip the test where it is not installed."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def output(*command: str | Path) -> str:
    """Run a command in the repository, which has to succeed, and return its standard output."""
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, f"{command[0]}: {result.stdout}{result.stderr}"
    return result.stdout


def contents(name: str) -> str:
    """Return the text of a file, named from the repository's root."""
    return (REPOSITORY / name).read_text()


def services() -> dict[str, dict[str, Any]]:
    """Return the services of compose.yaml by name."""
    return yaml.safe_load(COMPOSE[0].read_text())["services"]


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the pod templates of Kubernetes objects, each with the name of its owner."""
    for item in objects:
        owner = f"{item['kind']} {item['metadata']['name']}"
        if item["kind"] in ("Deployment", "Job"):
            yield owner, item["spec"]["template"]
        if item["kind"] == "RayCluster":
            yield f"{owner} head", item["spec"]["headGroupSpec"]["template"]
            for group in item["spec"]["workerGroupSpecs"]:
                yield f"{owner} {group['groupName']}", group["template"]
