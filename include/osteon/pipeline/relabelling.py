"""The stages that give ambiguous images a body part: by base models and rules, and by curators."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from osteon.pipeline.context import NO_MAIL, Context
from osteon.pipeline.memory import Memory
from osteon.records import (
    Answer,
    AnswersRecord,
    BaseModelsRecord,
    CatalogKey,
    PartQuestion,
    QuestionsRecord,
    RegisterBaseRecord,
    RelabelRecord,
    TrainingKey,
)
from osteon.results import BaseModelResult, result_key

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def base_models(context: Context, catalog: CatalogKey, seed: int) -> BaseModelsRecord:
    """List the base models that are worth training and can be; the record says why others are not."""
    from osteon import catalog as catalogs
    from osteon.curation.relabel import is_ambiguous
    from osteon.schemas import Reviewed
    from osteon.training.base import insufficient_data_reason

    rules = context.relabel_rules
    images = catalogs.read(context.lake, catalog, Reviewed)
    count = int(is_ambiguous(images, catalogs.read_publications(context.lake, images)).sum())
    few = f"{count} ambiguous images; from {rules.least} on it is worth it" if count < rules.least else None
    problems = {
        name: few or insufficient_data_reason(training_images(context, images, name, seed))
        for name in rules.base_models
    }
    untaught = {name: problem for name, problem in problems.items() if problem}
    for name, problem in untaught.items():
        log.warning("%s is not trained: %s", name, problem)
    return BaseModelsRecord(names=[name for name in problems if name not in untaught], untaught=untaught)


def training_images(context: Context, catalog: pd.DataFrame, model: str, seed: int) -> pd.DataFrame:
    """The images that a base model learns from and is measured on."""
    from osteon.training.base import select_training_images

    rule = context.relabel_rules.base_models[model]
    return select_training_images(catalog, rule, context.lake, context.settings, seed)


def relabel(context: Context, catalog: CatalogKey, trainings: list[TrainingKey], sources: str) -> RelabelRecord:
    """Give ambiguous images a body part where base models and rules say so.

    Mails which sources are merged and were not in the run before, or the other way round.
    """
    from osteon.curation.relabel import changes, read_verdicts, relabel
    from osteon.notify.mails import merges_changed

    lake = context.lake
    results = [lake.get_model(BaseModelResult, result_key(training)) for training in trainings]
    by_answer = {result.positive_class: result for result in results}
    key, table = relabel(
        context.settings,
        lake,
        context.labels,
        context.relabel_rules,
        catalog,
        by_answer,
        lambda images: _probabilities(context, by_answer, images),
    )
    verdicts = read_verdicts(lake, table)
    memory = Memory.read(lake, f"merges/{context.model_name(sources)}", context.run.run_id, str)
    changed, mail = changes(memory.before or {}, verdicts), None
    for text in changed:
        log.warning("%s", text)
    if changed:
        mail = context.notifier.notice(merges_changed(changed))
    if mail != NO_MAIL:  # what nobody was told is new in the next run, too
        memory.keep({verdict.source: verdict.into for verdict in verdicts if verdict.into and verdict.merged})
    counts = lake.get_table(table, columns=["decision"])["decision"].value_counts()
    decisions = {str(name): int(count) for name, count in counts.items()}
    return RelabelRecord(
        catalog=CatalogKey(key),
        table=table,
        trainings=list(trainings),
        decisions=decisions,
        changes=changed,
        mail=mail,
    )


def _probabilities(context: Context, results: dict[str, BaseModelResult], images: pd.DataFrame) -> pd.DataFrame:
    """Calibrated probability of each answer, by image."""
    import pandas as pd

    from osteon.features import load_features
    from osteon.training.predictor import Predictor

    columns = {}
    for answer, result in results.items():
        predictor = Predictor.from_lake(context.lake, result.key)
        features = load_features(context.settings, context.lake, images, predictor.transform)
        columns[answer] = predictor.chance(answer, features)
    return pd.DataFrame(columns, index=images.index)


def register_base(context: Context, trainings: list[TrainingKey], sources: str) -> RegisterBaseRecord:
    """Put base models into the registry, each named after the model that it serves."""
    from osteon.registry.register import register_base

    versions = {}
    for training in trainings:
        model = context.lake.get_model(BaseModelResult, result_key(training)).model
        name = f"{context.model_name(sources)}-{model}"
        versions[name] = register_base(context.settings, context.lake, training, name)
    return RegisterBaseRecord(versions=versions)


def questions(context: Context, catalog: CatalogKey) -> QuestionsRecord:
    """List the images of a relabelled catalog that curators are asked about: those nearest to a decision first.

    Mails that the run waits for them.
    """
    from osteon.curation.relabel import REVIEW, decisions_key
    from osteon.pipeline.notices import ask_curators

    table = context.lake.get_table(decisions_key(catalog))
    waiting = table[table["decision"] == REVIEW].sort_values("probability", ascending=False)
    asked = [
        PartQuestion(
            image=row["sha256"],
            name=f"{row['source']}:{row['path']}",
            why=f"Published as {row['raw_label']}: {row['why']}",
        )
        for _, row in waiting.head(context.settings.max_questions).iterrows()
    ]
    return QuestionsRecord(questions=asked, mail=ask_curators(context, asked))


def answers(context: Context, catalog: CatalogKey, answers: list[Answer]) -> AnswersRecord:
    """Record what curators answered, and apply it."""
    from osteon import catalog as catalogs
    from osteon.curation.review import record, review
    from osteon.schemas import Reviewed

    new = record(context.lake, context.labels, catalogs.read(context.lake, catalog, Reviewed), answers)
    key, counts = review(context.settings, context.lake, context.labels, catalog)
    return AnswersRecord.model_validate({"catalog": key, "asked": len(answers), "new": new, **counts})
