"""Training in pods: `osteon train` in the trainer image, watched by the triggerer, its result in the lake."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from kubernetes.client import ApiException
from kubernetes.client import models as k8s

from osteon.errors import ConfigurationError
from osteon.settings import FOR_PODS, Settings
from osteon.version import code_version
from osteon_airflow.training import (
    EXIT_EXPECTED_ERROR,
    LAST_LINES,
    TrainingInterruptedError,
    TrainingJob,
    build_training_job,
    failure,
)

QUOTA_PAUSE = timedelta(minutes=1)
LOG_PAUSE = 30
"""Seconds between two readings of a pod's log."""
FORBIDDEN = 403
GPU = "nvidia.com/gpu"
NEEDS_NO_GPU = ("forest",)
"""Models that scikit-learn trains."""


class TrainingPod(KubernetesPodOperator):
    """Trains one model of the current DAG run in a pod. Gives the training's key, as the local task does.

    A training that the lake holds needs no pod. A pod that goes on while Airflow's worker or triggerer starts again is
    found again. One that is lost is replaced by the retry, which goes on with the search that the lake holds. Raises
    `TrainingError` with its last lines where `osteon` says what is wrong, `TrainingInterruptedError` for all else.
    """

    template_fields = (*KubernetesPodOperator.template_fields, "catalog", "model", "winner", "helper")

    def __init__(
        self,
        *,
        stage: str,
        catalog: str,
        model: str,
        winner: list[str] | None = None,
        helper: int = 0,
        **pod: Any,
    ) -> None:
        super().__init__(**pod)
        self.stage, self.catalog, self.model, self.winner, self.helper = stage, catalog, model, winner, helper

    def _job(self) -> TrainingJob:
        return build_training_job(self.stage, self.catalog, self.model, self.winner, self.helper)

    def execute(self, context: Any, event: Any = None) -> None:
        """`event` says that it waited for the quota."""
        training = self._job()
        if training.done:
            self.log.info("%s was trained before", training.out)
            # a try that ended with Airflow's worker left its pod, which may have ended well
            self.process_pod_deletion(self.find_pod(self.namespace, context, exclude_checked=False))
            self._give(context, training.out)
            return
        self.arguments = training.arguments
        if self.model in NEEDS_NO_GPU and self.container_resources:
            for asked in (self.container_resources.requests, self.container_resources.limits):
                asked.pop(GPU, None)
        try:
            super().execute(context)
        except ApiException as error:
            waited = datetime.now(UTC) - context["ti"].start_date
            used_up = error.status == FORBIDDEN and "exceeded quota" in str(error.body)
            if not used_up or waited.total_seconds() > self.schedule_timeout_seconds:
                raise
            self.log.info("the quota of namespace %s is used up: asked again in %s", self.namespace, QUOTA_PAUSE)
            self.defer(trigger=TimeDeltaTrigger(QUOTA_PAUSE), method_name="execute")

    def trigger_reentry(self, context: Any, event: dict[str, Any]) -> None:
        training = self._job()
        wrong: AirflowException | None = None
        try:
            super().trigger_reentry(context, event)
        except AirflowException as error:
            wrong = error
        if not training.done:
            if wrong:
                raise self._failure(training.arguments, event) from wrong
            raise TrainingInterruptedError(f"the pod ended well, but the lake has no {training.out}/{training.result}")
        if wrong:
            self.log.warning("the pod was lost sight of, but its training ended well: %s", wrong)
        self._give(context, training.out)

    def _give(self, context: Any, out: str) -> None:
        """The operator itself returns what a sidecar reads from the pod: there is none."""
        context["ti"].xcom_push(key="return_value", value=out)

    def _failure(self, arguments: list[str], event: Mapping[str, Any]) -> Exception:
        status = self.pod.status if self.pod else k8s.V1PodStatus()
        own = [one.state for one in status.container_statuses or [] if one.name == self.base_container_name]
        ended = [state.terminated for state in own if state.terminated]
        if not ended:
            why = [event["message"], status.message, *(state.waiting.message for state in own if state.waiting)]
            why += [condition.message for condition in status.conditions or [] if condition.status == "False"]
            reasons = "; ".join(text for text in dict.fromkeys(why) if text)
            return TrainingInterruptedError(
                f"pod {event['name']} of `osteon {shlex.join(arguments)}` gave no result: {reasons}"
            )
        last = "\n".join((ended[0].message or "").splitlines()[-LAST_LINES:])
        reason = "" if ended[0].exit_code == EXIT_EXPECTED_ERROR else f"{ended[0].reason}\n"  # OOMKilled, say
        return failure(arguments, ended[0].exit_code, reason + last)


