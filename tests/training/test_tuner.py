"""What Osteon relies on in KerasTuner and KerasTuner does not promise: these fail when a new version changes it."""

from __future__ import annotations

import inspect
from typing import Any

import keras_tuner
import pytest
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client

CHOICES = [1, 2, 3]
ORACLES = [keras_tuner.oracles.RandomSearchOracle, keras_tuner.oracles.HyperbandOracle]


@pytest.fixture(params=ORACLES, ids=lambda kind: kind.__name__)
def oracle(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    made = request.param(objective=keras_tuner.Objective("val_loss", "min"), seed=1)
    space = keras_tuner.HyperParameters()
    space.Choice("filters", CHOICES)
    made.update_space(space)
    keras_tuner.Tuner(made, lambda hp: None, directory=str(tmp_path), project_name="x")
    return made


def test_every_new_trial_takes_the_values_of_random_values(oracle: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(oracle), "_random_values", lambda self: {"filters": 3}, raising=True)
    assert oracle.create_trial("a").hyperparameters.values["filters"] == 3


def test_duplicate_knows_the_values_that_were_tried(oracle: Any) -> None:
    tried = oracle.create_trial("a").hyperparameters.values["filters"]
    assert [oracle._duplicate({"filters": value}) for value in CHOICES] == [value == tried for value in CHOICES]


def test_a_trial_in_the_retry_queue_is_the_next_one(oracle: Any) -> None:
    trial = oracle.create_trial("a")
    del oracle.ongoing_trials["a"]
    oracle._retry_queue.append(trial.trial_id)
    assert oracle.create_trial("b").trial_id == trial.trial_id and oracle._retry_queue == []


def test_a_worker_that_runs_a_trial_is_given_the_same_again(oracle: Any) -> None:
    assert oracle.create_trial("a") is oracle.create_trial("a") is oracle.ongoing_trials["a"]


def test_the_client_needs_what_ours_sets() -> None:
    names = set(inspect.getclosurevars(oracle_client.OracleClient.__init__).unbound)
    assert {"_oracle", "stub", "tuner_id", "multi_worker", "should_report"} <= names
    assert set(inspect.signature(oracle_client.OracleClient.__init__).parameters) == {"self", "oracle"}


def test_the_service_has_the_calls_that_ours_answers() -> None:
    assert list(inspect.signature(oracle_chief.OracleServicer.CreateTrial).parameters) == ["self", "request", "context"]
    assert protos.get_service().CreateTrialRequest(tuner_id="a").tuner_id == "a"
    assert callable(protos.get_service_grpc().add_OracleServicer_to_server)
