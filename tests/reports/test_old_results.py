"""The report of a run whose results another version of Osteon wrote."""

from __future__ import annotations

import pytest

from osteon.lake import Lake
from osteon.pipeline.context import Context
from osteon.pipeline.stages import REPORT, run_stage
from osteon.records import ComparisonKey, RegisterRecord, TrainingKey
from osteon.reports.page import table_lines
from osteon.reports.summary import Summary, summary_key
from tests.test_results import FIRST_COMPARISON, FIRST_TRAINING


@pytest.fixture
def context(environment: dict[str, str]) -> Context:
    """A run that registered a model, as far as its records say."""
    context = Context.open("old")
    record = RegisterRecord(
        model="m",
        version="1",
        alias="champion",
        promoted=True,
        reason="there was no champion",
        champion="1",
        new=True,
        training=TrainingKey("models/m/a"),
        comparison=ComparisonKey("comparisons/c.json"),
    )
    context.run.write(record)
    return context


def test_results_of_the_first_form_are_shown(context: Context, lake: Lake) -> None:
    lake.put_json("models/m/a/result.json", FIRST_TRAINING)
    lake.put_json("comparisons/c.json", FIRST_COMPARISON)
    page = lake.get_bytes(run_stage(REPORT, context).page).decode()
    assert "Model cnn_bilstm" in page and '<td>macro-F1<td class="n">0.500<td class="n">0.400 to 0.600</tr>' in page
    assert "20 of 50" in page and "<td>worse<td" in page
    summary = lake.find_model(Summary, summary_key(context.run))
    assert summary is not None and table_lines(summary)
    assert summary.models["cnn_bilstm"].evaluation.metrics["macro_f1"] == 0.5
    assert lake.exists(f"{context.run.prefix}/report/evaluation.html")


def test_results_that_cannot_be_read_are_left_out_of_the_page_and_named_in_the_log(
    context: Context, lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    lake.put_json("models/m/a/result.json", {"model": "cnn_bilstm"})
    page = lake.get_bytes(run_stage(REPORT, context).page).decode()
    assert "Model cnn_bilstm" not in page and "Version 1 of m is <b>champion</b>" in page
    for key in ("models/m/a/result.json", "comparisons/c.json"):
        assert any(message.startswith(f"{key} is left out") for message in caplog.messages)
