"""MLflow's client, once the registry has answered it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from osteon.errors import RegistryError, RegistryUnreachableError
from osteon.settings import RegistrySettings

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE = 10
"""Seconds in which MLflow has to answer at first."""


def connect(settings: RegistrySettings) -> MlflowClient:
    """MLflow's client, once the registry has answered it.

    Raises:
        RegistryUnreachableError: It does not answer within PATIENCE seconds. The client alone would ask for minutes.
        RegistryError: It answers, and refuses.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow.exceptions import MlflowException

    url = settings.mlflow_url
    if not url:
        raise RegistryError("OSTEON_MLFLOW_URL is empty: say where MLflow is, such as http://mlflow:5000")
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient()
    try:
        with _one_short_try():
            client.search_registered_models(max_results=1)
    except MlflowException as error:  # the messages hold nothing that changes from try to try: validations tell them
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise RegistryError(
                f"the certificate of {url} is not trusted: name the PEM file of the authority that signed it in "
                "MLFLOW_TRACKING_SERVER_CERT_PATH"
            ) from error
        if error.error_code == "INTERNAL_ERROR":  # MLflow's word for no answer, and for one with a status from 500 on
            raise RegistryUnreachableError(
                f"no MLflow answers at {url}: start it, or say where it is in OSTEON_MLFLOW_URL"
            ) from error
        raise RegistryError(
            f"{url} refuses to show its models ({error.error_code}): check OSTEON_MLFLOW_URL, "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        ) from error
    return client


@contextmanager
def _one_short_try() -> Iterator[None]:
    """MLflow's client asks once, and waits for PATIENCE seconds. It knows no other way to say so than variables."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
