"""Containers, manifests, Terraform and docs/OPERATIONS.md, read by the tools that know them and held to our rules."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
INFRA = REPOSITORY / "infra"
OPERATIONS = REPOSITORY / "docs" / "OPERATIONS.md"
DOCKERFILE = INFRA / "docker" / "Dockerfile"
COMPOSE = [INFRA / "compose" / name for name in ("compose.yaml", "compose.gpu.yaml")]
KUSTOMIZATIONS = ["base", "overlays/gpu", "overlays/ray"]
TERRAFORM = sorted((INFRA / "terraform").glob("*.tf"))


def tool(name: str) -> str:
    """Path of a program, beside this Python or on PATH; the test is skipped where there is none."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str | Path, given: str | None = None) -> str:
    done = subprocess.run([*map(str, command)], input=given, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


# ---- what the tools say ----------------------------------------------------------------------------------------


def test_hadolint_has_nothing_to_say():
    assert run(tool("hadolint"), DOCKERFILE) == ""


def test_yamllint_has_nothing_to_say():
    assert run(tool("yamllint"), "--strict", "--config-file", INFRA / ".yamllint.yaml", INFRA) == ""


def test_shellcheck_has_nothing_to_say():
    assert run(tool("shellcheck"), *sorted(INFRA.rglob("*.sh"))) == ""


def test_compose_files_fit_the_schema_of_compose():
    run(tool("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", *COMPOSE)


def test_terraform_files_are_formatted():
    run(tool("terraform"), f"-chdir={INFRA / 'terraform'}", "fmt", "-check")


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[dict[str, Any]]]:
    """Objects of each kustomization, as kubectl makes them."""
    kubectl = tool("kubectl")
    texts = {name: run(kubectl, "kustomize", INFRA / "kubernetes" / name) for name in KUSTOMIZATIONS}
    return {name: list(yaml.safe_load_all(text)) for name, text in texts.items()}


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_objects_fit_the_schemas_of_kubernetes(rendered, name, tmp_path):
    objects = [item for item in rendered[name] if item["kind"] != "RayCluster"]
    for owner, template in pods(rendered[name]):
        if owner.startswith("RayCluster"):  # whose schema is KubeRay's; its pods are pods
            objects.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]})
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    said = run(tool("kubernetes-validate"), "--strict", file)
    assert said.count(" passed ") == len(objects)


