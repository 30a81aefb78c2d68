"""Terraform files are formatted, declare what they use, and grant the rights that docs/OPERATIONS.md lists."""

import re
from typing import Any

import pytest

from tests.infra.files import INFRA, OPERATIONS, TERRAFORM, output, program


def test_terraform_files_are_formatted():
    output(program("terraform"), f"-chdir={INFRA / 'terraform'}", "fmt", "-check")


def _terraform() -> dict[str, Any]:
    hcl2 = pytest.importorskip("hcl2", reason="python-hcl2 is not installed")
    merged: dict[str, list[Any]] = {}
    for path in TERRAFORM:
        for kind, blocks in hcl2.loads(path.read_text()).items():
            merged.setdefault(kind, []).extend(blocks if isinstance(blocks, list) else [blocks])
    return merged


def _plain(value: Any) -> Any:
    """Return what an HCL parser gave, without the quotes that some releases leave around strings."""
    if isinstance(value, dict):
        return {_plain(k): _plain(v) for k, v in value.items() if k != "__is_block__"}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.strip('"') if isinstance(value, str) else value


def test_terraform_declares_what_it_uses_and_uses_what_it_declares():
    parsed = _plain(_terraform())
    text = "\n".join(path.read_text() for path in TERRAFORM)
    declared = {name for block in parsed["variable"] for name in block}
    assert set(re.findall(r"\bvar\.(\w+)", text)) == declared
    made = {f"{kind}.{name}" for block in parsed["resource"] for kind, named in block.items() for name in named}
    assert set(re.findall(r"(?<![.\w])(aws_\w+\.\w+)\.", text)) <= made
    data = {f"data.{kind}.{name}" for block in parsed["data"] for kind, named in block.items() for name in named}
    assert set(re.findall(r"(data\.aws_\w+\.\w+)\.", text)) == data


def test_workers_may_do_what_is_listed_and_no_more():
    parsed = _plain(_terraform())
    documents = {n: body for block in parsed["data"] for n, body in block.get("aws_iam_policy_document", {}).items()}
    actions = {statement["sid"]: statement["actions"] for statement in documents["worker"]["statement"]}
    granted = {action for listed in actions.values() for action in listed}
    assert not [action for action in granted if "*" in action]
    assert actions["ReadRecordings"] == ["s3:GetObject"]
    assert "s3:DeleteObject" not in actions["ReadRecordings"]
    table = re.search(r"\| what \| where \| rights \|.+?\n\n", OPERATIONS.read_text(), re.S)[0]
    assert set(re.findall(r"`((?:s3|kms):\w+)`", table)) == granted
