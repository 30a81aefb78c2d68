"""Kubernetes manifests fit their schemas, name what exists, and give containers no more than they need."""

import re
from typing import Any

import pytest
import yaml

from tests.infra.files import INFRA, OPERATIONS, contents, output, pods, program

KUSTOMIZATIONS = ["base", "overlays/gpu", "overlays/ray"]


@pytest.fixture(scope="module")
def rendered() -> dict[str, list[dict[str, Any]]]:
    """Return the objects of each kustomization as kubectl renders them."""
    kubectl = program("kubectl")
    texts = {name: output(kubectl, "kustomize", INFRA / "kubernetes" / name) for name in KUSTOMIZATIONS}
    return {name: list(yaml.safe_load_all(text)) for name, text in texts.items()}


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_objects_fit_the_schemas_of_kubernetes(rendered, name, tmp_path):
    objects = [item for item in rendered[name] if item["kind"] != "RayCluster"]
    for owner, template in pods(rendered[name]):
        if owner.startswith("RayCluster"):  # whose schema is KubeRay's; its pods are pods
            objects.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]})
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    report = output(program("kubernetes-validate"), "--strict", file)
    assert report.count(" passed ") == len(objects)


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_containers_are_restricted_limited_and_watched(rendered, name):
    for owner, template in pods(rendered[name]):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, owner
        assert spec["securityContext"]["runAsUser"] >= 10000, owner
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), owner
        assert spec.get("automountServiceAccountToken") is False or owner == "RayCluster clean-corpus head", owner
        for container in spec["containers"] + spec.get("initContainers", []):
            rights, resources, about = (
                container["securityContext"],
                container["resources"],
                f"{owner}: {container['name']}",
            )
            assert rights["allowPrivilegeEscalation"] is False, about
            assert rights["readOnlyRootFilesystem"] is True, about
            assert rights["capabilities"] == {"drop": ["ALL"]}, about
            assert not rights.get("privileged"), about
            assert {"cpu", "memory"} <= resources["limits"].keys() & resources["requests"].keys(), about
            assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/data", "/tmp"}, about
            if not owner.startswith("Job"):
                assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), about


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_every_name_refers_to_an_object_or_to_a_documented_secret(rendered, name):
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


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_only_pods_that_run_flows_have_keys_of_s3_and_a_way_to_it(rendered, name):
    roles = {
        item["metadata"]["name"]
        for item in rendered[name]
        if item["kind"] == "ServiceAccount" and "eks.amazonaws.com/role-arn" in item["metadata"].get("annotations", {})
    }
    for owner, template in pods(rendered[name]):
        spec, labels = template["spec"], template["metadata"]["labels"]
        runs_flows = labels["app.kubernetes.io/name"] in ("worker", "ray")
        assert (spec["serviceAccountName"] in roles) is runs_flows, owner
        containers = spec["containers"] + spec.get("initContainers", [])
        has_keys = any(
            source.get("secretRef", {}).get("name") == "s3" for c in containers for source in c.get("envFrom", [])
        )
        assert has_keys is runs_flows, owner
        assert (443 in _egress_ports(rendered[name], labels)) is runs_flows, owner


def _egress_ports(objects: list[dict[str, Any]], labels: dict[str, str]) -> set[int]:
    policies = (item["spec"] for item in objects if item["kind"] == "NetworkPolicy")
    chosen = (policy.get("egress", []) for policy in policies if _selects(policy["podSelector"], labels))
    return {port["port"] for rules in chosen for rule in rules for port in rule.get("ports", [])}


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
    assert f"{spec['rayVersion']}" in re.search(r"^ray==(\S+)", contents("requirements.txt"), re.M)[1]
