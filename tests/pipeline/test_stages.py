"""The table of stages: it fits the functions that it names, and every stage but two is a command."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from osteon.cli import app
from osteon.errors import ConfigurationError
from osteon.pipeline.stages import REPORT, STAGES, STOPS, Stage, is_wanted


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_takes_what_the_table_says(stage: Stage[Any]) -> None:
    _, *parameters = inspect.signature(stage.function).parameters
    assert set(parameters) == {*stage.inputs, *stage.options, *stage.people}


def test_a_stage_takes_what_stages_before_it_give() -> None:
    names = [stage.name for stage in STAGES]
    for place, stage in enumerate(STAGES):
        assert {*stage.inputs.values(), *stage.people.values()} <= set(names[:place]), stage.name


def test_a_run_stops_after_the_stage_that_it_is_told() -> None:
    assert STOPS[0] == "ingest" and STOPS[-1] == REPORT.name
    wanted = [stage.name for stage in STAGES if is_wanted(stage.stop, "validate")]
    assert wanted[-2:] == ["validate", "gate"] and "relabel" not in wanted
    with pytest.raises(ConfigurationError, match="no stage is called 'gate': choose one of ingest, catalogue"):
        is_wanted("split", "gate")


def test_every_stage_is_a_command() -> None:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    made = {stage.name.replace("_", "-") for stage in STAGES} - {"sources"}
    assert made <= commands | {"review"} and {"training-key", "apply-review", "train-models"} <= commands
