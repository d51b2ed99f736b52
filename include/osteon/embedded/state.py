"""Keys, passwords and inner ports of one state folder: made once, readable by their owner only."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from osteon.embedded import STATE
from osteon.embedded.ports import free_ports

INNER_PORTS = (
    "master",
    "master_grpc",
    "volume",
    "volume_grpc",
    "filer",
    "filer_grpc",
    "s3_grpc",
)
"""Parts of SeaweedFS that talk to one another."""


class State(BaseModel):
    """What `stack.json` holds."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    made_at: str
    """ISO 8601."""
    s3_access_key: str
    s3_secret_key: str
    airflow_password: str
    fernet_key: str
    jwt_secret: str
    api_secret_key: str
    ports: dict[str, int]
    """By the names of INNER_PORTS."""

    @classmethod
    def new(cls) -> State:
        """New keys and passwords, and ports that are free now."""
        return cls(
            made_at=datetime.now(UTC).isoformat(),
            s3_access_key=secrets.token_hex(10),
            s3_secret_key=secrets.token_hex(20),
            airflow_password=secrets.token_urlsafe(12),
            fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            jwt_secret=secrets.token_hex(32),
            api_secret_key=secrets.token_hex(32),
            ports=dict(zip(INNER_PORTS, free_ports(len(INNER_PORTS)), strict=True)),
        )


def read_state(home: Path) -> State:
    """The state of a folder; made on first use.

    Raises:
        pydantic.ValidationError: The file there is none of ours.
    """
    path = home / STATE
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        write_private(path, State.new().model_dump_json())
    return State.model_validate_json(path.read_text(encoding="utf-8"))


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")
