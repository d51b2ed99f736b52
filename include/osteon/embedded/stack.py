"""The embedded services under supervisord: an S3 store, MLflow, a mail catcher and Airflow, on loopback only."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import requests
from pydantic import SecretStr

from osteon.embedded import STATE
from osteon.embedded.ports import HOST, free_ports, require_free
from osteon.errors import ServiceError
from osteon.lake import Lake
from osteon.settings import ROOT, Settings

log = logging.getLogger(__name__)
ALL = ("s3", "mail", "mlflow", "airflow")
USER = "admin"
PATIENCE = 300.0
"""Seconds that a service has to answer."""
STOPPING = {"s3": 4}
"""Seconds until a program that was asked to end is killed, where not 30. SeaweedFS waits 15 s for streams between its
own parts, which never end; by then every request is answered, and what it wrote is the machine's."""
INNER_PORTS = (
    "master",
    "master_grpc",
    "volume",
    "volume_grpc",
    "filer",
    "filer_grpc",
    "s3_grpc",
)


class Stack:
    """The services of one state folder. Objects of one folder, in any process, speak of the same services."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home = settings.state_dir.resolve()

    # What others need to know

    def urls(self) -> dict[str, str]:
        """Where each service is reached by people."""
        ports = {"airflow": self.settings.airflow_port, "mlflow": self.settings.mlflow_port}
        ports |= {"mail": self.settings.mail_port, "s3": self.settings.s3_port}
        return {name: f"http://{HOST}:{port}" for name, port in ports.items()}

    def login(self) -> tuple[str, str]:
        """User and password of the embedded Airflow."""
        return USER, self._state["airflow_password"]

    def applied_settings(self) -> Settings:
        """The settings with addresses and keys of these services filled in."""
        urls = self.urls()
        return self.settings.model_copy(
            update={
                "s3_endpoint": urls["s3"],
                "s3_access_key": self._state["s3_access_key"],
                "s3_secret_key": SecretStr(self._state["s3_secret_key"]),
                "mlflow_url": urls["mlflow"],
                "airflow_url": urls["airflow"],
            }
        )

    def environment(self) -> dict[str, str]:
        """Variables for a process that uses the services, on top of this process's own."""
        applied, urls, state = self.applied_settings(), self.urls(), self._state
        airflow_home = self.home / "airflow"
        smtp = {"conn_type": "smtp", "host": HOST, "port": self.settings.smtp_port}
        smtp["extra"] = {"disable_ssl": True, "disable_tls": True, "from_email": self.settings.mail_from}
        osteon = {
            "STATE_DIR": str(self.home),
            "S3_ENDPOINT": applied.s3_endpoint,
            "S3_ACCESS_KEY": applied.s3_access_key,
            "S3_SECRET_KEY": applied.s3_secret_key.get_secret_value(),
            "MLFLOW_URL": applied.mlflow_url,
            "AIRFLOW_URL": applied.airflow_url,
            "SCHEDULED_FROM": state["made_at"],  # or Airflow makes a run for last week as soon as the DAG is unpaused
        }
        airflow = {
            "CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "4",
            "CORE__FERNET_KEY": state["fernet_key"],
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "airflow-passwords.json"),
            "CORE__EXECUTION_API_SERVER_URL": f"{urls['airflow']}/execution/",
            "API__HOST": HOST,
            "API__PORT": str(self.settings.airflow_port),
            "API__BASE_URL": urls["airflow"],
            "API__WORKERS": "1",
            "API__SECRET_KEY": state["api_secret_key"],
            "API_AUTH__JWT_SECRET": state["jwt_secret"],
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

    def running(self) -> set[str]:
        """Names of the services all of whose processes run."""
        return {name for name, alive in self._processes().items() if all(alive)}

    def _processes(self) -> dict[str, list[bool]]:
        """Of each service: which of its processes run."""
        if not self._alive():
            return {}
        found: dict[str, list[bool]] = {}
        for process in self._rpc.getAllProcessInfo():
            found.setdefault(process["group"], []).append(process["statename"] in ("RUNNING", "STARTING"))
        return found

    # Starting and stopping

    def up(self, services: Sequence[str] = ALL) -> list[str]:
        """Start those that do not run and wait until they answer. Returns the names of those started.

        Raises `ServiceError`: a taken port (nothing was started then), or a service that ended or did not answer
        (what this call started is stopped again).
        """
        missing = [name for name in services if name not in self.running()]
        self.down(missing)  # what is left of a service that lost a process
        ports = {"s3": ["s3"], "mail": ["smtp", "mail"], "mlflow": ["mlflow"], "airflow": ["airflow"]}
        for name in missing:
            for port in ports[name]:
                require_free(getattr(self.settings, f"{port}_port"), name, f"OSTEON_{port.upper()}_PORT")
        if not missing:
            return []
        if not self._alive():
            self._start_supervisor()
        try:
            # The store comes first: MLflow keeps its artifacts there.
            for batch in ([name for name in missing if name == "s3"], [name for name in missing if name != "s3"]):
                for name in batch:
                    log.info("starting %s", name)
                    if name == "airflow":
                        self._migrate_airflow()
                    self._rpc.startProcessGroup(name, False)
                for name in batch:
                    self._wait(name)
                if "s3" in batch:
                    Lake.from_settings(self.applied_settings())
        except BaseException:
            self.down(missing)
            raise
        return missing

    def down(self, services: Sequence[str] | None = None) -> None:
        """Stop the named services, or all; the last one takes the supervisor with it."""
        if not self._alive():
            return
        for name in reversed(ALL):
            if any(self._processes()[name]) and (services is None or name in services):
                log.info("stopping %s", name)
                self._rpc.stopProcessGroup(name, True)
                if name == "airflow":
                    _end_orphans(int(self._rpc.getPID()))  # type: ignore[call-overload]
        if not any(any(alive) for alive in self._processes().values()):
            pid = int(self._rpc.getPID())  # type: ignore[call-overload]
            self._rpc.shutdown()
            deadline = time.monotonic() + 30
            while not _ended(pid):
                if time.monotonic() > deadline:
                    raise ServiceError(f"supervisord (process {pid}) does not end: see {self.home / 'log'}")
                time.sleep(0.1)

    def _wait(self, name: str) -> None:
        checks: dict[str, Callable[[], bool]] = {
            "s3": lambda: requests.get(self.urls()["s3"], timeout=5).status_code in (200, 403),
            "mail": lambda: requests.get(self.urls()["mail"], timeout=5).ok,
            "mlflow": lambda: requests.get(f"{self.urls()['mlflow']}/health", timeout=5).ok,
            "airflow": self._airflow_is_healthy,
        }
        start = time.monotonic()
        while True:
            if name not in self.running():
                raise ServiceError(f"{name} ended while it started. The end of its log:\n{self._log_tail(name)}")
            try:
                if checks[name]():
                    break
            except (requests.ConnectionError, requests.Timeout):
                pass  # not listening yet; the deadline below ends the waiting
            if time.monotonic() - start > PATIENCE:
                raise ServiceError(f"{name} did not answer in {PATIENCE:.0f} s. Its log ends:\n{self._log_tail(name)}")
            time.sleep(0.3)
        log.info("%s answers after %.0f s", name, time.monotonic() - start)

    def _airflow_is_healthy(self) -> bool:
        answer = requests.get(f"{self.urls()['airflow']}/api/v2/monitor/health", timeout=5)
        parts = ("metadatabase", "scheduler", "dag_processor")
        return answer.ok and all(answer.json()[part]["status"] == "healthy" for part in parts)

    def _log_tail(self, name: str) -> str:
        logs = [self.home / "log" / f"{program}.log" for program in self._programs()[name]]
        return "\n".join(
            f"{path}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-20:])
            for path in logs
            if path.exists()
        )

    def _migrate_airflow(self) -> None:
        """Make Airflow's database, or bring it to this version."""
        command = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServiceError(
                f"Airflow's database in {self.home / 'airflow'} cannot be migrated:\n{done.stderr[-2000:]}"
            )

    # The supervisor

    @cached_property
    def _state(self) -> dict[str, Any]:
        """Keys, passwords and inner ports: made on first use, readable by their owner only."""
        path = self.home / STATE
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            state = {
                "made_at": datetime.now(UTC).isoformat(),
                "s3_access_key": secrets.token_hex(10),
                "s3_secret_key": secrets.token_hex(20),
                "airflow_password": secrets.token_urlsafe(12),
                "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
                "jwt_secret": secrets.token_hex(32),
                "api_secret_key": secrets.token_hex(32),
                "ports": dict(zip(INNER_PORTS, free_ports(len(INNER_PORTS)), strict=True)),
            }
            _write_private(path, json.dumps(state))
        loaded: dict[str, Any] = json.loads(path.read_text())
        return loaded

    @property
    def _socket(self) -> str:
        """The supervisor's socket; beside the state, unless that path is longer than a Unix socket's may be."""
        path = str(self.home / "supervisor.sock")
        if len(path) < 100:
            return path
        return f"{tempfile.gettempdir()}/osteon-{hashlib.sha256(path.encode()).hexdigest()[:16]}.sock"

    @property
    def _rpc(self) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        return xmlrpc.client.ServerProxy(f"http://{HOST}", transport=transport).supervisor

    def _alive(self) -> bool:
        try:
            self._rpc.getState()
        except (OSError, xmlrpc.client.Fault):
            return False
        return True

    def _start_supervisor(self) -> None:
        for folder in ("log", "s3", "mail", "mlflow", "airflow"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        _write_private(self.home / "airflow-passwords.json", json.dumps({USER: self.login()[1]}))
        applied = self.applied_settings()
        keys = {"accessKey": applied.s3_access_key, "secretKey": applied.s3_secret_key.get_secret_value()}
        identity = {"name": "osteon", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        _write_private(self.home / "s3-identities.json", json.dumps({"identities": [identity]}))
        _write_private(self.home / "supervisord.conf", self._configuration())
        program = Path(sys.executable).with_name("supervisord")
        done = subprocess.run(
            [str(program), "-c", str(self.home / "supervisord.conf")],
            env=self.environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ServiceError(f"supervisord did not start: {done.stderr or done.stdout}")
        deadline = time.monotonic() + 20
        while not self._alive():
            if time.monotonic() > deadline:
                raise ServiceError(f"supervisord does not answer: see {self.home / 'log' / 'supervisord.log'}")
            time.sleep(0.1)

    def _configuration(self) -> str:
        sections = [
            f"[unix_http_server]\nfile={self._socket}\nchmod=0700",
            "[supervisord]\n"
            f"logfile={self.home / 'log' / 'supervisord.log'}\npidfile={self.home / 'supervisord.pid'}\nminfds=1024",
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        ]
        for service, programs in self._programs().items():
            sections.append(f"[group:{service}]\nprograms={','.join(programs)}")
            for name, command in programs.items():
                line = " ".join(command).replace("%", "%%")
                sections.append(
                    f"[program:{name}]\ncommand={line}\nautostart=false\nautorestart=false\nstartsecs=0\n"
                    f"stopasgroup=true\nkillasgroup=true\nstopwaitsecs={STOPPING.get(name, 30)}\nredirect_stderr=true\n"
                    f"stdout_logfile={self.home / 'log' / name}.log\nstdout_logfile_maxbytes=20MB\n"
                    "stdout_logfile_backups=1"
                )
        return "\n\n".join(sections) + "\n"

    def _programs(self) -> dict[str, dict[str, list[str]]]:
        """The processes of each service, with their commands."""
        binaries, ports, port = Path(sys.executable).parent, self._state["ports"], self.settings
        weed = [str(binaries / "weed"), "server", f"-dir={self.home / 's3'}", f"-ip={HOST}", f"-ip.bind={HOST}", "-s3"]
        weed += [
            f"-s3.port={port.s3_port}",
            f"-s3.config={self.home / 's3-identities.json'}",
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
        mlflow += ["--backend-store-uri", f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}", "--serve-artifacts"]
        mlflow += ["--artifacts-destination", f"s3://{port.s3_bucket}/mlflow"]
        mlflow += ["--allowed-hosts", f"{HOST}:*,localhost:*"]
        mail = [sys.executable, "-m", "osteon.embedded.mail", "--smtp-port", str(port.smtp_port)]
        mail += ["--http-port", str(port.mail_port), "--folder", str(self.home / "mail")]
        # Not `airflow standalone`: its log servers listen on every address of the machine. Logs are read from disk.
        parts = {
            "api-server": [],
            "dag-processor": [],
            "scheduler": ["--skip-serve-logs"],
            "triggerer": ["--skip-serve-logs"],
        }
        airflow = {f"airflow-{part}": [str(binaries / "airflow"), part, *flags] for part, flags in parts.items()}
        return {"s3": {"s3": weed}, "mail": {"mail": mail}, "mlflow": {"mlflow": mlflow}, "airflow": airflow}


def _end_orphans(supervisor: int) -> None:
    """End what is left of Airflow in the supervisor's session: workers outlive a scheduler that was killed."""
    left = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            title = (process.info["cmdline"] or [""])[0]  # Airflow's processes rename themselves
            if os.getsid(process.pid) == supervisor and title.startswith("airflow "):
                process.terminate()
                left.append(process)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    for process in psutil.wait_procs(left, timeout=10)[1]:
        process.kill()


def _ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")
