"""Registering on a real MLflow server: one artifact, the same answers, promotion only with a reason."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from osteon import catalog as catalogs
from osteon.curation.leakage import COLUMNS, leakage_key
from osteon.embedded.stack import Stack
from osteon.errors import ConfigurationError, RetryableError
from osteon.images.fourier import FourierTransform
from osteon.images.registration import COPIED
from osteon.images.wavelet import WaveletTransform
from osteon.lake import Lake
from osteon.models import network
from osteon.models.design import NetworkDesign
from osteon.models.space import MAIN
from osteon.pipeline.context import Context
from osteon.pipeline.stages import APPROVALS, REGISTER, REPORT, run_stage
from osteon.records import ComparisonKey, PromotionQuestion, RegisterRecord, TrainingKey
from osteon.registry.client import connect
from osteon.registry.log import LONGEST_DESCRIPTION, REQUIREMENTS
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
from osteon.schemas import Split
from osteon.settings import Settings
from osteon.training.classes import ClassList
from osteon.training.evaluate import Predictions, evaluate
from osteon.training.predictor import MODEL, RECIPE, Predictor
from osteon.training.promotion import CHAMPION, PREVIOUS, Approval, Champion
from tests import tables
from tests.conftest import own_settings
from tests.pictures import encode, features_of, radiograph

CLASSES = ClassList(("forearm/non-fractured", "forearm/fractured", "spine/non-fractured", "spine/fractured"))
DESIGN = NetworkDesign(
    blocks=2, filters=4, growth=2, kernel=3, block="plain", norm="batch", lstm_layers=1, lstm_units=4, dropout=0.2,
    learning_rate=3e-3,
)  # fmt: skip
WORSE = PairedComparison(difference={"macro_f1": (-0.4, -0.1)}, verdict="worse")
"""What a comparison says of a model that is worse with confidence than the other."""


def row(model: str = MAIN, training: str = "", against: PairedComparison | None = None) -> ComparisonRow:
    """A row of a comparison."""
    metrics = {"macro_f1": 0.5, "part_accuracy": 0.5, "fracture_auroc_within_part": None, "fracture_auroc": None}
    return ComparisonRow(model=model, training=training, n_train=9, n_train_main=9, metrics=metrics, against=against)


def compared(lake: Lake, training: str, *others: ComparisonRow) -> ComparisonKey:
    """The key of a comparison of a training with others."""
    key = ComparisonKey(f"comparisons/{training.replace('/', '-')}-{len(others)}.json")
    lake.put_model(key, Comparison(rows=[row(training=training), *others]))
    return key


def register_alone(settings: Settings, lake: Lake, training: str, approval: Approval | None = None) -> RegisterRecord:
    """Register a training that was compared with nothing."""
    return register(settings, lake, compared(lake, training), settings.model_name, approval=approval)


@dataclass(frozen=True)
class Shelf:
    """A lake with a snapshot of 60 films, and two models of the same design: one knows the films, the other nothing."""

    lake: Lake
    images: pd.DataFrame
    files: dict[str, bytes]
    predictors: dict[str, Predictor]
    results: dict[str, TrainingResult]

    def leave(self, out: str, which: str, **changes: Any) -> str:
        """Leave one of the models as a training, with these changes to its result. Gives its key."""
        self.predictors[which].to_lake(self.lake, out)
        self.lake.put_model(result_key(out), self.results[which].model_copy(update={"key": out, **changes}))
        return out


@pytest.fixture(scope="module")
def server(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a real MLflow, whose store of artifacts is open to this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.environment().items():
            if name.startswith(("AWS_", "MLFLOW_")):
                patch.setenv(name, value)
        yield own_settings(stack, tmp_path_factory.mktemp("registry"))


@pytest.fixture(scope="module")
def lake(server: Settings) -> Lake:
    return Lake.from_settings(server)


@pytest.fixture
def registry(server: Settings) -> Settings:
    """Settings with a model's name that is the test's own."""
    return server.model_copy(update={"model_name": f"model-{uuid.uuid4().hex[:12]}"})


@pytest.fixture(scope="module")
def shelf(lake: Lake) -> Shelf:
    import keras

    rows, files = [], {}
    for number in range(60):
        part, fractured = ("forearm", "spine")[number % 2], number % 4 > 1
        data = encode(radiograph(number, part, fractured, (80, 90)))
        digest, _ = lake.put_image(data)
        files[digest] = data
        rows.append({"sha256": digest, "source": "s", "body_part": part, "fractured": fractured, "group": digest,
                     "licence": "CC0-1.0", "attribution": "Ann", "split": "test", "raw_label": part})  # fmt: skip
    tables.put(lake, "split/s.parquet", pd.DataFrame(rows), Split)
    images, transform = catalogs.read(lake, "split/s.parquet"), WaveletTransform(side=32)
    features = np.stack([features_of(files[digest], transform) for digest in images["sha256"]]).astype(np.float32)
    predictors, results = {}, {}
    for which, epochs in (("untrained", 0), ("trained", 60)):
        keras.utils.set_random_seed(1)
        model = network.build(DESIGN, transform.shape, len(CLASSES.names))
        if epochs:  # on the test images themselves: what promotion compares is then as good as it gets
            model.fit(features, CLASSES.allowed(images), epochs=epochs, batch_size=12, verbose=0)
        predictors[which] = Predictor(model, transform, CLASSES, 1.3)
        results[which] = TrainingResult(
            model=MAIN,
            snapshot="abc",
            snapshot_key="split/s.parquet",
            budget="smoke",
            seed=0,
            code="1+a",
            classes=list(CLASSES.names),
            design=DESIGN.hyperparameters,
            parameters=9,
            trials=[
                {"score": 0.5, "seconds": 2.4, "worker": "tuner0"},
                {"score": 0.75, "seconds": 1.3, "worker": "tuner1"},
            ],
            images={"test": len(images)},
            n_train=9,
            images_by_class={"spine/fractured": epochs},
            evaluation=evaluate(Predictions(images, predictors[which].from_features(features), CLASSES), 20),
        )
    return Shelf(lake, images, files, predictors, results)


def add_version(registry: Settings, training: str, **tags: str) -> str:
    """A version as a registration left it that broke off before its decision; `tags` are Osteon's. Gives its number.

    It has no artifact, which takes seconds to log.
    """
    client, name = connect(registry), registry.model_name
    if not client.search_registered_models(filter_string=f"name='{name}'"):
        client.create_registered_model(name)
    kept = {f"osteon.{key}": value for key, value in {"training": training, **tags}.items() if value}
    return str(client.create_model_version(name, "s3://elsewhere/model", tags=kept).version)


def name_alias(registry: Settings, alias: str, version: str) -> None:
    connect(registry).set_registered_model_alias(registry.model_name, alias, version)


def aliases(registry: Settings) -> dict[str, str]:
    found = connect(registry).get_registered_model(registry.model_name).aliases
    return {alias: str(version) for alias, version in found.items()}


@pytest.fixture
def two_champions(registry: Settings, shelf: Shelf) -> Settings:
    """A model that has had two champions: version 1, which knows nothing, was followed by version 2, which does."""
    for which, alias in (("untrained", PREVIOUS), ("trained", CHAMPION)):
        name_alias(registry, alias, add_version(registry, shelf.leave(f"models/{which}", which), registered="yes"))
    return registry


def write_sources(registry: Settings, folder: Path) -> Path:
    """A sources file that names the registry's model."""
    entry = {"name": "s", "kind": "phantom", "licence": "CC0-1.0"}
    (folder / "sources.yaml").write_text(yaml.safe_dump({"model": registry.model_name, "sources": [entry]}))
    return folder / "sources.yaml"


