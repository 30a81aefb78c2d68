"""The locks pin what pyproject.toml asks for by version and hash, and images get no package of the tests."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.infra.files import DOCKERFILE, contents

LOCKS = ["requirements.txt", "requirements-runtime.txt", "requirements-peers.txt", "requirements-uv.txt"]
RUNTIME_EXTRAS = {"align", "distillmos", "formats", "onnx", "ray", "speakers", "train", "transcribe", "vocoder"}


def entries(name: str) -> dict[str, str]:
    """Return the entries of a lock by package: each one's version with its hashes, as written."""
    found = re.findall(r"^([\w.-]+)==(\S+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", contents(name), re.M)
    return dict(found)


def requirements(*extras: str, project: bool = True) -> list[Requirement]:
    """Return what some extras ask for, and the project itself."""
    asked = tomllib.loads(contents("pyproject.toml"))["project"]
    named = [line for extra in extras for line in asked["optional-dependencies"][extra]]
    return [Requirement(line) for line in (*(asked["dependencies"] if project else ()), *named)]


@pytest.mark.parametrize("name", LOCKS)
def test_locks_hold_pins_with_hashes_and_nothing_else(name):
    written = "".join(f"{package}=={pinned}" for package, pinned in entries(name).items())
    assert written == contents(name)  # so no address of an index stands in it either


@pytest.mark.parametrize(
    ("name", "extras"),
    [("requirements.txt", {*RUNTIME_EXTRAS, "demo", "test"}), ("requirements-runtime.txt", RUNTIME_EXTRAS)],
)
def test_locks_satisfy_pyproject(name, extras):
    pinned = {package: entry.split()[0] for package, entry in entries(name).items()}
    for requirement in requirements(*extras):
        package = canonicalize_name(requirement.name)
        if package != "clean-corpus":  # the extra `test` takes in the others by it
            assert package in pinned, f"{package}: run `make lock`"
            assert requirement.specifier.contains(pinned[package]), f"{requirement}: run `make lock`"


def test_the_runtime_lock_is_a_part_of_the_full_lock():
    everything = entries("requirements.txt")
    for package, entry in entries("requirements-runtime.txt").items():
        assert entry == everything.get(package), f"{package}: run `make lock`"


def test_the_lock_of_the_peers_adds_to_the_full_lock_and_changes_nothing():
    everything, peers = entries("requirements.txt"), entries("requirements-peers.txt")
    asked = {requirement.name: requirement.specifier for requirement in requirements("peers", project=False)}
    for package, specifier in asked.items():
        assert specifier.contains(peers[package].split()[0]), f"{package}: run `make lock`"
    for package in peers.keys() & everything.keys():
        assert peers[package] == everything[package], f"{package}: run `make lock`"
    assert not asked.keys() & everything.keys()


def test_the_runtime_lock_holds_no_package_of_tests_or_demo():
    needed = {canonicalize_name(requirement.name) for requirement in requirements(*RUNTIME_EXTRAS)}
    unwanted = {canonicalize_name(requirement.name) for requirement in requirements("demo", "test")} - needed
    assert unwanted & entries("requirements.txt").keys() >= {"espeakng-loader", "moto", "pytest", "ruff", "selenium"}
    assert unwanted & entries("requirements-runtime.txt").keys() == {"torchmetrics"}  # which lightning needs too


def test_images_are_made_from_the_runtime_lock():
    installed = re.findall(r"--requirement (\S+)", DOCKERFILE.read_text())
    assert installed == ["requirements-uv.txt", "requirements-runtime.txt"]
