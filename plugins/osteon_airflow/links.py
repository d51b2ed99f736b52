"""Where people see runs and pages of the lake in Airflow."""

from __future__ import annotations

from urllib.parse import quote

from osteon.settings import MailSettings

PAGES = "/osteon"
"""Where the pages of `osteon_airflow.pages` are, below Airflow's own address."""


def thumbnail_path(sha256: str) -> str:
    """Where Airflow's own pages find an image of the lake."""
    return f"{PAGES}/thumbnail/{sha256}.png"


def run_url(settings: MailSettings, dag_id: str, run_id: str) -> str:
    """Address of a DAG run."""
    return f"{settings.airflow_url}/dags/{dag_id}/runs/{quote(run_id, safe='')}"


def answer_url(run: str) -> str:
    """Address of the questions of a DAG run that nobody has answered yet; `run` is the run's address."""
    return f"{run}/required_actions?response_received=false"


def page_url(settings: MailSettings, key: str) -> str:
    """Address of a file of a report or of Data Docs in the lake."""
    return f"{settings.airflow_url}{PAGES}/lake/{quote(key)}"
