"""The MLflow registry: log a training, register it as one artifact that takes raw image bytes, promote it or not."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from osteon import catalog as catalogs
from osteon.curation.grouping import recall
from osteon.errors import (
    ConfigurationError,
    LakeError,
    LakeUnreachableError,
    OtherTransformError,
    RegistryError,
    RegistryUnreachableError,
    TryAgainError,
)
from osteon.features import load_features
from osteon.labels import load_labels
from osteon.lake import Lake
from osteon.reports.leakage import read_leakage
from osteon.reports.model_card import model_card
from osteon.schemas import Split
from osteon.settings import Settings
from osteon.training.compare import beaten_by
from osteon.training.evaluate import Scored
from osteon.training.gate import Decision, comparable, judge
from osteon.training.predictor import RECIPE, Predictor

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
RESTORED = "osteon.restored"
"""Tag of a champion that a rollback brought back."""
INSTEAD_OF = "osteon.instead_of"
"""Tag of a version that a rollback brought back: the version that it took back."""
MAKE_PLACE = f"give it the alias `{PREVIOUS}` and take `{CHAMPION}` away"
PROMOTE, KEEP = "promote", "keep the champion"
"""What a person may answer who is asked for approval."""
REQUIREMENTS = (
    "keras",
    "tensorflow",
    "numpy",
    "pandas",
    "pillow",
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
SERVED_MODEL = Path(__file__).with_name("served_model.py")
PATIENCE = 10
"""Seconds in which MLflow has to answer at first."""


@dataclass(frozen=True)
class Champion:
    """The version of a model that the alias `champion` names."""

    version: str
    training: str
    """Key of its training in the lake; empty where Osteon did not register it."""
    catalog: str
    """Key of the catalog that its snapshot was split from; empty where the registry does not say it."""

    def unknown(self, lake: Lake) -> str:
        """Why the lake does not say how it was trained; empty where it does."""
        if not self.training:
            return f"Osteon did not register version {self.version}, the champion"
        if not lake.exists(f"{self.training}/result.json"):
            return f"the lake holds no {self.training}, the training of version {self.version}, the champion"
        return ""

    def images_by_class(self, lake: Lake) -> dict[str, int]:
        """How many images of each class it learnt from, by their published labels. Of one that is not `unknown`."""
        result = lake.get_json(f"{self.training}/result.json")
        name = "published_by_class" if "published_by_class" in result else "images_by_class"  # early ones have no other
        counts: dict[str, int] = result[name]
        return counts


@dataclass(frozen=True)
class Registration:
    """Where a training stands in the registry."""

    model: str
    """Name in the registry."""
    version: str
    alias: str
    promoted: bool
    reason: str
    champion: str
    """Version of the champion after this."""
    new: bool
    """Whether this registered it."""


@dataclass(frozen=True)
class Approval:
    """What a person who was asked says of a promotion."""

    given: bool
    by: str | None
    """None where nobody answered."""
    champion: str
    """Version of the champion that the person was asked about; empty where there was none."""


@dataclass(frozen=True)
class Proposal:
    """A promotion that a person is asked to approve."""

    champion: str
    """Version of the champion that would be replaced; empty where there is none."""
    reason: str


def register(
    settings: Settings,
    lake: Lake,
    out: str,
    name: str,
    catalog: str = "",
    rows: list[dict[str, Any]] | None = None,
    approval: Approval | None = None,
) -> Registration:
    """Register the training under `out` as a version of model `name`; none gets a second version.

    `catalog` is the key of the catalog that its snapshot was split from, `rows` its comparison with its rivals.

    It becomes `champion` where the gate says so and no person refuses it; the old champion is then `previous`.
    Otherwise it is `challenger`, with the reason as a tag. A champion that was restored makes place with a person's
    `approval` only, and an approval is of one champion's replacement.
    """
    client, rows = connect(settings), rows or []

    def tag(version: str, **tags: str) -> None:
        for key, value in tags.items():
            client.set_model_version_tag(name, version, f"osteon.{key}", value)

    champion = _by_alias(client, name, CHAMPION)
    known = _versions_of(client, name, out)
    if known and "osteon.registered" in known[0].tags:
        now = client.get_model_version(name, known[0].version)
        return Registration(
            model=name,
            version=str(now.version),
            alias=", ".join(now.aliases) or "without an alias now",
            promoted=False,
            reason=f"registered before: {now.tags['osteon.reason']}",
            champion=_number(champion),
            new=False,
        )
    result = lake.get_json(f"{out}/result.json")
    # a registration that broke off is taken up where it stopped: `osteon.registered` comes last
    version = str(known[0].version if known else _log(settings, lake, out, result, name, rows))
    tag(version, catalog=catalog)
    if champion is not None and str(champion.version) == version:
        decision = Decision(True, known[0].tags.get("osteon.reason", "made champion by hand"))
    else:
        decision = _decide(settings, lake, out, name, champion, rows)
        refusal = _refusal(champion, approval)
        if decision.promoted and refusal:
            decision = replace(decision, promoted=False, reason=f"{refusal}; the gate had said: {decision.reason}")
        tag(version, reason=decision.reason, test=decision.test)
        if _number(_by_alias(client, name, CHAMPION)) != _number(champion):
            raise TryAgainError(f"{name} got another champion meanwhile: compare with that one")
        if decision.promoted and champion is not None:
            client.set_registered_model_alias(name, PREVIOUS, champion.version)
        client.set_registered_model_alias(name, CHAMPION if decision.promoted else CHALLENGER, version)
    tag(version, registered="yes")
    alias = CHAMPION if decision.promoted else CHALLENGER
    held = version if decision.promoted else _number(champion)
    return Registration(name, version, alias, decision.promoted, decision.reason, held, True)


def propose(
    settings: Settings, lake: Lake, out: str, name: str, rows: list[dict[str, Any]], always: bool
) -> Proposal | None:
    """What a person is asked before `register` with the same arguments; None where there is nothing to ask: the
    training is registered, the gate refuses it, or, unless `always`, no rollback brought the champion back."""
    client = connect(settings)
    champion, known = _by_alias(client, name, CHAMPION), _versions_of(client, name, out)
    if (known and "osteon.registered" in known[0].tags) or not (always or _refusal(champion, None)):
        return None
    decision = _decide(settings, lake, out, name, champion, rows)
    return Proposal(_number(champion), decision.reason) if decision.promoted else None


def _refusal(champion: Any, approval: Approval | None) -> str:
    if approval is not None:
        if not approval.given:
            return f"not approved by {approval.by or 'anybody in time'}"
        if approval.champion == _number(champion):
            return ""
        asked = f"version {approval.champion}" if approval.champion else "none"
        return f"approved by {approval.by} when {asked} was the champion, which has changed since"
    if champion is not None and RESTORED in champion.tags:
        return f"version {champion.version} was brought back {champion.tags[RESTORED]}; what follows it needs approval"
    return ""


def rollback(settings: Settings, name: str, who: str, why: str) -> tuple[str, str]:
    """Make `previous` the champion again, and the champion `previous`. Returns the versions now and before.

    From then on a person has to approve what follows it: else the next week's model, much like the one that was taken
    back, would be promoted by the same figures. Raises `ConfigurationError` where there is no previous champion, or one
    that Osteon did not register.
    """
    client = connect(settings)
    now, before = (_by_alias(client, name, alias) for alias in (CHAMPION, PREVIOUS))
    if now is None or before is None:
        raise ConfigurationError(f"{name} has no alias {CHAMPION if now is None else PREVIOUS}: there is no way back")
    if now.version == before.version and INSTEAD_OF in now.tags:  # a rollback broke off: it is finished
        now, before = client.get_model_version(name, now.tags[INSTEAD_OF]), now
    if now.version == before.version:
        raise ConfigurationError(f"version {now.version} of {name} is {CHAMPION} and {PREVIOUS}: there is no way back")
    if "osteon.training" not in before.tags:
        raise ConfigurationError(f"version {before.version} of {name} is not Osteon's: set the aliases by hand")
    client.set_model_version_tag(name, now.version, "osteon.rolled_back", f"by {who}: {why}")
    client.set_model_version_tag(name, before.version, RESTORED, f"by {who}: {why}")
    client.set_model_version_tag(name, before.version, INSTEAD_OF, now.version)
    client.set_registered_model_alias(name, CHAMPION, before.version)
    client.set_registered_model_alias(name, PREVIOUS, now.version)
    return str(before.version), str(now.version)


def register_base(settings: Settings, lake: Lake, out: str, name: str) -> str:
    """Register a base model's training as a version of `name`, once; the newest is `champion`. Returns the version."""
    client = connect(settings)
    known, champion = _versions_of(client, name, out), _by_alias(client, name, CHAMPION)
    version = int(known[0].version if known else _log(settings, lake, out, lake.get_json(f"{out}/result.json"), name))
    if champion is None or int(champion.version) < version:
        client.set_registered_model_alias(name, CHAMPION, version)
    return str(version)


