"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[str, typer.Option("--run", help="name under which the stage's record is kept")]
Sources = Annotated[Path | None, typer.Option(help="YAML file that names the data sets (default: OSTEON_SOURCES_FILE)")]
Catalog = Annotated[str, typer.Option("--catalog", help="key of a catalog in the lake")]
Budget = Annotated[str, typer.Option(help="smoke, standard or full")]
Seed = Annotated[int, typer.Option(min=0, help="of the training, and of where new images go")]
ForceRetrain = Annotated[bool, typer.Option("--force-retrain", help="train although nothing changed")]
RequireApproval = Annotated[
    bool, typer.Option("--require-approval", help="wait for a person before a better model becomes champion")
]
Winner = Annotated[
    str, typer.Option("--design-of", help="key of the training whose design is changed, or searched from")
]
