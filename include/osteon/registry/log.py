"""Log a training as a run in MLflow, with its model, which takes raw image bytes, and its model card."""

from __future__ import annotations

import importlib.metadata
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.quality.accepted import unchecked_of
from osteon.reports.leakage import read_leakage
from osteon.reports.model_card import model_card
from osteon.results import BaseModelResult, Comparison, TrainingResult
from osteon.settings import LakeSettings, Settings
from osteon.training.predictor import Predictor

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

REQUIREMENTS = (
    "keras",
    "tensorflow",
    "numpy",
    "pandas",
    "pillow",
    "opencv-python-headless",
    "simplejpeg",
    "imagecodecs",
    "pywavelets",
    "scipy",
    "minio",
    "pydantic",
    "pydantic-settings",
    "tqdm",
)
"""What the served model imports, beside what MLflow itself requires."""
LONGEST_DESCRIPTION = 5000
"""Characters that MLflow's database holds."""
PACKAGE = Path(__file__).parents[1]
COLUMNS = ["sha256", "source", "patient", "licence", "attribution", "body_part", "split"]
"""What is told of each image of the snapshot."""


def log_training(
    settings: Settings,
    lake: Lake,
    training: str,
    result: TrainingResult | BaseModelResult,
    name: str,
    comparison: Comparison | None = None,
) -> str:
    """Log a training as a run, and its model as a version of `name`. Returns the version.

    Args:
        settings: Of the installation.
        lake: Holds the training and its snapshot.
        training: Key of the training.
        result: What the training left.
        name: Of the model in the registry.
        comparison: Of the main model with others; it gets a model card then.
    """
    import mlflow

    mlflow.set_experiment(settings.mlflow_experiment)
    split = lake.get_table(result.snapshot_key)  # a base model's has a column more than catalogs
    images, card = split.reindex(columns=COLUMNS), ""
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_name=f"{result.model} {result.snapshot}"):
        predictor, place = Predictor.from_lake(lake, training), Path(folder) / "predictor"
        place.mkdir()
        predictor.save(place)
        said = {"budget": result.budget, "seed": result.seed, "snapshot": result.snapshot, "code": result.code}
        mlflow.log_params(result.design | said)
        mlflow.log_metrics(result.figures)
        mlflow.log_dict(result.model_dump(mode="json"), "result.json")
        mlflow.log_dict(load_labels(settings.labels_file).model_dump(mode="json"), "label_map.json")
        if comparison is not None and isinstance(result, TrainingResult):
            _log_comparison(comparison, result)
            leakage = read_leakage(lake, split)
            sources = sorted(images.loc[images["split"].notna(), "source"].unique())
            unchecked = [f"{name}: {sentence}" for name in sources for sentence in unchecked_of(lake, name)]
            card = model_card(name, result, predictor.transform, images, comparison, leakage, unchecked)
            mlflow.log_text(card, "model_card.md")
        _log_images(settings, result, images)
        uri = _log_model(place, result.classes)
    # a version is known by its training as soon as there is one: what breaks off later makes no second
    tags = {"osteon.training": training, "osteon.snapshot": result.snapshot}
    version = str(mlflow.register_model(uri, name, tags=tags).version)
    if card:
        mlflow.MlflowClient().update_model_version(name, version, _description(card))
    return version


def _log_comparison(comparison: Comparison, result: TrainingResult) -> None:
    import mlflow

    mlflow.log_dict(comparison.model_dump(mode="json"), "comparison.json")
    for row in comparison.rows:
        if row.model != result.model:
            with mlflow.start_run(run_name=f"{row.model} {result.snapshot}", nested=True):
                mlflow.log_params(row.model_dump(include={"model", "n_train", "n_train_main"}))
                mlflow.log_param("verdict", row.against.verdict if row.against else "")
                mlflow.log_metrics(row.figures)


def _log_images(settings: LakeSettings, result: TrainingResult | BaseModelResult, images: pd.DataFrame) -> None:
    """Log which images the model was trained on."""
    import mlflow
    from mlflow.data.pandas_dataset import from_pandas

    used = images[images["split"].notna()].drop(columns="patient").astype(object)
    source = f"{settings.s3_endpoint}/{settings.s3_bucket}/{result.snapshot_key}"
    mlflow.log_input(from_pandas(pd.DataFrame(used), source=source, name=result.snapshot), context="training")


def _log_model(predictor: Path, classes: list[str]) -> str:
    """Log the model that is served, with the code and the packages that it needs. Returns its address."""
    import mlflow

    info = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(PACKAGE / "served_model.py"),
        artifacts={"predictor": str(predictor)},
        code_paths=[str(PACKAGE)],
        signature=_signature(classes),
        pip_requirements=[f"{package}=={importlib.metadata.version(package)}" for package in REQUIREMENTS],
        metadata={"classes": classes},
    )
    return str(info.model_uri)


def _signature(classes: list[str]) -> ModelSignature:
    """Bytes of an image to what `served_model` answers."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    columns: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "body_part")]
    columns += [ColSpec(DataType.double, "fracture_probability"), ColSpec(DataType.string, "problem")]
    columns += [ColSpec(DataType.double, name) for name in classes]
    return ModelSignature(inputs=Schema([ColSpec(DataType.binary, "image")]), outputs=Schema(columns))


def _description(card: str) -> str:
    """As many whole sections of the model card as MLflow takes, and where the others are."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    rest = "\n\nThe other sections are in `model_card.md`, among the artifacts of this version's run.\n"
    return card[: card.rindex("\n## ", 0, LONGEST_DESCRIPTION - len(rest))].rstrip() + rest
