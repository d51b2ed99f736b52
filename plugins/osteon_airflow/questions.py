"""Asking people in Airflow: which body part an image shows, and whether a model may be promoted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator

from osteon.curation.review import LEAVE_OUT
from osteon.labels import REQUIRED_PARTS
from osteon.records import Answer, PartQuestion, PromotionQuestion
from osteon.settings import load_settings
from osteon.training.promotion import KEEP, PROMOTE
from osteon_airflow.links import thumbnail_path


class Question(HITLOperator):
    """One question. Gives an `Answer` as plain values."""

    template_fields = ()  # subjects and bodies hold file names, which must not be read as Jinja

    def __init__(self, *, about: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.about = about

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, str | None]:
        given = super().execute_complete(context, event)
        user = given["responded_by_user"]
        answer = Answer(about=self.about, answer=given["chosen_options"][0], by=user["name"] if user else None)
        return answer.model_dump()


def ask(questions: Any) -> Any:
    """A task mapped over the values of `PartQuestion`s, each of which waits for a curator without holding a slot."""
    return _mapped("ask", [LEAVE_OUT, *REQUIRED_PARTS], LEAVE_OUT).expand_kwargs(questions.map(_which_part))


def approve(questions: Any) -> Any:
    """A task mapped over the values of `PromotionQuestion`s: none, or one."""
    return _mapped("approve", [PROMOTE, KEEP], KEEP).expand_kwargs(questions.map(_promote))


def _mapped(task_id: str, options: list[str], default: str) -> Any:
    return Question.partial(
        task_id=task_id,
        options=options,
        defaults=default,
        response_timeout=timedelta(hours=load_settings().ask_hours),
        on_failure_callback=None,
        map_index_template="{{ task.subject }}",
    )


def _which_part(asked: dict[str, str]) -> dict[str, str]:
    question = PartQuestion.model_validate(asked)
    body = f"![radiograph]({thumbnail_path(question.image)})\n\n{question.why}"
    return {"about": question.image, "subject": f"Which body part? {question.name}", "body": body}


def _promote(asked: dict[str, str]) -> dict[str, str]:
    question = PromotionQuestion.model_validate(asked)
    subject = f"Promote the new version of {question.name}?"
    return {"about": question.champion, "subject": subject, "body": question.why}
