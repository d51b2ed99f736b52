"""Registering on a real MLflow server: one artifact, the same answers, promotion only with a reason."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from osteon import catalog as catalogs
from osteon.curation.leakage import COLUMNS, leakage_key
from osteon.embedded.stack import Stack
from osteon.errors import ConfigurationError, TryAgainError
from osteon.images.fourier import FourierRecipe
from osteon.images.registration import COPIED
from osteon.images.wavelet import WaveletRecipe
from osteon.lake import Lake
from osteon.models import network
from osteon.models.space import MAIN
from osteon.pipeline.context import Context
from osteon.pipeline.stages import APPROVALS, REGISTER, REPORT, run_stage
from osteon.records import ComparisonKey, RegisterRecord, TrainingKey
from osteon.registry.log import LONGEST_DESCRIPTION, REQUIREMENTS, _description
from osteon.registry.register import Proposal, propose, register, register_base
from osteon.registry.versions import champion, rollback
from osteon.reports.leakage import NOT_CHECKED
from osteon.results import (
    BaseModelResult,
    Comparison,
    ComparisonRow,
    PairedComparison,
    TrainingResult,
    result_key,
)
from osteon.settings import Settings
from osteon.training.classes import ClassList
from osteon.training.evaluate import Scored, evaluate
from osteon.training.predictor import MODEL, RECIPE, Predictor
from osteon.training.promotion import CHAMPION, PREVIOUS, Approval, Champion, Decision
from tests.pictures import encode, features_of, radiograph

CLASSES = ClassList(("forearm/non-fractured", "forearm/fractured", "spine/non-fractured", "spine/fractured"))
ARCHITECTURE = {
    "blocks": 2, "filters": 4, "growth": 2, "kernel": 3, "block": "plain", "norm": "batch", "lstm_layers": 1,
    "lstm_units": 4, "dropout": 0.2,
    "learning_rate": 3e-3,
}  # fmt: skip


@pytest.fixture
def registry(stack: Stack, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in stack.environment().items():
        if name.startswith(("AWS_", "MLFLOW_")):
            monkeypatch.setenv(name, value)
    return settings.model_copy(update={"model_name": settings.s3_bucket})


@pytest.fixture
def snapshot(lake: Lake) -> tuple[str, pd.DataFrame, dict[str, bytes]]:
    rows, images = [], {}
    for number in range(60):
        part, fractured = ("forearm", "spine")[number % 2], number % 4 > 1
        data = encode(radiograph(number, part, fractured, (80, 90)))
        digest, _ = lake.put_image(data)
        images[digest] = data
        rows.append({"sha256": digest, "source": "s", "body_part": part, "fractured": fractured, "group": digest,
                     "licence": "CC0-1.0", "attribution": "Ann", "split": "test", "published": []})  # fmt: skip
    catalogs.write(lake, "split/s.parquet", pd.DataFrame(rows))
    return "split/s.parquet", catalogs.read(lake, "split/s.parquet"), images


def leave_training(
    lake: Lake,
    out: str,
    key: str,
    images: pd.DataFrame,
    data: dict[str, bytes],
    *,
    epochs: int,
    floor: dict[str, float | None] | None = None,
) -> Predictor:
    """A model fitted on the test images themselves: as good as `epochs` makes it, which is what promotion compares."""
    import keras

    keras.utils.set_random_seed(1)
    recipe = WaveletRecipe(side=32)
    model = network.build(ARCHITECTURE, recipe.shape, len(CLASSES.names))
    features = np.stack([features_of(data[digest], recipe) for digest in images["sha256"]])
    if epochs:
        model.fit(features.astype(np.float32), CLASSES.allowed(images), epochs=epochs, batch_size=12, verbose=0)
    predictor = Predictor(model, recipe, CLASSES, 1.3)
    probabilities = predictor.from_features(features)
    figures = evaluate(Scored(images, probabilities, CLASSES), 20)
    result = TrainingResult(
        key=out,
        model=MAIN,
        snapshot="abc",
        snapshot_key=key,
        budget="smoke",
        seed=0,
        code="1+a",
        classes=list(CLASSES.names),
        design=ARCHITECTURE,
        parameters=9,
        trials=[
            {"score": 0.5, "seconds": 2.4, "worker": "tuner0"},
            {"score": 0.75, "seconds": 1.3, "worker": "tuner1"},
        ],
        images={"test": len(images)},
        n_train=9,
        images_by_class={"spine/fractured": int(epochs)},
        evaluation=figures.model_copy(update={"metadata_baseline": floor or {}}),
    )
    lake.put_model(result_key(out), result)
    return predictor


def row(model: str = MAIN, training: str = "", against: PairedComparison | None = None) -> ComparisonRow:
    """A row of a comparison."""
    metrics = {"macro_f1": 0.5, "part_accuracy": 0.5, "fracture_auroc_within_part": None, "fracture_auroc": None}
    return ComparisonRow(model=model, training=training, n_train=9, n_train_main=9, metrics=metrics, against=against)


def compared(lake: Lake, training: str, *others: ComparisonRow) -> ComparisonKey:
    """The key of a comparison of a training with others."""
    key = ComparisonKey(f"comparisons/{training.replace('/', '-')}-{len(others)}.json")
    lake.put_model(key, Comparison(rows=[row(training=training), *others]))
    return key


def registered(settings: Settings, lake: Lake, training: str, approval: Approval | None = None) -> RegisterRecord:
    """What the registration of a training says that was compared with nothing."""
    return register(settings, lake, compared(lake, training), settings.model_name, approval=approval)


def write_sources(registry: Settings, folder: Path) -> Path:
    """A sources file that names the registry's model."""
    entry = {"name": "s", "kind": "phantom", "licence": "CC0-1.0"}
    (folder / "sources.yaml").write_text(yaml.safe_dump({"model": registry.model_name, "sources": [entry]}))
    return folder / "sources.yaml"


