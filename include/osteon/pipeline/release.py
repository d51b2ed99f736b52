"""The stages that release a model: approval, registration, report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from osteon.errors import ConfigurationError
from osteon.models.space import MAIN
from osteon.pipeline.context import Context
from osteon.records import (
    Answer,
    ApprovalsRecord,
    CatalogKey,
    ComparisonKey,
    PromotionQuestion,
    RegisterRecord,
    TrainingKey,
)


def approvals(context: Context, comparison: ComparisonKey, sources: str, require_approval: bool) -> ApprovalsRecord:
    """List what a person is asked before a model is promoted; nothing where the gate refuses.

    Without `require_approval` only one case is asked about: the champion was brought back by a rollback.
    """
    from osteon.pipeline.notices import ask_for_approval
    from osteon.registry import propose

    name, (training, rows) = context.model_name(sources), _compared(context, comparison)
    found = propose(context.settings, context.lake, training, name, rows, require_approval)
    if found is None:
        return ApprovalsRecord()
    question = PromotionQuestion(champion=found.champion, name=name, why=f"The gate says: {found.reason}.")
    return ApprovalsRecord(questions=[question], mail=ask_for_approval(context, question))


def register(
    context: Context,
    comparison: ComparisonKey,
    catalog: CatalogKey,
    sources: str,
    answers: list[Answer],
) -> RegisterRecord:
    """Put a trained model into the registry, and promote it where the gate and people say so. Mails a new version.

    Args:
        context: The run.
        comparison: Of the main model with the others.
        catalog: The reviewed catalog. The next run compares its class balance with that of this one.
        sources: The sources file, which may name the model.
        answers: To the questions of `approvals`.
    """
    from osteon.notify.mails import version_registered
    from osteon.quality.pictures import Picture
    from osteon.registry import PROMOTE, Approval, register
    from osteon.reports.evaluation import evaluation_picture, figure_lines

    name, (training, rows) = context.model_name(sources), _compared(context, comparison)
    said = (Approval(one.answer == PROMOTE, one.by, one.about) for one in answers)
    begun = f"{context.run.prefix}/registering.json"
    was_begun = not context.lake.put_missing(begun, b"{}")
    registered = register(context.settings, context.lake, training, name, catalog, rows, next(said, None))
    record = RegisterRecord(**asdict(registered), training=training, comparison=comparison)
    if registered.new or was_begun:  # a try that broke off may have registered it, and told nobody
        result = context.lake.get_json(f"{training}/result.json")
        picture = Picture("evaluation", evaluation_picture(result), "ROC curves and calibration on the test split", 640)
        figures = figure_lines(result, registered.reason)
        notice = version_registered(name, registered.version, registered.alias, figures, picture)
        record.mail = context.notifier.notice(notice)
    return record


def _compared(context: Context, comparison: ComparisonKey) -> tuple[TrainingKey, list[dict[str, Any]]]:
    """The main model's training, and the rows of its comparison.

    Raises:
        ConfigurationError: The comparison does not say which training it is of.
    """
    rows: list[dict[str, Any]] = context.lake.get_json(comparison)
    training = next((row.get("training") for row in rows if row["model"] == MAIN), None)
    if training is None:
        raise ConfigurationError(f"{comparison} names no training of {MAIN}: make a new one with `osteon compare`")
    return TrainingKey(training), rows
