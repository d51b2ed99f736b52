"""The form that the DAG is triggered with."""

from __future__ import annotations

from airflow.sdk import Param

from osteon.models.space import BUDGETS
from osteon.pipeline.stages import STOPS
from osteon.settings import Settings


def params(settings: Settings) -> dict[str, Param]:
    """What the form asks for; every default is valid, for the schedule gives no answers."""
    return {
        "sources": Param(
            str(settings.sources_file),
            type="string",
            minLength=1,
            title="Sources file",
            description="YAML file that names the data sets; the default is what OSTEON_SOURCES_FILE names",
        ),
        "budget": Param(
            settings.budget,
            enum=list(BUDGETS),
            title="Budget",
            description="how long is searched and trained, at which image size, and whether parts are ablated",
        ),
        "stop_after": Param(
            "report",
            enum=list(STOPS),
            title="Stop after",
            description="the last stage to run; the report is always written",
        ),
        "force_retrain": Param(
            False, type="boolean", title="Force retrain", description="train although nothing changed"
        ),
        "ask": Param(
            True, type="boolean", title="Ask", description="wait for curators where the base models are unsure"
        ),
        "require_approval": Param(
            False,
            type="boolean",
            title="Require approval",
            description="wait for a person before a better model becomes champion; unanswered, the champion stays",
        ),
        "workers": Param(
            1, type="integer", minimum=1, maximum=32, title="Workers", description="processes that search, or pods"
        ),
        "seed": Param(
            0, type="integer", minimum=0, title="Seed", description="of the training, and of where new images go"
        ),
    }
