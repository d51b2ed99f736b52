"""The embedded services under supervisord: an S3 store, MLflow, a mail catcher and Airflow, on loopback only."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import requests
from pydantic import SecretStr

from osteon.embedded.environment import USER, environment
from osteon.embedded.ports import HOST, require_free
from osteon.embedded.programs import configuration, programs
from osteon.embedded.state import State, read_state, write_private
from osteon.errors import ServiceError
from osteon.lake import Lake
from osteon.settings import ROOT, Settings

log = logging.getLogger(__name__)
ALL = ("s3", "mail", "mlflow", "airflow")
PATIENCE = 300.0
"""Seconds that a service has to answer."""


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
        return USER, self._state.airflow_password

    def applied_settings(self) -> Settings:
        """The settings with addresses and keys of these services filled in."""
        urls = self.urls()
        return self.settings.model_copy(
            update={
                "s3_endpoint": urls["s3"],
                "s3_access_key": self._state.s3_access_key,
                "s3_secret_key": SecretStr(self._state.s3_secret_key),
                "mlflow_url": urls["mlflow"],
                "airflow_url": urls["airflow"],
            }
        )

    def environment(self) -> dict[str, str]:
        """Variables for a process that uses the services, on top of this process's own."""
        return environment(self.applied_settings(), self.home, self._state)

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
        self._require_ports(missing)
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
                    _end_orphans(int(self._rpc.getPID()))
        if not any(any(alive) for alive in self._processes().values()):
            pid = int(self._rpc.getPID())
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

    def _require_ports(self, names: Sequence[str]) -> None:
        """Raise `ServiceError` where a port of these services is taken."""
        ports = {"s3": ["s3"], "mail": ["smtp", "mail"], "mlflow": ["mlflow"], "airflow": ["airflow"]}
        for name in names:
            for port in ports[name]:
                require_free(getattr(self.settings, f"{port}_port"), name, f"OSTEON_{port.upper()}_PORT")

    def _log_tail(self, name: str) -> str:
        logs = [self.home / "log" / f"{program}.log" for program in self._programs[name]]
        return "\n".join(
            f"{path}:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-20:])
            for path in logs
            if path.exists()
        )

    def _migrate_airflow(self) -> None:
        """Make Airflow's database, or bring it to this version."""
        command = [str(Path(sys.executable).with_name("airflow")), "db", "migrate"]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)  # noqa: S603 - no word of it comes from outside
        if done.returncode:
            raise ServiceError(
                f"Airflow's database in {self.home / 'airflow'} cannot be migrated:\n{done.stderr[-2000:]}"
            )

    # The supervisor

    @cached_property
    def _state(self) -> State:
        return read_state(self.home)

    @property
    def _programs(self) -> dict[str, dict[str, list[str]]]:
        return programs(self.settings, self.home, self._state)

    @property
    def _socket(self) -> str:
        """The supervisor's socket; beside the state, unless that path is longer than a Unix socket's may be."""
        path = str(self.home / "supervisor.sock")
        if len(os.fsencode(path)) < 100:
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
        write_private(self.home / "airflow-passwords.json", json.dumps({USER: self.login()[1]}))
        applied = self.applied_settings()
        keys = {"accessKey": applied.s3_access_key, "secretKey": applied.s3_secret_key.get_secret_value()}
        identity = {"name": "osteon", "credentials": [keys], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        write_private(self.home / "s3-identities.json", json.dumps({"identities": [identity]}))
        write_private(self.home / "supervisord.conf", configuration(self._programs, self.home, self._socket))
        program = Path(sys.executable).with_name("supervisord")
        done = subprocess.run(  # noqa: S603 - no word of it comes from outside
            [str(program), "-c", str(self.home / "supervisord.conf")],
            env={**self.environment(), "PYTHONUTF8": "1"},  # supervisord reads its file as the locale says
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
