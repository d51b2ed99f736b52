"""`osteon ...`: the embedded services, the whole pipeline in Airflow, and each stage as a command."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from typing import Annotated

import typer

from osteon.commands import data, models, services
from osteon.commands.stages import add_stage_commands
from osteon.embedded import STATE
from osteon.errors import OsteonError, RetryableError
from osteon.settings import load_settings

OLD_OPTIONS = {"helped": "with-helpers", "helper": "help-as", "winner": "design-of"}
"""Names of options in earlier versions, which scripts may still use."""

app = typer.Typer(
    context_settings={"token_normalize_func": lambda name: OLD_OPTIONS.get(name, name)},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=__doc__,
)


@app.callback()
def main(verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False) -> None:
    """Set the log's level, and use the embedded services where no lake is configured."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format="%(levelname)s %(message)s")
    for noisy in ("urllib3", "botocore", "great_expectations", "matplotlib", "alembic", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    _use_embedded()


def _use_embedded() -> None:
    """Where no lake is configured and the embedded services run, every command means those: only they know the keys."""
    settings = load_settings()
    if settings.s3_access_key or not (settings.state_dir / STATE).exists():
        return
    from osteon.embedded.stack import Stack

    stack = Stack(settings)
    if stack.running():
        found = stack.environment()
        os.environ.update({name: found[name] for name in found if name.startswith(("OSTEON_", "AIRFLOW_CONN_"))})


for command in (
    *(services.up, services.down, services.run, data.ingest, data.review),
    *(models.train, models.training_key, models.predict, models.rollback, services.report, services.doctor),
):
    app.command(command.__name__.replace("_", "-"))(command)
add_stage_commands(app)


def entry() -> None:
    """The command `osteon`.

    An expected error is one line on stderr, with exit status 75 where another try may succeed and 1 otherwise; any
    other has status 70.
    """
    # the first process of a container is not ended by SIGTERM unless it says so
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        app()
    except OsteonError as error:
        typer.echo(f"osteon: {error}", err=True)
        raise SystemExit(os.EX_TEMPFAIL if isinstance(error, RetryableError) else 1) from None
    except Exception:
        traceback.print_exc()
        raise SystemExit(os.EX_SOFTWARE) from None


if __name__ == "__main__":
    entry()