def report(registry: Settings, lake: Lake, training: str, folder: Path) -> str:
    """The page of a run that registers what was trained under `models/`."""
    key = compared(lake, f"models/{training}")
    context = Context.open(f"run of {training}", **dict(registry))
    sources = str(write_sources(registry, folder))
    run_stage(REGISTER, context, comparison=key, catalog="", sources=sources, answers=[])
    return lake.get_bytes(run_stage(REPORT, context).page).decode()


def test_registering_serving_and_promoting(
    registry: Settings,
    lake: Lake,
    snapshot: tuple[str, pd.DataFrame, dict[str, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mlflow

    key, images, data = snapshot
    outs = {}
    for name, epochs in (("untrained", 0), ("trained", 60)):
        outs[name] = leave_training(lake, f"models/{name}", key, images, data, epochs=epochs)
        folder = tmp_path / name
        folder.mkdir()
        outs[name].save(folder)
        lake.put_folder(f"models/{name}", folder)

    first = registered(registry, lake, "models/untrained")
    assert (first.version, first.alias, first.champion) == ("1", CHAMPION, "1")
    again = registered(registry, lake, "models/untrained")
    assert again.version == "1" and not again.promoted and again.reason.startswith("registered before")

    told = report(registry, lake, "trained", tmp_path)
    assert f"Version 2 of {registry.model_name} is <b>champion</b>: better with confidence" in told
    assert champion(registry, registry.model_name) == Champion("2", "models/trained", "")
    assert "this is try" not in told, "the first champion was compared with nobody"
    mlflow.set_tracking_uri(registry.mlflow_url)
    client = mlflow.MlflowClient()
    assert client.get_model_version_by_alias(registry.model_name, PREVIOUS).version in (1, "1")

    name_version = mlflow.MlflowClient.set_registered_model_alias

    def breaking(self: Any, name: str, alias: str, version: str) -> None:
        if alias == PREVIOUS:
            raise ConnectionError
        name_version(self, name, alias, version)

    with monkeypatch.context() as patch, pytest.raises(ConnectionError):
        patch.setattr(mlflow.MlflowClient, "set_registered_model_alias", breaking)
        rollback(registry, registry.model_name, "ann", "it misses wrists")
    now, then = rollback(registry, registry.model_name, "ann", "it misses wrists")  # it is finished
    assert (now, then) == ("1", "2")
    aliases = {alias: str(client.get_model_version_by_alias(registry.model_name, alias).version)
               for alias in (CHAMPION, PREVIOUS)}  # fmt: skip
    assert aliases == {CHAMPION: "1", PREVIOUS: "2"}
    assert client.get_model_version(registry.model_name, "2").tags["osteon.rolled_back"] == "by ann: it misses wrists"
    assert champion(registry, registry.model_name) == Champion("1", "models/untrained", "", "by ann: it misses wrists")

    leave_training(lake, "models/alike", key, images, data, epochs=0)
    lake.put_folder("models/alike", tmp_path / "trained")

    def meanwhile(*arguments: Any) -> Decision:
        client.set_registered_model_alias(registry.model_name, CHAMPION, "2")
        return Decision(True, "better")

    with monkeypatch.context() as patch, pytest.raises(TryAgainError, match="another champion meanwhile"):
        patch.setattr("osteon.registry.register.decide", meanwhile)
        registered(registry, lake, "models/alike", Approval(True, "bob", "1"))
    held = champion(registry, registry.model_name)
    assert held is not None and held.version == "2"
    client.set_registered_model_alias(registry.model_name, CHAMPION, "1")
    asked = propose(registry, lake, compared(lake, "models/alike"), registry.model_name, always=False)
    assert asked is not None and asked.champion == "1", "next week's model would be much like the one taken back"
    alike = registered(registry, lake, "models/alike")
    assert not alike.promoted and alike.reason.startswith("version 1 was brought back by ann: it misses wrists; what")
    for about, promoted in (("2", False), ("1", True)):
        client.delete_model_version_tag(registry.model_name, alike.version, "osteon.registered")
        approval = Approval(True, "bob", about)
        said = registered(registry, lake, "models/alike", approval)
        assert said.promoted is promoted
        assert promoted or said.reason.startswith("approved by bob when version 2 was the champion, which has changed")
    assert propose(registry, lake, compared(lake, "models/next"), registry.model_name, always=False) is None, (
        "none was restored"
    )
    client.set_registered_model_alias(registry.model_name, CHAMPION, "2")
    client.set_registered_model_alias(registry.model_name, PREVIOUS, "2")
    with pytest.raises(ConfigurationError, match=r"version 2 of .* is champion and previous"):
        rollback(registry, registry.model_name, "ann", "x")
    client.set_registered_model_alias(registry.model_name, CHAMPION, "1")
    rollback(registry, registry.model_name, "ann", "it does not")

    before = registered(registry, lake, "models/untrained")
    assert (before.version, before.alias, before.champion) == ("1", PREVIOUS, "2")

    leave_training(lake, "models/worse", key, images, data, epochs=0)
    lake.put_folder("models/worse", tmp_path / "untrained")
    told = report(registry, lake, "worse", tmp_path)
    assert f"Version 4 of {registry.model_name} is <b>challenger</b>: not better with confidence" in told
    version = client.get_model_version(registry.model_name, "4")
    assert "not better with confidence" in version.tags["osteon.reason"]

    leave_training(lake, "models/shortcut", key, images, data, epochs=0, floor={"body part": 0.99, "file": None})
    lake.put_folder("models/shortcut", tmp_path / "untrained")
    shortcut = registered(registry, lake, "models/shortcut")
    assert not shortcut.promoted and "needs no pixel: the shortcut floor is 0.990" in shortcut.reason

    held = client.get_model_version_by_alias(registry.model_name, CHAMPION).tags["osteon.training"]
    stored, weights = lake.get_json(f"{held}/{RECIPE}"), lake.get_bytes(f"{held}/{MODEL}")
    for number, (recipe, model, told) in enumerate((
        ({"version": 2, "recipe": {"grain": 3}}, weights, "version 2 of WaveletRecipe, this code makes version 1"),
        ({"kind": "GaborRecipe"}, weights, "version 1 of GaborRecipe, this code makes no such"),
        ({}, weights[:100], "cannot be compared, for "),
    )):  # fmt: skip
        lake.put_json(f"{held}/{RECIPE}", stored | recipe)
        lake.put_bytes(f"{held}/{MODEL}", model)
        newer = f"models/newer-{number}"
        leave_training(lake, newer, key, images, data, epochs=0)
        lake.put_folder(newer, tmp_path / "trained")
        refused = registered(registry, lake, newer)
        assert not refused.promoted and told in refused.reason and "give it the alias `previous`" in refused.reason
    lake.put_json(f"{held}/{RECIPE}", stored)
    lake.put_bytes(f"{held}/{MODEL}", weights)

    client.delete_model_version_tag(registry.model_name, "2", "osteon.registered")
    resumed = registered(registry, lake, "models/trained")
    assert (resumed.version, resumed.alias, resumed.champion) == ("2", CHAMPION, "2"), (
        "it broke off before its last tag"
    )
    client.delete_model_version_tag(registry.model_name, "2", "osteon.training")
    leave_training(lake, "models/other", key, images, data, epochs=0)
    lake.put_folder("models/other", tmp_path / "untrained")
    foreign = registered(registry, lake, "models/other")
    assert not foreign.promoted and "not registered by Osteon" in foreign.reason

    card = client.get_model_version(registry.model_name, "2").description
    assert "Code: osteon 1+a." in card
    assert "Found in 2 trials of 4 seconds in all, by 2 worker(s); the best validation loss was 0.500" in card
    assert (
        "not a medical device" in card
        and "| part spine | 30 | 30 | 15 |" in card
        and "| s | CC0-1.0 | Ann | 0 | 0 | 60 |" in card
        and "Split by film: patients are unknown for s." in card
        and NOT_CHECKED in card
    )

    run = client.get_run(client.get_model_version(registry.model_name, "2").run_id)
    assert run.data.params["snapshot"] == "abc" and run.data.params["blocks"] == "2"
    assert run.data.metrics["fracture_auroc"] > 0.9
    assert run.inputs.dataset_inputs[0].dataset.name == "abc"

    served = mlflow.pyfunc.load_model(f"models:/{registry.model_name}@{CHAMPION}")
    table = served.predict(pd.DataFrame({"image": list(data.values())[:5]}))
    features = np.stack([features_of(image, outs["trained"].recipe) for image in list(data.values())[:5]])
    offline = outs["trained"].from_features(features)
    np.testing.assert_allclose(table[list(CLASSES.names)].to_numpy(), offline, atol=1e-5)
    assert list(table.columns[:3]) == ["body_part", "fracture_probability", "problem"]
    mixed = [encode(np.zeros((80, 90), np.uint8)), next(iter(data.values())), b"no image"]
    mixed_table = served.predict(pd.DataFrame({"image": mixed}))
    assert mixed_table["problem"].tolist() == ["blank", "", "unreadable"]
    assert np.isnan(mixed_table["fracture_probability"]).tolist() == [True, False, True]
    np.testing.assert_allclose(mixed_table[list(CLASSES.names)].to_numpy()[1], offline[0], atol=1e-5)
    assert table["fracture_probability"].between(0, 1).all()


def test_the_model_card_says_what_the_check_of_the_split_found(
    registry: Settings, lake: Lake, snapshot: tuple[str, pd.DataFrame, dict[str, bytes]]
) -> None:
    import mlflow

    key, images, data = snapshot
    checked = images.assign(split=["test", "train"] * (len(images) // 2))
    catalogs.write(lake, key, checked)
    rows = [(*pair, 3.25, 5, 0.5, "as it is", "different", "train") for pair in zip(*(
        checked.loc[checked["split"] == split, "sha256"] for split in ("test", "train")
    ), strict=True)]  # fmt: skip
    rows[0] = (*rows[0][:2], 7.5, 9, 0.5, "as it is", "possible", "train")
    lake.put_table(leakage_key(checked), pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS))
    leave_training(lake, "models/a", key, images, data, epochs=0).to_lake(lake, "models/a")
    registered(registry, lake, "models/a")
    card = mlflow.MlflowClient(registry.mlflow_url).get_model_version(registry.model_name, "1").description
    assert (
        "The closest of 30 test images to anything in train or val scores 7.5; "
        f"the bar for a copy is {COPIED:g}. "
        "Possible copies that wait for a curator: 1. Split by film" in card
    )


def test_what_a_rival_beats_or_a_person_refuses_is_not_promoted(
    registry: Settings, lake: Lake, snapshot: tuple[str, pd.DataFrame, dict[str, bytes]], tmp_path: Path
) -> None:
    import mlflow

    key, images, data = snapshot
    name = registry.model_name
    leave_training(lake, "models/first", key, images, data, epochs=0).to_lake(lake, "models/first")
    worse = PairedComparison(difference={"macro_f1": (-0.4, -0.1)}, verdict="worse")
    alone, beside = compared(lake, "models/first"), compared(lake, "models/first", row("forest", against=worse))
    assert propose(registry, lake, beside, name, always=True) is None, "the promotion rules refuse it"
    assert propose(registry, lake, alone, name, always=True) == Proposal("", "there was no champion")
    assert propose(registry, lake, alone, name, always=False) is None
    sources, context = str(write_sources(registry, tmp_path)), Context.open("compared", **dict(registry))
    question = {"champion": "", "name": name, "why": "The promotion rules say: there was no champion."}
    asked = run_stage(APPROVALS, context, comparison=alone, sources=sources, require_approval=True)
    assert asked.questions == [question]
    with pytest.raises(ConfigurationError, match="names no training of cnn_bilstm"):
        run_stage(REGISTER, context, comparison=compared(lake, ""), catalog="", sources=sources, answers=[])

    beaten = register(registry, lake, beside, name)
    assert (beaten.alias, beaten.promoted, beaten.champion, beaten.new) == ("challenger", False, "", True)
    assert "forest" in beaten.reason
    client = mlflow.MlflowClient(registry.mlflow_url)
    logged = client.get_run(client.get_model_version(name, "1").run_id).info
    (rival,) = client.search_runs([logged.experiment_id], f"tags.`mlflow.parentRunId` = '{logged.run_id}'")
    assert rival.data.metrics == {"macro_f1": 0.5, "part_accuracy": 0.5}
    assert (rival.data.params["model"], rival.data.params["verdict"]) == ("forest", "worse")
    assert propose(registry, lake, alone, name, always=True) is None, "it is registered"
    with pytest.raises(ConfigurationError, match="no alias champion"):
        rollback(registry, name, "ann", "x")

    leave_training(lake, "models/second", key, images, data, epochs=0).to_lake(lake, "models/second")
    refused = registered(registry, lake, "models/second", Approval(False, "ann", ""))
    assert not refused.promoted and refused.reason.startswith(
        "not approved by ann; the promotion rules had said: there was no"
    )


def test_a_base_model_is_registered_once_and_carries_its_class_names(
    registry: Settings, lake: Lake, snapshot: tuple[str, pd.DataFrame, dict[str, bytes]]
) -> None:
    import mlflow

    key, _, data = snapshot
    name, recipe, classes = f"{registry.model_name}-hand_base", FourierRecipe(16, "pixels"), ("other", "hand")
    trained = {}
    for out in ("models/hand_base/a", "models/hand_base/b"):
        trained[out] = Predictor(network.build(ARCHITECTURE, recipe.shape, 2), recipe, ClassList(classes), 1.1)
        trained[out].to_lake(lake, out)
        result = BaseModelResult(
            key=out,
            model="hand_base",
            snapshot=out[-1],
            snapshot_key=key,
            budget="smoke",
            seed=0,
            classes=list(classes),
            design=ARCHITECTURE,
            images={},
            positive_class="hand",
            parts=["hand"],
            input="pixels",
            ablation={},
            metrics={"auroc": 0.9},
            intervals={},
            calibration=[],
            by_source=[],
        )
        lake.put_model(result_key(out), result)
    versions = [register_base(registry, lake, TrainingKey(f"models/hand_base/{which}"), name) for which in "aba"]
    assert versions == ["1", "2", "1"], "the same training is not registered again"

    served = mlflow.pyfunc.load_model(f"models:/{name}@{CHAMPION}")
    assert served.metadata.metadata["classes"] == list(classes)
    table = served.predict(pd.DataFrame({"image": list(data.values())[:3]}))
    films = np.stack([features_of(image, recipe) for image in list(data.values())[:3]])
    offline = trained["models/hand_base/b"].from_features(films)
    np.testing.assert_allclose(table[list(classes)].to_numpy(), offline, atol=1e-5)
    assert set(table["body_part"]) <= set(classes) and table["fracture_probability"].isna().all()


def test_what_the_served_model_imports_is_among_its_requirements() -> None:
    """The registry's copy of Osteon's code is run where nothing else of Osteon's environment is."""
    code = "import sys, osteon.served_model\nfor name, module in sys.modules.items():\n"
    code += "    if name.startswith('osteon'): print(module.__file__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    trees = [ast.parse(Path(file).read_text()) for file in done.stdout.split() if file != "None"]
    assert len(trees) > 10
    lines = [line for tree in trees for line in tree.body]
    names = {alias.name for line in lines if isinstance(line, ast.Import) for alias in line.names}
    names |= {line.module for line in lines if isinstance(line, ast.ImportFrom) and line.module}
    tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"osteon"}
    packages = importlib.metadata.packages_distributions()
    known, new = set[str](), {"mlflow", *REQUIREMENTS}
    while new:
        known |= new
        needed = [line for name in new for line in importlib.metadata.requires(name) or [] if "extra ==" not in line]
        new = {re.split(r"[^\w.-]", line)[0].lower() for line in needed} - known
        new = {name for name in new if name in {one.lower() for ones in packages.values() for one in ones}}
    assert {top for top in tops if not {one.lower() for one in packages[top]} & known} == set()


def test_a_long_model_card_is_cut_at_a_section_and_says_where_the_rest_is() -> None:
    card = "# A\n\nshort\n" + "".join(f"\n## {letter}\n\n{letter * 2000}\n" for letter in "bcde")
    told = _description(card)
    assert told.startswith(card[: card.index("\n## d") - 1]) and "ddd" not in told and "`model_card.md`" in told
    assert len(told) <= LONGEST_DESCRIPTION and _description("# short") == "# short"
