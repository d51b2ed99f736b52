"""How a model did on the test split, drawn: a page to explore, and a picture for the mail."""

from __future__ import annotations

from typing import Any

from osteon.lake import Lake
from osteon.quality.pictures import figure_png
from osteon.reports.model_card import interval, number
from osteon.results import TrainingResult
from osteon.templates import environment
from osteon.training.evaluate import MEASURES

KINDS = {
    "roc": ("False positive rate", "Sensitivity", "ROC curve of fracture detection"),
    "precision_recall": ("Recall", "Precision", "Precision and recall of fracture detection"),
}
CONFUSIONS = {"part": "body part", "fracture": "fracture, called from a probability of 0.5 on", "joint": "joint class"}


def write_evaluation(lake: Lake, run: str, result: TrainingResult, folder: str) -> None:
    """Write `evaluation.html` below `folder`: curves by body part, calibration and confusion."""
    charts = [_curves(result, kind) for kind in KINDS] + [_reliability(result)]
    charts += [_confusion(result, name) for name in CONFUSIONS if name in result.evaluation.confusion]
    page = environment().get_template("evaluation.html").render(run=run, model=result.model, charts=_html(charts))
    lake.put_bytes(f"{folder}evaluation.html", page.encode(), "text/html; charset=utf-8")


def evaluation_picture(result: TrainingResult) -> bytes:
    """ROC curves by body part, and calibration, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="#b9c0c8", linewidth=1)
    for name, curve in result.evaluation.curves.items():
        area = _area(result, name)
        left.plot(*curve.roc, label=f"{name} {area}", linewidth=2 if name == "all" else 1)
    left.set(xlabel=KINDS["roc"][0], ylabel=KINDS["roc"][1], title="Fracture ROC (AUROC)")
    left.legend(frameon=False, fontsize=8)
    right.plot([0, 1], [0, 1], color="#b9c0c8", linewidth=1)
    bins = result.evaluation.calibration
    right.plot([row.mean_probability for row in bins], [row.fraction_positive for row in bins], marker="o")
    right.set(xlabel="Fracture probability", ylabel="Share that is fractured", title="Calibration")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure_png(figure)


def figure_lines(result: TrainingResult, reason: str) -> list[str]:
    """What the mail about a new version says: the reason of the promotion's decision, the measures, the floor."""
    lines = [f"{reason[0].upper()}{reason[1:]}.", ""]
    for name, words in MEASURES.items():
        bounds = interval(result.evaluation.intervals.get(name))
        lines.append(f"{words}: {number(result.evaluation.metrics.get(name))} ({bounds or 'no interval'})")
    floors = result.evaluation.metadata_baseline.items()
    lines += [f"floor, fracture AUROC from {name}: {number(value)}" for name, value in floors]
    return [*lines, "", "A research tool, not a medical device."]


def _area(result: TrainingResult, name: str) -> str:
    found = result.evaluation
    return number(found.metrics.get("fracture_auroc") if name == "all" else found.fracture_auroc_by_part.get(name))


def _curves(result: TrainingResult, kind: str) -> Any:
    from plotly.graph_objects import Figure, Scatter

    x, y, title = KINDS[kind]
    figure = Figure(
        [
            Scatter(x=x_values, y=y_values, name=f"{name} ({_area(result, name)})")
            for name, curve in result.evaluation.curves.items()
            for x_values, y_values in [curve.roc if kind == "roc" else curve.precision_recall]
        ]
    )
    figure.update_layout(title=title, xaxis_title=x, yaxis_title=y, legend_title="images (AUROC)")
    return figure


def _reliability(result: TrainingResult) -> Any:
    from plotly.graph_objects import Figure, Scatter

    bins = result.evaluation.calibration
    ideal = Scatter(x=[0, 1], y=[0, 1], mode="lines", name="ideal", line={"color": "#b9c0c8"})
    said = Scatter(
        x=[row.mean_probability for row in bins],
        y=[row.fraction_positive for row in bins],
        text=[f"{row.count} images" for row in bins],
        mode="lines+markers",
        name="said",
    )
    figure = Figure([ideal, said])
    figure.update_layout(
        title="Calibration of the fracture probability",
        xaxis_title="Mean probability in a bin",
        yaxis_title="Share that is fractured",
    )
    return figure


def _confusion(result: TrainingResult, name: str) -> Any:
    from plotly.graph_objects import Figure, Heatmap

    labels, counts = result.evaluation.confusion[name].labels, result.evaluation.confusion[name].counts
    figure = Figure(Heatmap(x=labels, y=labels, z=counts, text=counts, texttemplate="%{text}", colorscale="Blues"))
    height = 340 + 24 * len(labels)
    figure.update_layout(
        title=f"Confusion: {CONFUSIONS[name]}", xaxis_title="Predicted", yaxis_title="True", height=height
    )
    figure.update_yaxes(autorange="reversed")
    return figure


def _html(figures: list[Any]) -> list[str]:
    """Parts of a page; the first brings plotly.js along."""
    parts = []
    for place, figure in enumerate(figures):
        figure.update_layout(margin={"l": 8, "r": 8, "t": 48, "b": 8}, template="simple_white", font={"size": 13})
        parts.append(str(figure.to_html(full_html=False, include_plotlyjs=place == 0, config={"displaylogo": False})))
    return parts