def champion(settings: Settings, name: str) -> Champion | None:
    """The champion of a model, whoever gave it the alias; None where there is none. Raises as `connect` does."""
    version = _by_alias(connect(settings), name, CHAMPION)
    if version is None:
        return None
    tags = version.tags
    return Champion(str(version.version), tags.get("osteon.training", ""), tags.get("osteon.catalog", ""))


def connect(settings: Settings) -> Any:
    """MLflow's client, once the registry has answered it.

    Raises:
        RegistryUnreachableError: It does not answer within PATIENCE seconds. The client alone would ask for minutes.
        RegistryError: It answers, and refuses.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    from mlflow.exceptions import MlflowException

    url = settings.mlflow_url
    if not url:
        raise RegistryError("OSTEON_MLFLOW_URL is empty: say where MLflow is, such as http://mlflow:5000")
    mlflow.set_tracking_uri(url)
    client = mlflow.MlflowClient()
    try:
        with _one_short_try():
            client.search_registered_models(max_results=1)
    except MlflowException as error:  # the messages hold nothing that changes from try to try: validations tell them
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise RegistryError(
                f"the certificate of {url} is not trusted: name the PEM file of the authority that signed it in "
                "MLFLOW_TRACKING_SERVER_CERT_PATH"
            ) from error
        if error.error_code == "INTERNAL_ERROR":  # MLflow's word for no answer, and for one with a status from 500 on
            raise RegistryUnreachableError(
                f"no MLflow answers at {url}: start it, or say where it is in OSTEON_MLFLOW_URL"
            ) from error
        raise RegistryError(
            f"{url} refuses to show its models ({error.error_code}): check OSTEON_MLFLOW_URL, "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        ) from error
    return client


@contextmanager
def _one_short_try() -> Iterator[None]:
    """MLflow's client asks once, and waits for PATIENCE seconds. It knows no other way to say so than variables."""
    wanted = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PATIENCE)}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _versions_of(client: Any, name: str, out: str) -> Any:
    """Versions of model `name` that were registered from the training under `out`: none or one."""
    return client.search_model_versions(f"name='{name}' and tag.`osteon.training` = '{out}'")


