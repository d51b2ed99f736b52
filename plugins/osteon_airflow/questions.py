"""Asking curators in Airflow which body part an image shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator

from osteon.curation.review import LEAVE_OUT
from osteon.labels import REQUIRED_PARTS
from osteon.settings import load_settings
from osteon_airflow.links import thumbnail_path


class LabelQuestion(HITLOperator):
    """One image, one question. Gives `image, label, by`; `by` is None where nobody answered in time."""

    template_fields = ()  # subjects and bodies hold file names, which must not be read as Jinja

    def __init__(self, *, image: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.image = image

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        answer = super().execute_complete(context, event)
        user = answer["responded_by_user"]
        return {"image": self.image, "label": answer["chosen_options"][0], "by": user["name"] if user else None}


def ask(questions: Any) -> Any:
    """A task mapped over questions (`image, name, why`), each of which waits for a curator without holding a slot."""
    return LabelQuestion.partial(
        task_id="ask",
        options=[LEAVE_OUT, *REQUIRED_PARTS],
        defaults=LEAVE_OUT,
        response_timeout=timedelta(hours=load_settings().ask_hours),
        on_failure_callback=None,
        map_index_template="{{ task.subject }}",
    ).expand_kwargs(questions.map(_worded))


def _worded(question: dict[str, str]) -> dict[str, str]:
    name = question["name"].replace("`", "'")
    body = f"![radiograph]({thumbnail_path(question['image'])})\n\n`{name}`\n\n{question['why']}"
    return {"image": question["image"], "subject": f"Which body part? {name}", "body": body}
