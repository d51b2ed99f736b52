#!/opt/osteon/bin/python
"""Write the files that Airflow and MLflow want passwords in, from variables, then run the command.

Neither takes these from the environment; a file in the image, or a default password, would be known to everybody.
"""

import json
import os
import sys
from pathlib import Path

STATE = Path(os.environ["OSTEON_STATE_DIR"])


def write(name: str, text: str) -> str:
    """A file that only this user reads. Returns its path."""
    path = STATE / name
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return str(path)


def literal(value: str) -> str:
    """For MLflow's ConfigParser, to which a percent sign means something."""
    return value.replace("%", "%%")


if password := os.environ.pop("AIRFLOW_PASSWORD", ""):
    variable = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
    os.environ[variable] = write("airflow-passwords.json", json.dumps({"admin": password}))
if database := os.environ.pop("MLFLOW_AUTH_DATABASE", ""):
    admin, secret = os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = write(
        "mlflow-auth.ini",
        "[mlflow]\ndefault_permission = READ\nauthorization_function = "
        "mlflow.server.auth:authenticate_request_basic_auth\n"
        f"database_uri = {literal(database)}\nadmin_username = {literal(admin)}\nadmin_password = {literal(secret)}\n",
    )
os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the container's own command