def _by_alias(client: Any, name: str, alias: str) -> Any:
    """The version that an alias names; None where none does."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _number(version: Any) -> str:
    """Of a version, or nothing."""
    return str(version.version) if version is not None else ""


def _decide(settings: Settings, lake: Lake, out: str, name: str, champion: Any, rows: list[dict[str, Any]]) -> Decision:
    result = lake.get_json(f"{out}/result.json")
    found = result["metrics"].get("fracture_auroc")
    floor = max((value for value in result["shortcut_floor"].values() if value is not None), default=0.0)
    if found is not None and found <= floor:
        return Decision(False, f"fracture AUROC {found:.3f} needs no pixel: the shortcut floor is {floor:.3f}")
    if better := beaten_by(rows):
        return Decision(False, f"simpler and better with confidence on the same test images: {', '.join(better)}")
    if champion is None:
        return Decision(True, "there was no champion")
    if "osteon.training" not in champion.tags:
        return Decision(
            False,
            f"the champion, version {champion.version}, was not registered by Osteon and cannot be compared: "
            f"{MAKE_PLACE} to let another be champion",
        )
    champions = champion.tags["osteon.training"]
    results = (result, lake.get_json(f"{champions}/result.json"))
    now, then = (catalogs.read(lake, told["snapshot_key"], Split) for told in results)
    test = comparable(now, then, recall(lake).cluster)
    if test.empty:
        return Decision(False, "the champion learnt from every test image, or a copy: there is nothing to compare on")

    def scored(place: str) -> Scored:
        predictor = Predictor.from_lake(lake, place)
        features = load_features(settings, lake, test, predictor.recipe)
        return Scored(test, predictor.from_features(features), predictor.classes)

    try:
        theirs = scored(champions)
    except LakeUnreachableError:
        raise
    except (OtherTransformError, LakeError, ValueError) as error:  # Keras' own, for a damaged file
        why = f"the champion, version {champion.version}, cannot be compared, for {error}"
        return Decision(False, f"{why}; {MAKE_PLACE} to let another be champion")
    digest = hashlib.sha256("".join(test["sha256"]).encode()).hexdigest()[:16]
    same_test = f"name='{name}' and tag.`osteon.test` = '{digest}'"
    tried = [one.tags.get("osteon.training") for one in connect(settings).search_model_versions(same_test)]
    decision = judge(scored(out), theirs, settings.bootstrap_rounds, tries=1 + sum(other != out for other in tried))
    return replace(decision, test=digest)


def _log(
    settings: Settings,
    lake: Lake,
    out: str,
    result: dict[str, Any],
    name: str,
    rows: list[dict[str, Any]] | None = None,
) -> int:
    """Log the training as a run, and its model as a version of `name`, with a model card where `rows` are given."""
    import mlflow
    import pandas as pd
    from mlflow.data.pandas_dataset import from_pandas
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    snapshot = result["snapshot"]
    mlflow.set_experiment(settings.mlflow_experiment)
    kept = ["sha256", "source", "patient", "licence", "attribution", "body_part", "split"]
    split = lake.get_table(result["snapshot_key"])  # a base model's has a column more than catalogs
    images = split.reindex(columns=kept)
    columns: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, "body_part")]
    columns += [ColSpec(DataType.double, "fracture_probability"), ColSpec(DataType.string, "problem")]
    columns += [ColSpec(DataType.double, name) for name in result["classes"]]
    signature = ModelSignature(inputs=Schema([ColSpec(DataType.binary, "image")]), outputs=Schema(columns))
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_name=f"{result['model']} {snapshot}"):
        place = Path(folder) / "predictor"
        place.mkdir()
        Predictor.from_lake(lake, out).save(place)
        mlflow.log_params(result["design"] | {name: result[name] for name in ("budget", "seed", "snapshot", "code")})
        mlflow.log_metrics(_figures(result["metrics"]))
        for row in [row for row in rows or [] if row["model"] != result["model"]]:
            with mlflow.start_run(run_name=f"{row['model']} {snapshot}", nested=True):
                mlflow.log_params({name: row[name] for name in ("model", "learnt_from", "of", "verdict")})
                mlflow.log_metrics(_figures(row["metrics"]))
        mlflow.log_dict(result, "result.json")
        mlflow.log_dict(load_labels(settings.labels_file).model_dump(mode="json"), "label_map.json")
        if rows is not None:
            recipe = json.loads((place / RECIPE).read_text())["recipe"]
            card = model_card(name, result, recipe, images, rows, read_leakage(lake, split))
            mlflow.log_text(card, "model_card.md")
            mlflow.log_dict({"rows": rows}, "comparison.json")
        used = images[images["split"].notna()].drop(columns="patient").astype(object)
        data = from_pandas(
            pd.DataFrame(used),
            source=f"{settings.s3_endpoint}/{settings.s3_bucket}/{result['snapshot_key']}",
            name=snapshot,
        )
        mlflow.log_input(data, context="training")
        versions = [f"{package}=={importlib.metadata.version(package)}" for package in REQUIREMENTS]
        info = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(SERVED_MODEL),
            artifacts={"predictor": str(place)},
            code_paths=[str(Path(__file__).parent)],
            signature=signature,
            pip_requirements=versions,
            metadata={"classes": result["classes"]},
        )
    # a version is known by its training as soon as there is one: what breaks off later makes no second
    tags = {"osteon.training": out, "osteon.snapshot": snapshot}
    version = int(mlflow.register_model(info.model_uri, name, tags=tags).version)
    if rows is not None:
        mlflow.MlflowClient().update_model_version(name, str(version), _description(card))
    return version


def _description(card: str) -> str:
    """As many whole sections of the model card as MLflow takes, and where the others are."""
    if len(card) <= LONGEST_DESCRIPTION:
        return card
    rest = "\n\nThe other sections are in `model_card.md`, among the artifacts of this version's run.\n"
    return card[: card.rindex("\n## ", 0, LONGEST_DESCRIPTION - len(rest))].rstrip() + rest


def _figures(metrics: dict[str, Any]) -> dict[str, float]:
    """What of the measures is a number, under one name each."""
    figures = {name: value for name, value in metrics.items() if isinstance(value, int | float)}
    by_part = metrics.get("fracture_auroc_by_part", {})
    return figures | {f"fracture_auroc_{part}": value for part, value in by_part.items() if value is not None}
