"""Does all that Osteon needs work here? One line for each thing, in the log: on the worker, and in a training pod."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from osteon.settings import load_settings
from osteon_airflow.mail import FailureMail
from osteon_airflow.training import doctor, doctor_pod


@dag(
    schedule=None,
    default_args={"on_failure_callback": FailureMail(), "execution_timeout": timedelta(hours=1)},
    tags=["osteon"],
    doc_md=__doc__,
)
def osteon_doctor() -> None:
    @task
    def worker() -> None:
        doctor()

    worker()
    if load_settings().trainer == "kubernetes":
        doctor_pod()


osteon_doctor()
