"""All files of infra/ pass the linters, pin their images and hold no secret."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.infra.files import INFRA, contents, output, program


def test_yamllint_has_nothing_to_say():
    assert output(program("yamllint"), "--strict", "--config-file", INFRA / ".yamllint.yaml", INFRA) == ""


def test_shellcheck_has_nothing_to_say():
    assert output(program("shellcheck"), *sorted(INFRA.rglob("*.sh"))) == ""


def _everything() -> Iterator[tuple[Path, str]]:
    for path in sorted(INFRA.rglob("*")):
        if path.is_file() and ".terraform" not in path.parts and path.name != ".env":
            yield path, path.read_text()


def test_every_image_is_pinned_by_an_exact_tag():
    found = []
    for _, text in _everything():
        found += re.findall(r"^\s*(?:- )?image: (\S+)", text, re.M)
        found += re.findall(r"^ARG PYTHON_IMAGE=(\S+)", text, re.M)
    assert len(found) >= 8
    for image in found:
        name, _, tag = image.rpartition(":")
        assert name and re.search(r"\d+\.\d+", tag), f"{image}: give an exact tag"
    tags = {image.rpartition(":")[2] for image in found if image.startswith("clean-corpus:")}
    version = re.search(r'^version = "(.+)"', contents("pyproject.toml"), re.M)[1]
    assert tags == {f"{version}-cpu", f"{version}-cuda"}


def test_no_file_holds_a_secret():
    for path, text in _everything():
        assert not re.search(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY", text), path
        for name, value in re.findall(r"^\s*[\w.]*(PASSWORD|SECRET\w*|AUTH|TOKEN)[\"']?\s*[:=][ \t]*(.*)$", text, re.M):
            assert value.strip() in ("", "token") or value.strip()[0] in "$#{'\"", f"{path}: {name} has a value"
