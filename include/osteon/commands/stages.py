"""The commands that run one stage each, made from the stage table."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from osteon.commands.options import Budget, Catalog, ForceRetrain, RequireApproval, Run, Seed, Sources
from osteon.errors import ConfigurationError
from osteon.pipeline.context import Context
from osteon.pipeline.stages import GATE, STAGES, VALIDATE, Stage, run_stage

NEEDED = inspect.Parameter.empty
ARGUMENTS: dict[str, tuple[Any, Any]] = {
    "catalog": (Catalog, NEEDED),
    "manifests": (Annotated[list[str], typer.Option("--manifest", help="key of a manifest; repeat it")], NEEDED),
    "validation": (Annotated[str, typer.Option(help="key of a validation")], NEEDED),
    "models": (Annotated[list[str] | None, typer.Option("--model", help="a base model; repeat it")], None),
    "trainings": (Annotated[list[str] | None, typer.Option("--training", help="key of a training; repeat it")], None),
    "comparison": (Annotated[str, typer.Option(help="key of a comparison")], NEEDED),
    "answers": (
        Annotated[Path | None, typer.Option(help="JSON file: a list of objects with `about`, `answer` and `by`")],
        None,
    ),
    "sources": (Sources, None),
    "budget": (Budget, "smoke"),
    "seed": (Seed, 0),
    "force_retrain": (ForceRetrain, False),
    "require_approval": (RequireApproval, False),
}
"""Type and default of each argument of a stage, as a command has it."""
NAMES = {"review": "apply-review", "train": "train-models"}
"""Of commands that are not called as their stage: `osteon review` decides, `osteon train` trains one model."""
WRITTEN_BY_HAND = ("sources", "ingest", "report")


def add_stage_commands(app: typer.Typer) -> None:
    """Add a command for each stage of the table."""
    for stage in STAGES:
        if stage.name not in WRITTEN_BY_HAND:
            app.command(NAMES.get(stage.name, stage.name.replace("_", "-")))(_command(stage))


def _command(stage: Stage[Any]) -> Callable[..., None]:
    """The command of a stage: it prints what the stage yields, which the next command takes."""
    wanted = {name: ARGUMENTS[name] for name in (*stage.inputs, *stage.options, *stage.people)}

    def command(run: str, **given: Any) -> None:
        context = Context.open(run)
        arguments = {name: _value(context, name, value) for name, value in given.items()}
        with redirect_stdout(sys.stderr):  # what libraries print is no result
            record = run_stage(stage, context, **arguments)
        for line in _lines(record.result):
            typer.echo(line)
        if stage is VALIDATE:
            run_stage(GATE, context, validation=record.result, sources=arguments["sources"])

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(name, keyword, annotation=kind, default=value) for name, (kind, value) in wanted.items()
    ]
    parameters.append(inspect.Parameter("run", keyword, annotation=Run, default="command-line"))
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = (stage.function.__doc__ or "").partition("\n\n    Args:")[0]
    return command


def _value(context: Context, name: str, given: Any) -> Any:
    """An argument of a stage, as a command's option gives it."""
    if name == "sources":
        return str(given or context.settings.sources_file)
    if name == "answers":
        return _read_answers(given) if given else []
    return [] if given is None else given


def _read_answers(path: Path) -> list[dict[str, Any]]:
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the answers in {path} cannot be read: {error}") from error
    if not isinstance(answers, list) or not all(
        isinstance(answer, dict) and answer.keys() == {"about", "answer", "by"} for answer in answers
    ):
        raise ConfigurationError(f"{path} must hold a list of objects with `about`, `answer` and `by`")
    return answers


def _lines(result: Any) -> list[str]:
    """What a command prints of a stage's result: keys and names as they are, all else as JSON."""
    if isinstance(result, str):
        return [result]
    if isinstance(result, list) and all(isinstance(item, str) for item in result):
        return result
    return [] if result is None else [json.dumps(result, ensure_ascii=False)]
