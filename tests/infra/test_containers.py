"""Dockerfile and compose files fit their schemas, copy what exists, and restrict and watch every service."""

import re
from typing import Any

import yaml

from clean_corpus.pipeline.core.telemetry import FORCED
from tests.infra.files import COMPOSE, DOCKERFILE, OPERATIONS, contents, output, program, services
from tests.support.paths import REPOSITORY


def test_hadolint_has_nothing_to_say():
    assert output(program("hadolint"), DOCKERFILE) == ""


def test_compose_files_fit_the_schema_of_compose():
    output(program("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", *COMPOSE)


def test_what_the_dockerfile_copies_is_there_and_let_through():
    ignored = contents(".dockerignore").splitlines()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text(), re.M):
        for source in line.split()[:-1]:
            assert (REPOSITORY / source).exists(), source
            assert f"!{source}" in ignored or f"!{source}/**" in ignored, f"{source} is kept out by .dockerignore"


def test_the_example_of_secrets_names_all_that_compose_asks_for():
    text = COMPOSE[0].read_text()
    example = dict(re.findall(r"^(\w+)=(.*)$", contents("infra/compose/.env.example"), re.M))
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    assert asked <= example.keys()
    assert {name for name, value in example.items() if not value} == asked - {"INPUT", "OUTPUT"}
    assert set(re.findall(r"\$\{(\w+)", text)) <= example.keys() | {"S3_ENDPOINT", "S3_REGION"}


def test_services_are_those_that_operations_names():
    table = re.search(r"\| service \| what .+?\n\n", OPERATIONS.read_text(), re.S)[0]
    named = dict(re.findall(r"^\| `(\w+)` \| .+ \| ([^|]+) \|$", table, re.M))
    assert named.keys() == services().keys()
    for name, ports in named.items():
        published = [entry.split(":")[1] for entry in services()[name].get("ports", [])]
        assert published == re.findall(r"\d+", ports), name


def test_services_are_restricted_watched_and_limited():
    for name, service in services().items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["cap_drop"] == ["ALL"], name
        assert not service.get("privileged"), name
        assert {"cpus", "memory"} == service["deploy"]["resources"]["limits"].keys(), name
        assert "healthcheck" in service, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        if name != "s3":  # its own start script gives up root
            assert service["read_only"] is True and not service["user"].startswith("0"), name


def test_keys_of_s3_and_the_way_to_it_are_the_workers_alone():
    with_keys = {
        name for name, service in services().items() if any("S3_SECRET_KEY" in str(v) for v in _values(service))
    }
    assert with_keys == {"s3", "worker"}
    networks = {name: set(service["networks"]) for name, service in services().items()}
    assert {name for name, some in networks.items() if some & networks["s3"]} == with_keys
    assert {name for name, some in networks.items() if some & networks["postgres"]} == {"postgres", "prefect"}


def _values(service: dict[str, Any]) -> list[object]:
    return list(service.get("environment", {}).values())


def test_of_the_s3_servers_ports_only_the_one_that_asks_for_keys_leaves_its_container():
    flags = dict(flag.lstrip("-").partition("=")[::2] for flag in services()["s3"]["command"][1:])
    assert flags["ip"] == flags["ip.bind"] == "127.0.0.1" and flags["s3.ip.bind"] == "0.0.0.0"
    assert flags["s3.port.iceberg"] == flags["s3.port.lance"] == "0"
    assert flags["s3.iam"] == flags["master.telemetry"] == "false"
    assert "WEED_JWT_FILER_SIGNING_KEY" in services()["s3"]["environment"]  # without it anyone may make keys by gRPC


def test_images_and_deployments_have_the_switches_against_telemetry_before_any_program_starts():
    """Prefect's and Ray's own programs start without this package, whose import sets them elsewhere."""
    image = dict(re.findall(r"\b([A-Z][A-Z_]+)=(\S+)", DOCKERFILE.read_text()))
    assert image.items() >= FORCED.items()
    pool = yaml.safe_load(contents("prefect.yaml"))["definitions"]["pool"]
    assert pool["job_variables"]["env"].items() >= FORCED.items()
    for name, service in services().items():
        ours = service["image"].startswith("clean-corpus:")
        assert ours or name in ("postgres", "s3"), f"{name}: which switches does its image need?"
        assert not ours or not FORCED.keys() & service.get("environment", {}).keys(), name
