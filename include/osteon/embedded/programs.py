"""The processes of the embedded services, and the file that supervisord starts them from."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from osteon.embedded.ports import HOST
from osteon.embedded.state import State
from osteon.settings import Settings

STOPPING = {"s3": 4}
"""Seconds until a program that was asked to end is killed, where not 30. SeaweedFS waits 15 s for streams between its
own parts, which never end; by then every request is answered, and what it wrote is the machine's."""

HOME = "%(ENV_OSTEON_STATE_DIR)s"
"""The state folder in supervisord's file: it takes the value of a variable as it is."""


def programs(settings: Settings, home: Path, state: State) -> dict[str, dict[str, list[str]]]:
    """The processes of each service, with their commands."""
    binaries, ports, port = Path(sys.executable).parent, state.ports, settings
    weed = [str(binaries / "weed"), "server", f"-dir={home / 's3'}", f"-ip={HOST}", f"-ip.bind={HOST}", "-s3"]
    weed += [
        f"-s3.port={port.s3_port}",
        f"-s3.config={home / 's3-identities.json'}",
        f"-s3.port.grpc={ports['s3_grpc']}",
    ]
    weed += [
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-volume.max=10000",  # each bucket opens seven of them; empty ones cost nothing
        "-master.volumeSizeLimitMB=512",
        "-master.telemetry=false",
        "-volume.preStopSeconds=1",
        "-master.electionTimeout=1s",  # it has no rivals to wait for when it starts again
    ]
    for part in ("master", "volume", "filer"):
        weed += [f"-{part}.port={ports[part]}", f"-{part}.port.grpc={ports[part + '_grpc']}"]
    mlflow = [str(binaries / "mlflow"), "server", "--host", HOST, "--port", str(port.mlflow_port), "--workers", "1"]
    mlflow += ["--backend-store-uri", f"sqlite:///{home / 'mlflow' / 'mlflow.db'}", "--serve-artifacts"]
    mlflow += ["--artifacts-destination", f"s3://{port.s3_bucket}/mlflow"]
    mlflow += ["--allowed-hosts", f"{HOST}:*,localhost:*"]
    mail = [sys.executable, "-m", "osteon.embedded.mail", "--smtp-port", str(port.smtp_port)]
    mail += ["--http-port", str(port.mail_port), "--folder", str(home / "mail")]
    # Not `airflow standalone`: its log servers listen on every address of the machine. Logs are read from disk.
    parts = {
        "api-server": [],
        "dag-processor": [],
        "scheduler": ["--skip-serve-logs"],
        "triggerer": ["--skip-serve-logs"],
    }
    airflow = {f"airflow-{part}": [str(binaries / "airflow"), part, *flags] for part, flags in parts.items()}
    return {"s3": {"s3": weed}, "mail": {"mail": mail}, "mlflow": {"mlflow": mlflow}, "airflow": airflow}


def configuration(services: dict[str, dict[str, list[str]]], home: Path, socket: str) -> str:
    """The file that supervisord reads, in an environment where OSTEON_STATE_DIR is the state folder.

    Args:
        services: As `programs` gives them.
        home: The state folder.
        socket: Path of the supervisor's socket.
    """
    log = f"{HOME}/log"  # supervisord 4.3 expands `stdout_logfile` twice
    sections = [
        f"[unix_http_server]\nfile={_place(socket, home)}\nchmod=0700",
        f"[supervisord]\nlogfile={log}/supervisord.log\npidfile={HOME}/supervisord.pid\nminfds=1024",
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for service, programs in services.items():
        sections.append(f"[group:{service}]\nprograms={','.join(programs)}")
        for name, command in programs.items():
            sections.append(
                f"[program:{name}]\ncommand={_command_line(command)}\nautostart=false\nautorestart=false\nstartsecs=0\n"
                f"stopasgroup=true\nkillasgroup=true\nstopwaitsecs={STOPPING.get(name, 30)}\nredirect_stderr=true\n"
                f"stdout_logfile=%{log}/{name}.log\nstdout_logfile_maxbytes=20MB\n"
                "stdout_logfile_backups=1"
            )
    return "\n\n".join(sections) + "\n"


def _place(path: str, home: Path) -> str:
    """A path as supervisord's file has it. The folder comes from a variable, for nothing quotes a blank before `;`."""
    inside = path.removeprefix(str(home))
    return f"{HOME}{inside}" if inside != path else path.replace("%", "%%")


def _command_line(words: list[str]) -> str:
    """A command as supervisord's file has it: `%` doubled, words quoted, and no blank before what begins a comment."""
    line = shlex.join(words).replace("%", "%%")
    return re.sub(r"(\s)([;#])", r"\1''\2", line)