def report(registry: Settings, lake: Lake, training: str, folder: Path) -> str:
    """The page of a run that registers a training."""
    key = compared(lake, training)
    context = Context.open(f"{registry.model_name} of {training}", **dict(registry))
    sources = str(write_sources(registry, folder))
    run_stage(REGISTER, context, comparison=key, catalog="", sources=sources, answers=[])
    return lake.get_bytes(run_stage(REPORT, context).page).decode()


# What is registered


@dataclass(frozen=True)
class Registered:
    """A model's first version, which was registered by a call, and its second, which was registered by a run."""

    settings: Settings
    shelf: Shelf
    page: str
    """Of the run."""

    @property
    def name(self) -> str:
        return self.settings.model_name

    def version(self, number: str = "2") -> Any:
        return connect(self.settings).get_model_version(self.name, number)


@pytest.fixture(scope="module")
def registered(server: Settings, shelf: Shelf, tmp_path_factory: pytest.TempPathFactory) -> Registered:
    settings = server.model_copy(update={"model_name": "registered"})
    first = register_alone(settings, shelf.lake, shelf.leave("models/first", "untrained"))
    assert (first.version, first.alias, first.champion) == ("1", CHAMPION, "1"), "there was no champion"
    page = report(settings, shelf.lake, shelf.leave("models/second", "trained"), tmp_path_factory.mktemp("report"))
    return Registered(settings, shelf, page)


