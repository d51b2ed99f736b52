"""The variables with which processes find the embedded services."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from osteon.embedded.ports import HOST
from osteon.embedded.state import State
from osteon.settings import ROOT, Settings

USER = "admin"
"""Of the embedded Airflow."""


def environment(applied: Settings, home: Path, state: State) -> dict[str, str]:
    """Variables for a process that uses the services, on top of this process's own.

    Args:
        applied: Settings with the addresses and keys of the services.
        home: The state folder.
        state: Its keys.
    """
    airflow_home = home / "airflow"
    smtp = {"conn_type": "smtp", "host": HOST, "port": applied.smtp_port}
    smtp["extra"] = {"disable_ssl": True, "disable_tls": True, "from_email": applied.mail_from}
    osteon = {
        "STATE_DIR": str(home),
        "S3_ENDPOINT": applied.s3_endpoint,
        "S3_ACCESS_KEY": applied.s3_access_key,
        "S3_SECRET_KEY": applied.s3_secret_key.get_secret_value(),
        "MLFLOW_URL": applied.mlflow_url,
        "AIRFLOW_URL": applied.airflow_url,
        "SCHEDULED_FROM": state.made_at,  # or Airflow makes a run for last week as soon as the DAG is unpaused
    }
    airflow = {
        "CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__FERNET_KEY": state.fernet_key,
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "airflow-passwords.json"),
        "CORE__EXECUTION_API_SERVER_URL": f"{applied.airflow_url}/execution/",
        "API__HOST": HOST,
        "API__PORT": str(applied.airflow_port),
        "API__BASE_URL": applied.airflow_url,
        "API__WORKERS": "1",
        "API__SECRET_KEY": state.api_secret_key,
        "API_AUTH__JWT_SECRET": state.jwt_secret,
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow_home / 'airflow.db'}",
        "EXECUTION_API__JWT_EXPIRATION_TIME": str(24 * 3600),
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    search = [str(ROOT / "include"), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        **{f"OSTEON_{name}": value for name, value in osteon.items()},
        **{f"AIRFLOW__{name}": value for name, value in airflow.items()},
        "AIRFLOW_HOME": str(airflow_home),
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(smtp),
        "AWS_ACCESS_KEY_ID": applied.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": applied.s3_secret_key.get_secret_value(),
        "AWS_DEFAULT_REGION": applied.s3_region,
        "MLFLOW_S3_ENDPOINT_URL": applied.s3_endpoint,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # its job runners evaluate language models; none is here
        "GX_ANALYTICS_ENABLED": "false",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONPATH": os.pathsep.join(part for part in search if part),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