# ---- pods ------------------------------------------------------------------------------------------------------


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pod templates, each with a name for its owner."""
    for item in objects:
        owner = f"{item['kind']} {item['metadata']['name']}"
        if item["kind"] in ("Deployment", "Job"):
            yield owner, item["spec"]["template"]
        if item["kind"] == "RayCluster":
            yield f"{owner} head", item["spec"]["headGroupSpec"]["template"]
            for group in item["spec"]["workerGroupSpecs"]:
                yield f"{owner} {group['groupName']}", group["template"]


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_no_container_has_more_rights_or_room_than_it_needs(rendered, name):
    for owner, template in pods(rendered[name]):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, owner
        assert spec["securityContext"]["runAsUser"] >= 10000, owner
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), owner
        assert spec.get("automountServiceAccountToken") is False or owner == "RayCluster clean-corpus head", owner
        for container in spec["containers"] + spec.get("initContainers", []):
            rights, room, about = container["securityContext"], container["resources"], f"{owner}: {container['name']}"
            assert rights["allowPrivilegeEscalation"] is False, about
            assert rights["readOnlyRootFilesystem"] is True, about
            assert rights["capabilities"] == {"drop": ["ALL"]}, about
            assert not rights.get("privileged"), about
            assert {"cpu", "memory"} <= room["limits"].keys() & room["requests"].keys(), about
            assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/data", "/tmp"}, about
            if not owner.startswith("Job"):
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), about


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_what_is_referred_to_by_name_is_there_or_said_to_be_made_by_hand(rendered, name):
    objects, by_hand = rendered[name], {"prefect", "ray", "s3"}
    made = {(item["kind"], item["metadata"]["name"]) for item in objects}
    text = yaml.safe_dump_all(objects)
    assert set(re.findall(r"configMapRef:\s+name: (\S+)", text)) <= {n for kind, n in made if kind == "ConfigMap"}
    secrets = set(re.findall(r"secretKeyRef:\s+key: \S+\s+name: (\S+)", text))
    assert secrets | set(re.findall(r"secretRef:\s+name: (\S+)", text)) <= by_hand
    for secret in by_hand:
        assert re.search(rf"create secret generic {secret}\b|secret `{secret}`", OPERATIONS.read_text()), secret
    for owner, template in pods(objects):
        assert ("ServiceAccount", template["spec"]["serviceAccountName"]) in made, owner
        labels = template["metadata"]["labels"]
        chosen = [
            item["metadata"]["name"]
            for item in objects
            if item["kind"] == "NetworkPolicy" and "Egress" in item["spec"]["policyTypes"]
            if _selects(item["spec"]["podSelector"], labels) and item["metadata"]["name"] not in ("closed", "names")
        ]
        assert chosen, f"{owner}: no network policy lets it reach anything"
    assert not [item for item in objects if item["kind"] == "Secret"]


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    exact = selector.get("matchLabels", {})
    listed = selector.get("matchExpressions", [])
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        labels.get(rule["key"]) in rule["values"] for rule in listed
    )


def test_gpus_are_asked_for_where_they_are_used(rendered):
    def gpus(name: str, owner: str) -> list[str | None]:
        spec = dict(pods(rendered[name]))[owner]["spec"]
        return [container["resources"]["limits"].get("nvidia.com/gpu") for container in spec["containers"]]

    assert gpus("base", "Deployment worker") == [None]
    assert gpus("overlays/gpu", "Deployment worker") == ["1"]
    assert gpus("overlays/ray", "RayCluster clean-corpus gpu") == ["1"]
    assert gpus("overlays/ray", "RayCluster clean-corpus head") == [None, None]


def test_the_ray_cluster_wants_a_token_and_grows_to_what_the_deployment_uses(rendered):
    objects = rendered["overlays/ray"]
    spec = next(item["spec"] for item in objects if item["kind"] == "RayCluster")
    token = [
        {"name": "RAY_AUTH_MODE", "value": "token"},
        {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": "ray", "key": "auth_token"}}},
    ]
    assert spec["enableInTreeAutoscaling"] and spec["autoscalerOptions"]["env"] == token
    for owner, template in pods([{"kind": "RayCluster", "metadata": {"name": ""}, "spec": spec}]):
        for container in template["spec"]["containers"]:
            assert container["env"][:2] == token, owner
    (group,) = spec["workerGroupSpecs"]
    assert 0 <= group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    args = dict(pods(objects))["Job deploy"]["spec"]["containers"][0]["args"]
    settings = dict(arg.removeprefix("--set=").split("=") for arg in args if arg.startswith("--set="))
    share = float(settings["engine.gpus_per_worker"])
    assert int(settings["engine.workers"]) == group["maxReplicas"] / share
    assert f"{spec['rayVersion']}" in re.search(r"^ray==(\S+)", _text("requirements.txt"), re.M)[1]


# ---- images, secrets -------------------------------------------------------------------------------------------


def _text(name: str) -> str:
    return (REPOSITORY / name).read_text()


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
    version = re.search(r'^version = "(.+)"', _text("pyproject.toml"), re.M)[1]
    assert tags == {f"{version}-cpu", f"{version}-cuda"}


def test_no_file_holds_a_secret():
    for path, text in _everything():
        assert not re.search(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY", text), path
        for name, value in re.findall(r"^\s*[\w.]*(PASSWORD|SECRET\w*|AUTH|TOKEN)[\"']?\s*[:=][ \t]*(.*)$", text, re.M):
            assert value.strip() in ("", "token") or value.strip()[0] in "$#{'\"", f"{path}: {name} has a value"


def test_the_example_of_secrets_names_all_that_compose_asks_for():
    text = COMPOSE[0].read_text()
    example = dict(re.findall(r"^(\w+)=(.*)$", _text("infra/compose/.env.example"), re.M))
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert asked <= example.keys()
    assert {name for name, value in example.items() if not value} == asked - {"INPUT", "OUTPUT"}
    assert set(re.findall(r"\$\{(\w+)", text)) <= example.keys() | {"S3_ENDPOINT", "S3_REGION"}


def test_what_the_dockerfile_copies_is_there_and_let_through():
    ignored = _text(".dockerignore").splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text(), re.M):
        for source in line.split()[:-1]:
            path = REPOSITORY / source
            assert path.exists(), source
            assert f"!{source}" in ignored or f"!{source}/**" in ignored, f"{source} is kept out by .dockerignore"


def test_what_the_dockerfile_leaves_out_is_installed_and_needed_by_nothing_else():
    text = DOCKERFILE.read_text()
    lines = re.search(r"uv pip uninstall \\\n((?:.*\\\n)*.*)$", text, re.M)[1]
    names = lines.replace("\\", " ").split()
    for name in names:
        assert re.search(rf"^{name}==", _text("requirements.txt"), re.M), f"{name} is not in requirements.txt"
    project = _text("pyproject.toml")
    optional = re.search(r"\[project.optional-dependencies\](.+?)\n\[", project, re.S)[1]
    wanted = {"test", "demo"}
    for extra, listed in re.findall(r"^(\w+) = \[(.+?)\]$", optional, re.M | re.S):
        if extra not in wanted:
            assert not {re.split(r"[\[<>=]", entry)[0] for entry in re.findall(r'"(.+?)"', listed)} & set(names), extra


# ---- compose ---------------------------------------------------------------------------------------------------


def _services() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(COMPOSE[0].read_text())["services"]


def test_services_are_those_that_operations_names():
    table = re.search(r"\| service \| what .+?\n\n", OPERATIONS.read_text(), re.S)[0]
    named = dict(re.findall(r"^\| `(\w+)` \| .+ \| ([^|]+) \|$", table, re.M))
    assert named.keys() == _services().keys()
    for name, ports in named.items():
        published = [entry.split(":")[1] for entry in _services()[name].get("ports", [])]
        assert published == re.findall(r"\d+", ports), name


def test_services_are_restricted_watched_and_limited():
    for name, service in _services().items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert not service.get("privileged"), name
        assert {"cpus", "memory"} == service["deploy"]["resources"]["limits"].keys(), name
        assert "healthcheck" in service, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        if name != "s3":  # its own start script gives up root
            assert service["read_only"] is True and not service["user"].startswith("0"), name


# ---- terraform -------------------------------------------------------------------------------------------------


def _terraform() -> dict[str, Any]:
    hcl2 = pytest.importorskip("hcl2", reason="python-hcl2 is not installed")
    merged: dict[str, list[Any]] = {}
    for path in TERRAFORM:
        for kind, blocks in hcl2.loads(path.read_text()).items():
            merged.setdefault(kind, []).extend(blocks if isinstance(blocks, list) else [blocks])
    return merged


def _plain(value: Any) -> Any:
    """What an HCL parser gave, without the quotes that some releases leave around texts."""
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


# ---- commands --------------------------------------------------------------------------------------------------

PROGRAMS = ("clean-corpus", "prefect", "ray")


def _documented() -> list[list[str]]:
    """Commands of ours, Prefect's and Ray's in docs/OPERATIONS.md, in blocks and in the text."""
    text = OPERATIONS.read_text()
    lines = []
    for block in re.findall(r"^ *```sh\n(.+?)^ *```", text, re.M | re.S):
        block = re.sub(r"<<'?END'?\n.+?^END$", "", block, flags=re.M | re.S).replace("\\\n", " ")
        lines += block.splitlines()
    lines += [re.sub(r"\s+", " ", code) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    return [words for line in lines if (words := _command(line))]


def _command(line: str) -> list[str] | None:
    """The part of a line that runs one of the programs, without redirections; None if none does, or only its name."""
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
    """Commands that containers start."""
    found = [service["command"] for service in _services().values() if "command" in service]
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
def _prefect_at_home(tmp_path_factory):
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
    from clean_corpus.pipeline.core.config import override, validate

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