def test_a_training_gets_no_second_version(registered: Registered) -> None:
    again = register_alone(registered.settings, registered.shelf.lake, "models/second")
    assert (again.version, again.promoted) == ("2", False)
    assert again.reason.startswith("registered before: better with confidence")


def test_what_is_better_with_confidence_becomes_champion_and_the_report_says_so(registered: Registered) -> None:
    assert "Version 2 of registered is <b>champion</b>: better with confidence" in registered.page
    assert "this is try" not in registered.page, "the first champion was compared with nobody"
    assert champion(registered.settings, registered.name) == Champion("2", "models/second", "")
    assert aliases(registered.settings) == {CHAMPION: "2", PREVIOUS: "1"}


def test_the_card_of_a_version_says_how_it_was_found_and_on_what_it_was_tested(registered: Registered) -> None:
    card = registered.version().description
    for text in (
        "Code: osteon 1+a.",
        "Found in 2 trials of 4 seconds in all, by 2 worker(s); the best validation loss was 0.500",
        "not a medical device",
        "| part spine | 30 | 30 | 15 |",
        "| s | CC0-1.0 | Ann | 0 | 0 | 60 |",
        "Split by film: patients are unknown for s.",
        NOT_CHECKED,
    ):
        assert text in card


def test_the_run_of_a_version_has_its_parameters_measures_and_snapshot(registered: Registered) -> None:
    run = connect(registered.settings).get_run(str(registered.version().run_id))
    assert run.inputs is not None
    assert (run.data.params["snapshot"], run.data.params["blocks"]) == ("abc", "2")
    assert run.data.metrics["fracture_auroc"] > 0.9
    assert run.inputs.dataset_inputs[0].dataset.name == "abc"


@pytest.fixture(scope="module")
def served(registered: Registered) -> Any:
    import mlflow

    return mlflow.pyfunc.load_model(f"models:/{registered.name}@{CHAMPION}")


def test_a_served_model_answers_what_the_trained_one_does(served: Any, shelf: Shelf) -> None:
    films = list(shelf.files.values())[:5]
    table = served.predict(pd.DataFrame({"image": films}))
    trained = shelf.predictors["trained"]
    offline = trained.from_features(np.stack([features_of(film, trained.transform) for film in films]))
    np.testing.assert_allclose(table[list(CLASSES.names)].to_numpy(), offline, atol=1e-5)
    assert list(table.columns[:3]) == ["body_part", "fracture_probability", "problem"]
    assert table["fracture_probability"].between(0, 1).all()


