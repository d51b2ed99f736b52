"""The whole run by hand: each command prints what the next one takes. And the same run in one process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from osteon.cli import OLD_OPTIONS, app
from osteon.embedded.stack import Stack
from osteon.errors import QualityError
from osteon.lake import Lake
from osteon.models import forest, space
from osteon.pipeline.context import Context
from osteon.pipeline.local import run_all
from osteon.pipeline.stages import read_records
from osteon.records import BaseModelsRecord, QuestionsRecord, RegisterRecord, SplitRecord, TrainRecord

Osteon = Callable[..., list[str]]
OPTIONS = {"budget": "smoke", "seed": 0, "force_retrain": False, "require_approval": False}


@pytest.fixture
def osteon(stack: Stack, environment: dict[str, str], lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Osteon:
    """Runs a command; gives the lines that it prints."""
    for name, value in stack.environment().items():
        if name.startswith(("AWS_", "MLFLOW_")) or name == "OSTEON_MLFLOW_URL":
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("OSTEON_MODEL_NAME", lake.bucket)
    for least, count in {"MIN_COMPLETED_TRIALS": 1, "BOOTSTRAP_ROUNDS": 20, "MIN_BASELINE_IMAGES": 40}.items():
        monkeypatch.setenv(f"OSTEON_{least}", str(count))
    tiny: dict[str, Any] = {"search_epochs": 1, "trials": 1, "search_images": 40, "fit_epochs": 1, "members": 1}
    monkeypatch.setitem(space.BUDGETS, "smoke", replace(space.BUDGETS["smoke"], **tiny, side=32, search_side=32))
    monkeypatch.setattr(forest, "SPACE", {"n_estimators": [5, 10]})
    monkeypatch.setattr(forest, "ITERATIONS", 2)

    def run(*arguments: str) -> list[str]:
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (arguments, result.output, result.exception)
        return result.stdout.splitlines()

    return run


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    entry = {"name": "clinic", "kind": "phantom", "licence": "CC0-1.0", "images": 150, "longer_side": [60, 80]}
    defects = {"defects": {"ambiguous_label": 3}}
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": [{**entry, "parts": ["hand", "spine", "hip"], **defects}]}))
    return path


def test_the_whole_run_is_done_by_hand_and_again_in_one_process(
    osteon: Osteon, sources: Path, lake: Lake, tmp_path: Path
) -> None:
    file = ("--sources", str(sources))
    (manifest,) = osteon("ingest", *file)
    (catalog,) = osteon("catalogue", "--manifest", manifest)
    for command in ("inspect", "repair", "group", "apply-review"):
        (catalog,) = osteon(command, "--catalog", catalog)
    reviewed = catalog
    (validation,) = osteon("validate", "--catalog", reviewed, "--manifest", manifest, *file)
    assert osteon("gate", "--validation", validation, *file) == []
    assert osteon("base-models", "--catalog", reviewed) == [], "3 ambiguous images are too few"
    assert osteon("train-base", "--catalog", reviewed, *file) == []
    (relabelled,) = osteon("relabel", "--catalog", reviewed, *file)
    assert osteon("register-base", *file) == ["{}"]
    (asked,) = osteon("questions", "--catalog", relabelled)
    answers = [{"about": question["image"], "answer": "hand", "by": "ann"} for question in json.loads(asked)]
    assert len(answers) == 3
    (tmp_path / "answers.json").write_text(json.dumps(answers[:1]))
    (answered,) = osteon("answers", "--catalog", relabelled, "--answers", str(tmp_path / "answers.json"))
    (split,) = osteon("split", "--catalog", answered)
    (snapshot,) = osteon("check", "--catalog", split, "--manifest", manifest, *file)
    trainings = []
    for model in ("cnn_bilstm", "cnn_plain"):
        (key,) = osteon("training-key", "--model", model, "--catalog", snapshot)
        trained, metrics = osteon("train", "--model", model, "--snapshot", snapshot, "--out", key)
        assert trained == key and "macro_f1" in json.loads(metrics)
        trainings += ["--training", key]
    (comparison,) = osteon("compare", *trainings)
    assert osteon("approvals", "--comparison", comparison, *file) == []
    (registered,) = osteon("register", "--comparison", comparison, "--catalog", reviewed, *file)
    assert registered.startswith(f"{lake.bucket} version 1 is ")
    (page,) = osteon("report")
    assert lake.exists(page)

    context = Context.open("local")
    run_all(context, {"sources": str(sources), **OPTIONS})
    by_hand, local = read_records(Context.open("command-line").run), read_records(context.run)
    first, second = by_hand.of(SplitRecord), local.of(SplitRecord)
    assert first is not None and second is not None and first.snapshot == second.snapshot
    trained_models, here = local.of(TrainRecord), local.of(RegisterRecord)
    assert trained_models is not None and trained_models.trainings[0] == trainings[1], "what was trained is not trained"
    assert here is not None and (here.version, here.new) == ("1", False)
    questions, base = local.of(QuestionsRecord), local.of(BaseModelsRecord)
    assert questions is not None and len(questions.questions) == 2, "one was answered"
    assert base is not None and base.untaught.keys() == {"hand_base", "leg_base"}
    assert lake.get_json(f"{context.run.prefix}/summary.json")["registered"]["version"] == "1"


def test_a_run_in_one_process_stops_where_it_is_told_and_at_a_critical_finding(
    osteon: Osteon, sources: Path, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context.open("short")
    run_all(context, {"sources": str(sources), **OPTIONS}, stop_after="repair")
    assert list(read_records(context.run))[-2:] == ["repair", "report"]
    thresholds = yaml.safe_load(context.settings.quality_file.read_text())
    thresholds["ambiguous_labels"] |= {"severity": "critical"}
    (tmp_path / "quality.yaml").write_text(yaml.safe_dump(thresholds))
    monkeypatch.setenv("OSTEON_QUALITY_FILE", str(tmp_path / "quality.yaml"))
    context = Context.open("stopped")
    with pytest.raises(QualityError, match="stopped before training"):
        run_all(context, {"sources": str(sources), **OPTIONS})
    assert list(read_records(context.run))[-2:] == ["gate", "report"]
    assert lake.get_json(f"{context.run.prefix}/summary.json")["alerts"][0]["severity"] == "critical"


@pytest.mark.parametrize("text", ["[", "{}", '[{"about": "x"}]'])
def test_answers_that_cannot_be_read_are_refused(osteon: Osteon, tmp_path: Path, text: str) -> None:
    (tmp_path / "answers.json").write_text(text)
    result = CliRunner().invoke(app, ["answers", "--catalog", "x", "--answers", str(tmp_path / "answers.json")])
    assert result.exit_code and "answers.json" in str(result.exception)


def test_the_old_names_of_options_are_taken_and_not_shown() -> None:
    old = ["train", "--helped", "--helper", "x", "--winner", "y"]
    shown = CliRunner().invoke(app, [*old, "--help"])
    assert shown.exit_code == 0
    for name, new in OLD_OPTIONS.items():
        assert f"--{new}" in shown.stdout and f"--{name}" not in shown.stdout
    assert CliRunner().invoke(app, [*old, "--loser", "z", "--help"]).exit_code == 2