def pod_arguments(settings: Settings) -> dict[str, Any]:
    """The operator's arguments that the settings give."""
    resources = {"cpu": settings.pod_cpu, "memory": settings.pod_memory, "ephemeral-storage": settings.pod_disk}
    if settings.pod_gpus:
        resources[GPU] = str(settings.pod_gpus)
    shared = {name: str(getattr(settings, name)) for name in FOR_PODS}
    shared |= {"expected_code": code_version(), "expected_files": settings.files_digest()}
    shared |= {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.pod_settings.items()
    }
    shared |= {"needs_gpu": "1"} if settings.pod_gpus else {}
    memory = k8s.V1EmptyDirVolumeSource(medium="Memory", size_limit=settings.pod_shared_memory)
    secret = k8s.V1SecretVolumeSource(secret_name=settings.pod_secret)
    return {
        "name": "osteon-train",
        "namespace": settings.pod_namespace,
        "image": settings.pod_image,
        "image_pull_policy": settings.pod_pull_policy,
        "cmds": ["osteon"],
        "pod_template_file": str(settings.pod_template),
        "service_account_name": settings.pod_service_account,
        "env_vars": {f"OSTEON_{name.upper()}": value for name, value in shared.items()},
        "volumes": [
            k8s.V1Volume(name="shared-memory", empty_dir=memory),
            k8s.V1Volume(name="secrets", secret=secret),
        ],
        "volume_mounts": [
            k8s.V1VolumeMount(name="shared-memory", mount_path="/dev/shm"),  # noqa: S108 - a volume of the pod's own
            k8s.V1VolumeMount(name="secrets", mount_path="/run/secrets/osteon", read_only=True),
        ],
        "container_resources": k8s.V1ResourceRequirements(requests={**resources}, limits={**resources}),
        "node_selector": settings.pod_node_selector or None,
        "tolerations": [_toleration(written) for written in settings.pod_tolerations] or None,
        "deferrable": True,
        "poll_interval": 5,
        "logging_interval": LOG_PAUSE,  # what a pod says stands in its task's log while it trains
        "schedule_timeout_seconds": int(3600 * settings.pod_queue_hours),
        "startup_timeout_seconds": int(60 * settings.pod_start_minutes),
        "execution_timeout": timedelta(hours=settings.pod_hours),
        "active_deadline_seconds": int(3600 * settings.pod_hours),
        "termination_message_policy": "FallbackToLogsOnError",  # the last lines come with the exit status
        "log_events_on_failure": True,
        "log_pod_spec_on_failure": False,
        "on_finish_action": "delete_pod",  # what a failed one said stands in log, error and mail
    }


def _toleration(written: dict[str, Any]) -> k8s.V1Toleration:
    """As Kubernetes writes it. Raises `ConfigurationError` for a field that it does not have."""
    names = {field: name for name, field in k8s.V1Toleration.attribute_map.items()}
    if unknown := written.keys() - names:
        raise ConfigurationError(f"OSTEON_POD_TOLERATIONS has {sorted(unknown)}: a toleration has {sorted(names)}")
    return k8s.V1Toleration(**{names[field]: value for field, value in written.items()})