def test_a_served_model_names_what_it_cannot_answer_and_answers_the_rest(served: Any, shelf: Shelf) -> None:
    film = next(iter(shelf.files.values()))
    mixed = served.predict(pd.DataFrame({"image": [encode(np.zeros((80, 90), np.uint8)), film, b"no image"]}))
    assert mixed["problem"].tolist() == ["blank", "", "unreadable"]
    assert np.isnan(mixed["fracture_probability"]).tolist() == [True, False, True]
    alone = served.predict(pd.DataFrame({"image": [film]}))
    classes = list(CLASSES.names)
    np.testing.assert_allclose(mixed[classes].to_numpy()[1], alone[classes].to_numpy()[0], atol=1e-5)


# Who becomes champion


def test_what_is_not_better_with_confidence_is_a_challenger_and_the_report_says_why(
    two_champions: Settings, shelf: Shelf, tmp_path: Path
) -> None:
    out = shelf.leave("models/worse", "untrained")
    number = add_version(two_champions, out)
    page = report(two_champions, shelf.lake, out, tmp_path)
    why = "not better with confidence"
    assert f"Version 3 of {two_champions.model_name} is <b>challenger</b>: {why}" in page
    assert why in connect(two_champions).get_model_version(two_champions.model_name, number).tags["osteon.reason"]


def test_what_needs_no_pixel_is_not_promoted(registry: Settings, shelf: Shelf) -> None:
    floor = {"metadata_baseline": {"body part": 0.99, "file": None}}
    evaluation = shelf.results["untrained"].evaluation.model_copy(update=floor)
    out = shelf.leave("models/shortcut", "untrained", evaluation=evaluation)
    add_version(registry, out)
    found = register_alone(registry, shelf.lake, out)
    assert not found.promoted
    assert "needs no pixel: the shortcut floor is 0.990" in found.reason


@pytest.mark.parametrize(
    ("transform", "whole", "why"),
    [
        ({"version": 2, "recipe": {"grain": 3}}, True, "version 2 of WaveletRecipe, this code makes version 1"),
        ({"kind": "GaborRecipe"}, True, "version 1 of GaborRecipe, this code makes no such"),
        ({}, False, "cannot be compared, for "),
    ],
    ids=["another version", "another kind", "damaged"],
)
def test_a_champion_that_cannot_be_loaded_stays_until_a_person_makes_place(
    registry: Settings, shelf: Shelf, transform: dict[str, object], whole: bool, why: str
) -> None:
    held, lake = shelf.leave(f"models/old-{registry.model_name}", "untrained"), shelf.lake
    lake.put_json(f"{held}/{RECIPE}", lake.get_json(f"{held}/{RECIPE}") | transform)
    lake.put_bytes(f"{held}/{MODEL}", lake.get_bytes(f"{held}/{MODEL}")[: None if whole else 100])
    name_alias(registry, CHAMPION, add_version(registry, held))
    out = shelf.leave("models/newer", "trained")
    add_version(registry, out)
    refused = register_alone(registry, lake, out)
    assert not refused.promoted
    assert why in refused.reason
    assert "give it the alias `previous`" in refused.reason


def test_a_champion_that_osteon_did_not_register_stays(registry: Settings, shelf: Shelf) -> None:
    name_alias(registry, CHAMPION, add_version(registry, ""))
    out = shelf.leave("models/newer", "trained")
    add_version(registry, out)
    refused = register_alone(registry, shelf.lake, out)
    assert not refused.promoted
    assert "not registered by Osteon" in refused.reason


def test_a_registration_that_broke_off_before_its_last_tag_is_finished(registry: Settings, shelf: Shelf) -> None:
    out = shelf.leave("models/trained", "trained")
    name_alias(registry, CHAMPION, add_version(registry, out, reason="there was no champion"))
    resumed = register_alone(registry, shelf.lake, out)
    assert (resumed.version, resumed.alias, resumed.champion) == ("1", CHAMPION, "1")
    assert connect(registry).get_model_version(registry.model_name, "1").tags["osteon.registered"] == "yes"


