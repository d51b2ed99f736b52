"""`osteon doctor`: is all there that Osteon needs, on this machine, in this image, in this pod?"""

from __future__ import annotations

import json
import os
import smtplib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict

from osteon.errors import OsteonError
from osteon.lake import Lake
from osteon.settings import LakeSettings, MailSettings, RegistrySettings, Settings, TrainingSettings
from osteon.version import code_version, mismatch

MAIL_VARIABLE = "AIRFLOW_CONN_SMTP_DEFAULT"
PATIENCE = 10.0
"""Seconds that the mail server has to answer."""
REMEDIES = {
    "lake": "OSTEON_S3_ENDPOINT, and what else begins with OSTEON_S3",
    "history": "OSTEON_S3_ENDPOINT, and the objects below history/ in the lake",
    "mlflow": "OSTEON_MLFLOW_URL, MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    "mail": f"{MAIL_VARIABLE}, and whether that server runs",
    "sources": "OSTEON_SOURCES_FILE",
    "patients": "OSTEON_PATIENT_KEY, and the lake",
}
"""What to look at when a library says what is wrong in its own words."""


@dataclass(frozen=True)
class Line:
    """What was found of one thing."""

    name: str
    ok: bool
    text: str
    """What works, or what does not and the remedy."""


class MailExtra(BaseModel):
    """What an Airflow connection to a mail server says besides."""

    disable_ssl: bool = False
    """Whether the connection begins unencrypted."""
    disable_tls: bool = False
    """Whether it stays so."""


def _extra_of(said: object) -> object:
    """Airflow keeps it as an object, as JSON, or not at all."""
    return json.loads(said) if isinstance(said, str) and said else said or {}


class MailServer(BaseModel):
    """An Airflow connection to a mail server."""

    model_config = ConfigDict(hide_input_in_errors=True)  # errors are shown, and it holds a password

    host: str
    port: int | None = None
    login: str | None = None
    password: str | None = None
    extra: Annotated[MailExtra, BeforeValidator(_extra_of)] = MailExtra()

    @classmethod
    def from_connection(cls, connection: str) -> MailServer:
        """Read a connection as Airflow's variables hold it.

        Args:
            connection: JSON, or a URI.

        Raises:
            pydantic.ValidationError: It names no host, or a port that is none.
        """
        if connection.startswith("{"):
            return cls.model_validate_json(connection)
        parts = urlsplit(connection)
        extra = {name: values[0] for name, values in parse_qs(parts.query).items()}
        user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
        given = {"host": parts.hostname, "port": parts.port, "login": user, "password": password}
        return cls.model_validate({**given, "extra": extra})


def examine(settings: Settings, sources_file: Path, only: list[str] | None = None) -> list[Line]:
    """One line for each of CHECKS, or those named in `only`; sources have a line each. Changes nothing that stays."""
    lines: list[Line] = []
    for name in only or CHECKS:
        try:
            lines += CHECKS[name](settings, sources_file)
        except OsteonError as error:
            lines.append(Line(name, False, f"{error}"))
        except Exception as error:  # whatever a library raises is what the line says
            lines.append(Line(name, False, f"{type(error).__name__}: {error}; check {REMEDIES.get(name, name)}"))
    return lines


def _lake(settings: LakeSettings, sources_file: Path) -> list[Line]:
    """Write, read and remove an object: what a stage does."""
    lake, folder, data = Lake.from_settings(settings), f"doctor/{uuid.uuid4().hex}", b"osteon"
    place = f"{settings.s3_endpoint}/{settings.s3_bucket}"
    lake.put_bytes(f"{folder}/probe", data)
    try:
        same = lake.get_bytes(f"{folder}/probe") == data
    finally:
        lake.remove_folder(folder)
    return [Line("lake", same, f"{place} takes, gives and removes objects" if same else f"{place} gives other bytes")]


