"""Architecture search by KerasTuner, and a count of the trials that really completed."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osteon.errors import TrainingError
from osteon.models import cnn_bilstm
from osteon.models.space import SPACE_VERSION, Budget, Choose
from osteon.training.augment import Augment
from osteon.training.fit import dataset

log = logging.getLogger(__name__)
Data = tuple[NDArray[np.float16], NDArray[np.float32]]


def search(
    train: Data,
    val: Data,
    *,
    choose: Choose,
    augment: Augment,
    budget: Budget,
    seed: int,
    snapshot: str,
    folder: Path,
    min_completed: int,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The best architecture of the space `choose`, and every trial (`trial, score, epochs, ...`), best first.

    The study's name holds the space, the budget and the snapshot, so another question never resumes this study.
    Raises `TrainingError` when fewer than `min_completed` trials completed.
    """
    import keras
    import keras_tuner

    shape, classes = train[0].shape[1:], train[1].shape[1]
    question = json.dumps([SPACE_VERSION, choose.__name__, asdict(budget), snapshot, seed, shape, classes])
    name = hashlib.sha256(question.encode()).hexdigest()[:16]
    common = {
        "objective": keras_tuner.Objective("val_loss", "min"),
        "seed": seed,
        "directory": str(folder),
        "project_name": name,
        "max_consecutive_failed_trials": 3,
    }

    def build(hp: Any) -> Any:
        return cnn_bilstm.build(choose(hp), shape, classes)

    if budget.trials is None:
        tuner = keras_tuner.Hyperband(build, max_epochs=budget.search_epochs, factor=budget.factor, **common)
    else:
        tuner = keras_tuner.RandomSearch(build, max_trials=budget.trials, **common)

    class Lines(keras.callbacks.Callback):
        """One line per epoch: a task log has no use for bars."""

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            log.info("search: epoch %d, validation loss %.3f", epoch + 1, (logs or {})["val_loss"])

    tuner.search(
        dataset(*train, budget.batch, seed, augment),
        validation_data=dataset(*val, 128),
        epochs=budget.search_epochs,
        verbose=0,
        callbacks=[Lines()],
    )
    done = [trial for trial in tuner.oracle.trials.values() if trial.status == "COMPLETED" and trial.score is not None]
    if len(done) < min_completed:
        raise TrainingError(
            f"only {len(done)} of {len(tuner.oracle.trials)} trials completed, {min_completed} are needed: see the log"
        )
    done.sort(key=lambda trial: trial.score)
    trials = [
        {
            "trial": trial.trial_id,
            "score": float(trial.score),
            "epochs": int(trial.hyperparameters.values.get("tuner/epochs", budget.search_epochs)),
            **choose(trial.hyperparameters),
        }
        for trial in done
    ]
    return choose(done[0].hyperparameters), trials
