"""Write `.env` with passwords and what depends on machine and day; one that is there only gets what it lacks.

Needs nothing but Python.
"""

import base64
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

PASSWORDS = ("POSTGRES_PASSWORD", "S3_SECRET_KEY", "MLFLOW_PASSWORD", "AIRFLOW_PASSWORD", "JWT_SECRET", "SECRET_KEY")
LATER = ("PATIENT_KEY",)
"""Which a file of an earlier version lacks."""


def main(path: Path) -> None:
    if path.exists():
        there = {line.split("=")[0] for line in path.read_text(encoding="utf-8").splitlines()}
        missing = {name: secrets.token_hex(20) for name in LATER if name not in there}
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(f"\n{name}={value}\n" for name, value in missing.items()))
        print(f"{path} gets {', '.join(missing)}" if missing else f"{path} stays as it is")
        return
    values = {name: secrets.token_hex(20) for name in PASSWORDS + LATER}
    values["S3_ACCESS_KEY"] = secrets.token_hex(10)
    values["FERNET_KEY"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    values["OSTEON_CPUS"] = str(os.cpu_count())  # docker refuses a limit of more than there are
    values["OSTEON_SCHEDULED_FROM"] = datetime.now(UTC).isoformat(timespec="seconds")  # not for last week as well
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()), encoding="utf-8")
    print(f"wrote {path}: log in to Airflow and MLflow as admin, with the passwords in it")


if __name__ == "__main__":
    main(Path(__file__).resolve().parents[1] / ".env")