def test_of_a_version_that_is_previous_now_the_registration_says_so(two_champions: Settings, shelf: Shelf) -> None:
    connect(two_champions).set_model_version_tag(two_champions.model_name, "1", "osteon.reason", "x")
    before = register_alone(two_champions, shelf.lake, "models/untrained")
    assert (before.version, before.alias, before.champion) == ("1", PREVIOUS, "2")


def test_a_comparison_with_a_champion_that_is_none_any_more_is_done_again(
    two_champions: Settings, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody names another champion while the challenger's version is tagged."""
    import mlflow

    name_alias(two_champions, CHAMPION, "1")
    out = shelf.leave("models/alike", "trained")
    add_version(two_champions, out)
    set_tag = mlflow.MlflowClient.set_model_version_tag

    def meanwhile(self: Any, name: str, version: str, key: str, value: str) -> None:
        set_tag(self, name, version, key, value)
        if key == "osteon.reason":
            name_alias(two_champions, CHAMPION, "2")

    monkeypatch.setattr(mlflow.MlflowClient, "set_model_version_tag", meanwhile)
    with pytest.raises(RetryableError, match="another champion meanwhile"):
        register_alone(two_champions, shelf.lake, out)
    assert aliases(two_champions)[CHAMPION] == "2"


# Rollback, and what follows it


def test_a_rollback_swaps_champion_and_previous_and_says_by_whom_and_why(two_champions: Settings) -> None:
    name = two_champions.model_name
    assert rollback(two_champions, name, "ann", "it misses wrists") == ("1", "2")
    assert aliases(two_champions) == {CHAMPION: "1", PREVIOUS: "2"}
    taken_back = connect(two_champions).get_model_version(name, "2")
    assert taken_back.tags["osteon.rolled_back"] == "by ann: it misses wrists"
    assert champion(two_champions, name) == Champion("1", "models/untrained", "", "by ann: it misses wrists")


def test_a_rollback_that_broke_off_is_finished_by_the_next(
    two_champions: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    name, set_alias = two_champions.model_name, mlflow.MlflowClient.set_registered_model_alias

    def breaking(self: Any, name: str, alias: str, version: str) -> None:
        if alias == PREVIOUS:
            raise ConnectionError
        set_alias(self, name, alias, version)

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, "set_registered_model_alias", breaking)
        with pytest.raises(ConnectionError):
            rollback(two_champions, name, "ann", "it misses wrists")
    assert rollback(two_champions, name, "ann", "it misses wrists") == ("1", "2")
    assert aliases(two_champions) == {CHAMPION: "1", PREVIOUS: "2"}


def test_a_rollback_of_a_rollback_brings_the_later_version_back(two_champions: Settings) -> None:
    for why in ("it misses wrists", "it does not"):
        rollback(two_champions, two_champions.model_name, "ann", why)
    assert aliases(two_champions) == {CHAMPION: "2", PREVIOUS: "1"}


def test_without_another_version_there_is_no_way_back(two_champions: Settings) -> None:
    name_alias(two_champions, PREVIOUS, "2")
    with pytest.raises(ConfigurationError, match=r"version 2 of .* is champion and previous"):
        rollback(two_champions, two_champions.model_name, "ann", "x")


def test_without_a_champion_there_is_nothing_to_take_back(registry: Settings) -> None:
    with pytest.raises(ConfigurationError, match="no alias champion"):
        rollback(registry, registry.model_name, "ann", "x")


@pytest.fixture
def rolled_back(two_champions: Settings, shelf: Shelf) -> Settings:
    """A model whose first champion was brought back, and a third version, much like the one that was taken back."""
    rollback(two_champions, two_champions.model_name, "ann", "it misses wrists")
    add_version(two_champions, shelf.leave("models/alike", "trained"))
    return two_champions


def test_after_a_rollback_the_next_model_is_proposed_to_a_person(rolled_back: Settings, shelf: Shelf) -> None:
    alike = compared(shelf.lake, "models/alike")
    asked = propose(rolled_back, shelf.lake, alike, rolled_back.model_name, always=False)
    assert asked is not None
    assert asked.champion == "1"


def test_where_nothing_was_brought_back_nobody_is_asked(two_champions: Settings, shelf: Shelf) -> None:
    alike = compared(shelf.lake, shelf.leave("models/alike", "trained"))
    assert propose(two_champions, shelf.lake, alike, two_champions.model_name, always=False) is None


def test_after_a_rollback_nothing_is_promoted_without_approval(rolled_back: Settings, shelf: Shelf) -> None:
    found = register_alone(rolled_back, shelf.lake, "models/alike")
    assert not found.promoted
    assert found.reason.startswith("version 1 was brought back by ann: it misses wrists; what")


def test_an_approval_about_another_champion_does_not_count(rolled_back: Settings, shelf: Shelf) -> None:
    approval = Approval(True, "bob", "2")
    found = register_alone(rolled_back, shelf.lake, "models/alike", approval)
    assert not found.promoted
    assert found.reason.startswith("approved by bob when version 2 was the champion, which has changed")


def test_an_approval_about_this_champion_counts(rolled_back: Settings, shelf: Shelf) -> None:
    approval = Approval(True, "bob", "1")
    found = register_alone(rolled_back, shelf.lake, "models/alike", approval)
    assert (found.promoted, found.champion) == (True, "3")


# The model card


def test_the_model_card_says_what_the_check_of_the_split_found(registry: Settings, shelf: Shelf) -> None:
    lake, images = shelf.lake, shelf.images
    checked = images.assign(split=["test", "train"] * (len(images) // 2))
    catalogs.write(lake, "split/checked.parquet", checked, Split)
    rows = [(*pair, 3.25, 5, 0.5, "as it is", "different", "train") for pair in zip(*(
        checked.loc[checked["split"] == split, "sha256"] for split in ("test", "train")
    ), strict=True)]  # fmt: skip
    rows[0] = (*rows[0][:2], 7.5, 9, 0.5, "as it is", "possible", "train")
    lake.put_table(leakage_key(checked), pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS))
    training = shelf.leave("models/checked", "untrained", snapshot_key="split/checked.parquet")
    register_alone(registry, lake, training)
    card = connect(registry).get_model_version(registry.model_name, "1").description or ""
    assert (
        "The closest of 30 test images to anything in train or val scores 7.5; "
        f"the bar for a copy is {COPIED:g}. "
        "Possible copies that wait for a curator: 1. Split by film" in card
    )


def test_a_long_model_card_is_cut_at_a_section_and_says_where_the_rest_is(registry: Settings, shelf: Shelf) -> None:
    import mlflow

    many = shelf.images.assign(source=[f"s{number}" for number in range(60)], attribution="x" * 200)
    catalogs.write(shelf.lake, "split/many.parquet", many, Split)
    out = shelf.leave("models/many", "untrained", snapshot_key="split/many.parquet")
    register_alone(registry, shelf.lake, out)
    version = connect(registry).get_model_version(registry.model_name, "1")
    whole = mlflow.artifacts.load_text(f"runs:/{version.run_id}/model_card.md")
    assert version.description and len(whole) > LONGEST_DESCRIPTION >= len(version.description)
    sections, _, rest = version.description.rpartition("\n\n")
    assert whole.startswith(f"{sections}\n\n## ")
    assert "`model_card.md`" in rest


# Rivals, people and base models


@pytest.fixture
def alone(shelf: Shelf) -> ComparisonKey:
    """A comparison of a training with nothing."""
    return compared(shelf.lake, shelf.leave("models/compared", "untrained"))


@pytest.fixture
def beaten(shelf: Shelf) -> ComparisonKey:
    """A comparison with a rival for which the main model is worse."""
    return compared(shelf.lake, shelf.leave("models/compared", "untrained"), row("forest", against=WORSE))


def test_what_a_rival_beats_is_not_proposed(registry: Settings, lake: Lake, beaten: ComparisonKey) -> None:
    assert propose(registry, lake, beaten, registry.model_name, always=True) is None


def test_where_approval_is_asked_for_the_first_champion_is_proposed_as_well(
    registry: Settings, lake: Lake, alone: ComparisonKey
) -> None:
    asked = propose(registry, lake, alone, registry.model_name, always=True)
    assert asked == Proposal("", "there was no champion")
    assert propose(registry, lake, alone, registry.model_name, always=False) is None


def test_a_run_asks_a_person_with_the_reason_of_the_rules(
    registry: Settings, alone: ComparisonKey, tmp_path: Path
) -> None:
    context, sources = Context.open(registry.model_name, **dict(registry)), str(write_sources(registry, tmp_path))
    asked = run_stage(APPROVALS, context, comparison=alone, sources=sources, require_approval=True)
    why = "The promotion rules say: there was no champion."
    assert asked.questions == [PromotionQuestion(champion="", name=registry.model_name, why=why)]


def test_a_comparison_that_names_no_training_is_refused(registry: Settings, lake: Lake, tmp_path: Path) -> None:
    context, sources = Context.open(registry.model_name, **dict(registry)), str(write_sources(registry, tmp_path))
    with pytest.raises(ConfigurationError, match="names no training of cnn_bilstm"):
        run_stage(REGISTER, context, comparison=compared(lake, ""), catalog="", sources=sources, answers=[])


def test_what_a_rival_beats_is_a_challenger_and_the_rivals_figures_are_logged(
    registry: Settings, lake: Lake, beaten: ComparisonKey
) -> None:
    name = registry.model_name
    found = register(registry, lake, beaten, name)
    assert (found.alias, found.promoted, found.champion, found.new) == ("challenger", False, "", True)
    assert "forest" in found.reason
    client = connect(registry)
    logged = client.get_run(str(client.get_model_version(name, "1").run_id)).info
    (rival,) = client.search_runs([logged.experiment_id], f"tags.`mlflow.parentRunId` = '{logged.run_id}'")
    assert rival.data.metrics == {"macro_f1": 0.5, "part_accuracy": 0.5}
    assert (rival.data.params["model"], rival.data.params["verdict"]) == ("forest", "worse")
    alone = compared(lake, found.training)
    assert propose(registry, lake, alone, name, always=True) is None, "it is registered"


def test_what_a_person_refuses_is_not_promoted(registry: Settings, lake: Lake, alone: ComparisonKey) -> None:
    add_version(registry, "models/compared")
    refused = register(registry, lake, alone, registry.model_name, approval=Approval(False, "ann", ""))
    assert not refused.promoted
    assert refused.reason.startswith("not approved by ann; the promotion rules had said: there was no")


def test_a_base_model_is_registered_once_and_carries_its_class_names(registry: Settings, shelf: Shelf) -> None:
    import mlflow

    lake, data = shelf.lake, shelf.files
    name, transform, classes = f"{registry.model_name}-hand_base", FourierTransform(16, "pixels"), ("other", "hand")
    trained = {}
    for out in ("models/hand_base/a", "models/hand_base/b"):
        trained[out] = Predictor(
            network.build(DESIGN, transform.shape, 2),
            transform,
            ClassList(classes),
            1.1,
        )
        trained[out].to_lake(lake, out)
        result = BaseModelResult(
            key=out,
            model="hand_base",
            snapshot=out[-1],
            snapshot_key="split/s.parquet",
            budget="smoke",
            seed=0,
            code="1+a",
            classes=list(classes),
            design=DESIGN.hyperparameters,
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
    films = np.stack([features_of(image, transform) for image in list(data.values())[:3]])
    offline = trained["models/hand_base/b"].from_features(films)
    np.testing.assert_allclose(table[list(classes)].to_numpy(), offline, atol=1e-5)
    assert set(table["body_part"]) <= set(classes)
    assert table["fracture_probability"].isna().all()


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
