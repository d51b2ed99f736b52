"""The stages that release a model: approval, registration, report."""

from __future__ import annotations

from osteon.pipeline.context import Context
from osteon.records import (
    Answer,
    ApprovalsRecord,
    CatalogKey,
    ComparisonKey,
    PromotionQuestion,
    RegisterRecord,
)
from osteon.results import TrainingResult, result_key


def approvals(context: Context, comparison: ComparisonKey, sources: str, require_approval: bool) -> ApprovalsRecord:
    """List what a person is asked before a model is promoted; nothing where the promotion rules refuse.

    Without `require_approval` only one case is asked about: the champion was brought back by a rollback.
    """
    from osteon.pipeline.notices import ask_for_approval
    from osteon.registry.register import propose

    name = context.model_name(sources)
    found = propose(context.settings, context.lake, comparison, name, require_approval)
    if found is None:
        return ApprovalsRecord()
    why = f"The promotion rules say: {found.reason}."
    question = PromotionQuestion(champion=found.champion, name=name, why=why)
    return ApprovalsRecord(questions=[question], mail=ask_for_approval(context, question))


def register(
    context: Context,
    comparison: ComparisonKey,
    catalog: CatalogKey,
    sources: str,
    answers: list[Answer],
) -> RegisterRecord:
    """Put a trained model into the registry, and promote it where rules and people say so. Mails a new version.

    Args:
        context: The run.
        comparison: Of the main model with the others.
        catalog: The reviewed catalog. The next run compares its class balance with that of this one.
        sources: The sources file, which may name the model.
        answers: To the questions of `approvals`.
    """
    from osteon.notify.mails import version_registered
    from osteon.quality.pictures import Picture
    from osteon.registry.register import register
    from osteon.reports.evaluation import evaluation_picture, figure_lines
    from osteon.training.promotion import PROMOTE, Approval

    name = context.model_name(sources)
    said = (Approval(one.answer == PROMOTE, one.by, one.about) for one in answers)
    begun = f"{context.run.prefix}/registering.json"
    was_begun = not context.lake.put_missing(begun, b"{}")
    record = register(context.settings, context.lake, comparison, name, catalog, next(said, None))
    if record.new or was_begun:  # a try that broke off may have registered it, and told nobody
        result = context.lake.get_model(TrainingResult, result_key(record.training))
        picture = Picture("evaluation", evaluation_picture(result), "ROC curves and calibration on the test split", 640)
        figures = figure_lines(result, record.reason)
        record.mail = context.notifier.notice(version_registered(name, record.version, record.alias, figures, picture))
    return record
