"""The model card: what a registered model learnt from, how good it is and where it is not (Mitchell et al., 2019)."""

from __future__ import annotations

import pandas as pd

from osteon.catalog import SPLITS
from osteon.features import ImageTransform
from osteon.reports.leakage import Leakage, leakage_line
from osteon.reports.patients import count_patients, patient_line
from osteon.results import Comparison, Interval, TrainingResult
from osteon.templates import environment
from osteon.training.classes import ClassList
from osteon.training.evaluate import MEASURES


def model_card(
    name: str,
    result: TrainingResult,
    transform: ImageTransform,
    images: pd.DataFrame,
    comparison: Comparison,
    leakage: Leakage | None,
    unchecked: list[str],
) -> str:
    """The model card, in Markdown.

    `images` is the snapshot (`source, patient, licence, attribution, split`), `leakage` what the check of the snapshot
    found, `unchecked` what could not be checked of its sources' labels.
    """
    used = images[images["split"].notna()]
    sources = []
    terms = [used["licence"].fillna("not stated"), used["attribution"].fillna("")]
    for (source, licence, attribution), part in used.groupby([used["source"], *terms]):
        counts = {split: int((part["split"] == split).sum()) for split in SPLITS}
        licence, attribution = (" ".join(str(text).split()).replace("|", "\\|") for text in (licence, attribution))
        sources.append({"source": source, "licence": licence, "attribution": attribution, **counts})
    patients = patient_line(count_patients(used, sorted(used["source"].unique())))
    silent = ClassList(tuple(result.classes)).silent
    return (
        environment(autoescape=False)
        .get_template("model_card.md")
        .render(
            name=name,
            r=result,
            e=result.evaluation,
            transform=transform,
            sources=sources,
            silent=silent,
            rows=comparison.rows,
            measures=MEASURES,
            patients=patients,
            leakage=leakage_line(leakage),
            unchecked=unchecked,
            number=number,
            interval=interval,
        )
    )


def number(value: float | None) -> str:
    """Three decimals, or a dash where a measure is undefined."""
    return "–" if value is None else f"{value:.3f}"


def interval(bounds: Interval | None) -> str:
    """`0.812 to 0.861`, or nothing."""
    return "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
