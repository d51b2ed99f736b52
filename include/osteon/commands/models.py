"""Commands that train one model, ask one, or take one back."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from osteon.commands.options import Budget, Catalog, Seed, Winner
from osteon.errors import ConfigurationError, OsteonError
from osteon.settings import load_settings


def train(
    model: Annotated[str, typer.Option()],
    snapshot: Annotated[str, typer.Option(help="key of the split catalog; for a base model of the reviewed one")],
    out: Annotated[
        str, typer.Option(help="where in the lake the model and its result go (default: `osteon training-key`)")
    ] = "",
    budget: Budget = "smoke",
    seed: Seed = 0,
    winner: Winner = "",
    distributed: Annotated[
        bool, typer.Option("--with-helpers", help="let other processes help with the search")
    ] = False,
    helper: Annotated[str, typer.Option("--help-as", help="only help with such a search, under this name")] = "",
) -> None:
    """Search, fit and evaluate a model on a snapshot; prints the training's key and its measures."""
    from osteon.pipeline.context import Context
    from osteon.pipeline.training import training_key as key_of
    from osteon.records import CatalogKey, TrainingKey
    from osteon.training.plan import TrainingPlan
    from osteon.training.train import help_search
    from osteon.training.train import train as train_model
    from osteon.version import mismatch

    if why := mismatch(load_settings()):
        raise ConfigurationError(why)
    context = Context.open("command-line")
    settings, lake = context.settings, context.lake
    out = out or key_of(context, CatalogKey(snapshot), model, budget, seed, winner=winner)
    plan = TrainingPlan(model, CatalogKey(snapshot), budget, seed, winner, TrainingKey(out))
    if helper:
        ran = help_search(settings, lake, plan, helper)
        lake.put_json(f"{out}/helpers/{helper}.json", {"trials": ran})
        typer.echo(f"{ran} trials")
        return
    with redirect_stdout(sys.stderr):  # Keras prints its progress
        result = train_model(settings, lake, plan, distributed)
    typer.echo(out)
    typer.echo(json.dumps(result.figures))


def training_key(
    model: Annotated[str, typer.Option()],
    catalog: Catalog,
    budget: Budget = "smoke",
    seed: Seed = 0,
    winner: Winner = "",
) -> None:
    """Print where in the lake a training goes: what `osteon train --out` takes."""
    from osteon.pipeline.context import Context
    from osteon.pipeline.training import training_key as key_of
    from osteon.records import CatalogKey

    typer.echo(key_of(Context.open("command-line"), CatalogKey(catalog), model, budget, seed, winner=winner))


def predict(
    files: Annotated[list[Path], typer.Argument()],
    model: Annotated[str, typer.Option(help="name in the registry (default: OSTEON_MODEL_NAME)")] = "",
    out: Annotated[Path, typer.Option(help="folder for the overlays")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Ask the champion about radiographs; leaves a Grad-CAM overlay of each. A research tool, not a medical device."""
    from osteon import predict as ask
    from osteon.images.decode import decode
    from osteon.images.errors import UndecodableError

    settings, failed, found, overlays = load_settings(), [], [], set[Path]()
    name = model or settings.model_name
    version, predictor = ask.champion(settings, name)
    out.mkdir(parents=True, exist_ok=True)
    for file in files:
        try:
            pixels = decode(file.read_bytes(), settings.max_pixels).pixels
        except (OSError, UndecodableError) as error:
            failed.append(f"{file}: {error}")
            continue
        (answer,) = predictor.answer([pixels])
        overlay = None
        if not answer.problem:
            overlay = _free_name(out, file.stem, overlays)
            overlays.add(overlay)
            ask.overlay(pixels, ask.look(predictor, pixels, answer.body_part)).save(overlay)
        found.append(ask.prediction(str(file), answer, predictor.classes.names, str(overlay) if overlay else None))
        if not as_json:
            probability = found[-1].fracture_probability
            state = "its fractures were never learnt" if probability is None else f"fracture {probability:.0%}"
            typer.echo(f"{file}: {answer.problem or f'{answer.body_part}, {state}; {overlay}'}")
    if as_json:
        predictions = [one.model_dump(mode="json") for one in found]
        typer.echo(json.dumps({"model": name, "version": version, "predictions": predictions}))
    if failed:
        raise OsteonError("\n".join(failed))


def _free_name(folder: Path, stem: str, taken: set[Path]) -> Path:
    """Where an overlay goes: two files of one name, of different folders, do not share it."""
    names = (f"{stem}{f'-{number}' if number > 1 else ''}.gradcam.png" for number in count(1))
    return next(folder / name for name in names if folder / name not in taken)


def rollback(
    who: Annotated[str, typer.Option(help="who decides")],
    why: Annotated[str, typer.Option(help="for what reason")],
    model: Annotated[str, typer.Option(help="name in the registry (default: OSTEON_MODEL_NAME)")] = "",
) -> None:
    """Make the previous champion the champion again."""
    from osteon.registry.versions import rollback as roll_back

    settings = load_settings()
    name = model or settings.model_name
    now, before = roll_back(settings, name, who, why)
    typer.echo(f"version {now} of {name} is champion again, version {before} is previous")
