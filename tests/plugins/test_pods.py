"""What a training pod is, and that the manifests keep the schemas of Kubernetes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from osteon.errors import ConfigurationError, LakeError, LakeUnreachableError, SourceUnreachableError
from osteon.settings import ROOT, Settings, load_settings
from osteon.version import code_version

VERSION = "1.33"
"""Of Kubernetes, whose schemas the manifests keep."""


def manifests(path: Path) -> list[dict[str, Any]]:
    return [part for part in yaml.safe_load_all(path.read_text()) if part]


FILES = sorted([*(ROOT / "deploy" / "kubernetes").glob("*.yaml"), ROOT / "deploy" / "training-pod.yaml"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifests_keep_the_schemas_of_kubernetes(path: Path) -> None:
    for manifest in manifests(path):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_a_misspelt_field_does_not_pass() -> None:
    (pod,) = manifests(ROOT / "deploy" / "training-pod.yaml")
    pod["spec"]["automountServiceAccountTokn"] = False
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, VERSION, strict=True)


def request(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The pod that would be asked for, as Kubernetes is sent it."""
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    from kubernetes.client import ApiClient

    from osteon_airflow.pods import TrainingPod, pod_arguments

    monkeypatch.setattr(KubernetesHook, "is_in_cluster", False)
    monkeypatch.setattr(KubernetesHook, "get_namespace", lambda self: None)
    operator = TrainingPod(
        task_id="train", stage="train", catalog="split/x", model="cnn_bilstm", **pod_arguments(settings)
    )
    operator.arguments = ["train", "--model", "cnn_bilstm"]
    return ApiClient().sanitize_for_serialization(operator.build_pod_request_obj())


def test_a_training_pod_may_do_nothing_but_train(airflow: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        pod_node_selector={"gpu": "a100"},
        pod_tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "tolerationSeconds": 300}],
        pod_settings={"s3_endpoint": "http://minio.lake:9000", "search_patience": 30},
        pod_memory="3Gi",
        s3_secret_key="not to be seen",
    )
    pod = request(settings, monkeypatch)
    kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod", **pod}, VERSION, strict=True)
    spec, (container,) = pod["spec"], pod["spec"]["containers"]
    assert spec["automountServiceAccountToken"] is False and spec["restartPolicy"] == "Never"
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"] == {
        "type": "RuntimeDefault"
    }
    allowed = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container["securityContext"] == allowed
    asked = container["resources"]
    assert asked["limits"] == asked["requests"]
    assert asked["limits"]["nvidia.com/gpu"] == "1" and asked["limits"]["memory"] == "3Gi"
    assert spec["nodeSelector"] == {"gpu": "a100"} and spec["tolerations"] == settings.pod_tolerations
    seen = {item["name"]: item.get("value") for item in container["env"]}
    assert seen["OSTEON_S3_ENDPOINT"] == "http://minio.lake:9000" and seen["OSTEON_SEARCH_PATIENCE"] == "30"
    assert seen["OSTEON_SECRETS_DIR"] == "/run/secrets/osteon" and seen["OSTEON_EXPECTED_CODE"] == code_version()
    assert seen["OSTEON_EXPECTED_FILES"] == settings.files_digest()
    assert "not to be seen" not in str(pod), "secrets come from a Kubernetes Secret"
    assert not any(name.startswith("OSTEON_S3_CA") for name in seen), "that file is Airflow's machine's"
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts == {"/work", "/dev/shm", "/run/secrets/osteon"}


def test_a_toleration_with_an_unknown_field_names_it(airflow: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"POD_TOLERATIONS has \['toleration_seconds'\]"):
        request(load_settings(pod_tolerations=[{"toleration_seconds": 3}]), monkeypatch)


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (LakeUnreachableError("gone"), "RETRY"),
        (SourceUnreachableError("gone"), "RETRY"),
        (LakeError("refused"), "FAIL"),
        (TimeoutError(), "RETRY"),
    ],
)
def test_what_may_pass_by_itself_is_tried_again(airflow: dict[str, str], error: Exception, action: str) -> None:
    from osteon_airflow.stages import RETRY_POLICY

    assert RETRY_POLICY.evaluate(error, try_number=1, max_tries=3).action.name == action


def test_without_a_gpu_none_is_asked_for(airflow: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = request(load_settings(pod_gpus=0), monkeypatch)["spec"]["containers"]
    assert not any("gpu" in name for name in container["resources"]["limits"])