def _history(settings: Settings, sources_file: Path) -> list[Line]:
    """Do placements, names, copies and the newest catalog agree?"""
    from osteon.curation.audit import disagreements

    found = disagreements(Lake.from_settings(settings))
    remedy = "run the stages from `group` to `split` again; if this line stays, restore the lake's folder history/"
    return [
        Line("history", not found, f"{'; '.join(found)}: {remedy}" if found else "placements, names and copies agree")
    ]


def _mlflow(settings: RegistrySettings, sources_file: Path) -> list[Line]:
    """Search the registry: a server that is up may still refuse to log in."""
    from osteon.registry.client import connect

    found = connect(settings).search_registered_models()
    return [Line("mlflow", True, f"{settings.mlflow_url} holds {len(found)} registered models")]


def _mail(settings: MailSettings, sources_file: Path) -> list[Line]:
    """Log in to the mail server, and send nothing."""
    connection = os.environ.get(MAIL_VARIABLE)
    if connection is None:
        return [Line("mail", False, f"{MAIL_VARIABLE} is not set here: mails would not be sent")]
    server = MailServer.from_connection(connection)
    kind = smtplib.SMTP if server.extra.disable_ssl else smtplib.SMTP_SSL
    where = f"{server.host}:{server.port or kind.default_port}"
    with kind(server.host, server.port or 0, timeout=PATIENCE) as client:
        if server.extra.disable_ssl and not server.extra.disable_tls:
            client.starttls()
        if server.login:
            client.login(server.login, server.password or "")
        status, _ = client.noop()
    return [Line("mail", status == 250, f"{where} answers; recipients are {', '.join(settings.mail_to)}")]


def _gpu(settings: TrainingSettings, sources_file: Path) -> list[Line]:
    """What TensorFlow trains on. No GPU is wrong only where one was asked for."""
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    if found:
        names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in found]
        return [Line("gpu", True, f"TensorFlow {tf.__version__} sees {len(found)}: {', '.join(names)}")]
    built = "with" if tf.test.is_built_with_cuda() else "without"
    text = f"TensorFlow {tf.__version__}, built {built} CUDA, sees no GPU: training uses the CPU"
    if settings.needs_gpu:
        return [Line("gpu", False, f"{text}; use the image's GPU variant, and a node with a driver")]
    return [Line("gpu", True, text)]


def _sources(settings: Settings, sources_file: Path) -> list[Line]:
    """Ask each publisher for its newest version, which needs the credentials that a pull needs."""
    from osteon.sources.config import open_source, read_sources_file

    lines = []
    for entry in read_sources_file(sources_file).sources:
        name = f"source {entry.name}"
        if not entry.enabled:
            lines.append(Line(name, True, "switched off"))
            continue
        try:
            version = open_source(sources_file, settings, entry.name).latest_version()
            lines.append(Line(name, True, f"{entry.kind}, version {version}"))
        except OsteonError as error:
            lines.append(Line(name, False, f"{error}"))
    return lines


def _patients(settings: Settings, sources_file: Path) -> list[Line]:
    """Whether this machine has the key that the lake's patients were named with. Makes none."""
    from osteon.pseudonyms import find_key
    from osteon.sources.config import read_sources_file

    names = [entry.name for entry in read_sources_file(sources_file).sources if entry.enabled and entry.names_patients]
    if not names:
        return [Line("patients", True, "no source names patients: no key is needed")]
    found = find_key(settings, Lake.from_settings(settings))
    text = "the key of their pseudonyms is here" if found else "the first pull makes the key of their pseudonyms"
    return [Line("patients", True, f"named by {', '.join(names)}; {text}")]


def _code(settings: Settings, sources_file: Path) -> list[Line]:
    """Whether a pod has Airflow's code, label map and rules; anywhere else only which code it is."""
    why = mismatch(settings)
    return [Line("code", not why, why or f"osteon {code_version()}")]


CHECKS: dict[str, Callable[[Settings, Path], list[Line]]] = {
    "code": _code,
    "lake": _lake,
    "history": _history,
    "mlflow": _mlflow,
    "mail": _mail,
    "gpu": _gpu,
    "sources": _sources,
    "patients": _patients,
}
